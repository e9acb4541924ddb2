"use strict";
(() => {
  const { byId, make, badge, write, follow } = nepiq;
  const rows = new Map(), readings = {};
  // The picture brings styles of its own, which must not reach the rest of the page.
  const picture = byId("graph").attachShadow({ mode: "open" });
  const looks = new CSSStyleSheet();
  looks.replaceSync(`[data-guid] { cursor: pointer; outline: none; }
    [data-guid]:focus-visible rect { stroke: #0b72b9; stroke-width: 3; } svg { display: block; }`);
  picture.adoptedStyleSheets = [looks];
  let head = null, offset = 0, view = "", asking = 0, drawing = 0, graphOf = "", graphDue = 0;

  // -- the timeline -----------------------------------------------------------------------------

  const end = () => (head.over ?? Date.now() / 1000 + offset) - head.begin;

  function indexed(list, index, text) {
    if (!text) return -1;
    if (!index.has(text)) { index.set(text, list.length); list.push(text); }
    return index.get(text);
  }

  function timeline() {
    const data = { name: head.name, run_id: head.run, phase: head.phase, begin: head.begin, end: end(), over: head.over !== null,
      rows: [], bars: [], marks: [], workers: [], texts: [], kinds: head.kinds };
    const places = new Map(), workers = new Map(), texts = new Map();
    for (const guid of head.order) {
      const row = rows.get(guid);
      if (!row) continue;
      const place = data.rows.length;
      places.set(guid, place);
      data.rows.push([guid, row.label, row.type, places.get(row.host) ?? -1, row.state, row.note]);
      for (const [kind, begin, stop, attempt, outcome, worker, how, text] of row.bars) {
        data.bars.push([place, kind, begin, stop, attempt, outcome, indexed(data.workers, workers, worker), how, indexed(data.texts, texts, text)]);
      }
      for (const [time, state] of row.marks) data.marks.push([place, time, state]);
    }
    nepiqTimeline.show(data);
  }

  // -- the graph --------------------------------------------------------------------------------

  function states() {
    let grouped = false;
    for (const group of picture.querySelectorAll("[data-guid]")) {
      const row = rows.get(Number(group.dataset.guid));
      if (group.dataset.count !== "1") grouped = true;
      else if (row) mark(group, row);
    }
    return grouped;
  }

  function mark(group, row) {
    const box = group.querySelector("rect"), dot = group.querySelector("circle"), words = [...group.querySelectorAll("text.faint, tspan")].at(-1);
    group.setAttribute("aria-label", `${row.label}, ${row.type}, ${row.state}`);
    for (const name of [...box.classList]) if (name === "FAILED" || name.startsWith("s-")) box.classList.remove(name);
    if (row.state === "FAILED") box.classList.add("FAILED", "s-FAILED");
    if (dot) dot.setAttribute("class", `d-${row.state}`);
    if (!words) return;
    if (dot) write(words, words.textContent.replace(/^[A-Z]+(?= ·)/, row.state));
    else if (words.matches("tspan[class^='d-']")) { words.setAttribute("class", `d-${row.state}`); write(words, row.state); }
  }

  async function graph() {
    if (view !== "graph" || !head) return;
    const form = JSON.stringify(head.order);
    const grouped = states();
    const now = performance.now();
    if (form === graphOf && (!grouped || now < graphDue)) return;
    graphOf = form;
    graphDue = now + 2000;
    const reply = await fetch(`${location.pathname}/graph`).catch(() => null);
    if (!reply?.ok) { graphOf = ""; return; }
    const drawn = new DOMParser().parseFromString(await reply.text(), "image/svg+xml").documentElement;
    picture.replaceChildren(document.importNode(drawn, true));
    for (const group of picture.querySelectorAll("[data-guid]")) {
      const select = () => choose(Number(group.dataset.guid));
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.addEventListener("click", select);
      group.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(); }
      });
    }
    states();
  }

  // -- the table --------------------------------------------------------------------------------

  function table() {
    if (view !== "table") return;
    const focus = document.activeElement?.dataset?.guid;
    const lines = head.order.map((guid) => rows.get(guid)).filter(Boolean).map((row) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", class: "plain", "data-guid": row.guid, onclick: () => choose(row.guid) }, row.label)),
      make("td", {}, badge(row.state)), make("td", { class: "faint" }, row.type), make("td", { class: "faint" }, hostOf(row)),
      make("td", { class: row.state === "FAILED" ? "bad" : "faint" }, row.note)));
    const titles = ["Resource", "State", "Type", "Host", "Note"].map((title) => make("th", { scope: "col" }, title));
    byId("table").replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...lines)));
    if (focus) byId("table").querySelector(`[data-guid="${CSS.escape(focus)}"]`)?.focus();
  }

  const hostOf = (row) => rows.get(row.inside ?? row.host ?? -1)?.label ?? "";

  // -- all --------------------------------------------------------------------------------------

  function draw() {
    drawing = 0;
    if (!head) return;
    document.title = `${head.name}: ${head.phase}`;
    if (byId("phase").textContent !== head.phase) byId("phase").replaceChildren(badge(head.phase));
    if (head.campaign && !byId("campaign")) {
      byId("phase").after(make("a", { id: "campaign", href: `/campaigns/${encodeURIComponent(head.campaign)}` }, `campaign ${head.campaign}`));
    }
    timeline();
    const network = nepiqNetwork.show(head, rows, readings, choose);
    byId("tab-network").hidden = !network;
    if (!view) open(network ? "network" : "graph");
    // Before, the failures and the tab of the network, which move them, were not there: a click
    // would have missed them.
    byId("tabs").classList.remove("early");
    graph();
    table();
    panel();
  }

  const schedule = () => { drawing ||= requestAnimationFrame(draw); };

  function panel() {
    const row = rows.get(nepiqResource.chosen());
    if (row) nepiqResource.show(row, hostOf(row), readings[row.guid]);
  }

  function ask() {
    if (asking) return;
    asking = setTimeout(() => { asking = 0; nepiqResource.ask(); }, 250);
  }

  function choose(guid) {
    nepiqResource.choose(guid);
    panel();
    nepiqResource.ask();
    nepiqTimeline.choose(guid);
  }

  function open(name) {
    view = name;
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const open_ = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(open_));
      tab.tabIndex = open_ ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !open_;
    }
    graph();
    if (head) table();
  }

  const tabs = () => [...document.querySelectorAll("[role=tab]:not([hidden])")];
  byId("tabs").addEventListener("click", (event) => { if (event.target.id) open(event.target.id.replace("tab-", "")); });
  byId("tabs").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key], all = tabs();
    if (!by) return;
    const next = all[(all.indexOf(event.target) + by + all.length) % all.length];
    open(next.id.replace("tab-", ""));
    next.focus();
  });
  byId("chart").addEventListener("chosen", (event) => {
    if (event.detail && event.detail !== nepiqResource.chosen()) {
      nepiqResource.choose(event.detail);
      panel();
      nepiqResource.ask();
    }
  });

  follow(`${location.pathname}/events`, {
    rows: (data) => {
      if (data.all) rows.clear();
      for (const [guid, row] of Object.entries(data.rows)) rows.set(Number(guid), row);
      const first = head === null;
      head = data;
      offset = data.now - Date.now() / 1000;
      schedule();
      if (first && Number(location.hash.slice(1))) choose(Number(location.hash.slice(1)));
      else if (data.rows[nepiqResource.chosen()] || data.all) ask();
    },
    readings: (data) => {
      for (const [guid, values] of Object.entries(data)) readings[guid] = { ...readings[guid], ...values };
      schedule();
    },
  });
  // Time passes for what runs.
  setInterval(() => { if (head && head.over === null) schedule(); }, 1000);
})();
