"use strict";
// The panel of the selected resource: its state, what it waits for, attributes and outputs.
const nepiqResource = (() => {
  const { byId, make, badge, rate, write } = nepiq;
  const panel = byId("resource");
  const MOST = 64000; // characters of an output that the page keeps
  let guid = 0, asked = 0, shownOutput = "", tail = null;

  const path = () => `${location.pathname}/resources/${guid}`;
  const value = (name, one) => (typeof one === "number" ? ((name === "in" || name === "out") ? rate(one) : String(+one.toPrecision(5))) : String(one));

  function choose(chosen) {
    if (chosen !== guid) { close(); shownOutput = ""; }
    guid = chosen;
    history.replaceState(null, "", guid ? `#${guid}` : location.pathname);
  }

  function list(title, pairs) {
    if (!pairs.length) return null;
    const rows = pairs.map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text)));
    return make("section", {}, make("h3", {}, title), make("table", {}, make("tbody", {}, ...rows)));
  }

  // Shows what the page knows; ask() adds what only the server knows.
  function show(row, host, readings) {
    if (!row) return;
    const head = make("div", { class: "bar" }, make("h2", {}, row.label), badge(row.state));
    const about = make("p", { class: "faint" }, `${row.type}, guid ${row.guid}${host ? ` on ${host}` : ""}`);
    const now = list("Now", Object.entries(readings ?? {}).map(([name, one]) => [name, value(name, one)]));
    if (panel.dataset.guid !== String(row.guid)) {
      panel.dataset.guid = row.guid;
      panel.replaceChildren(make("div", { class: "known" }));
    }
    const note = row.note ? make("p", { class: "bad" }, row.note) : null;
    panel.querySelector(".known").replaceChildren(...[head, about, note, now].filter(Boolean));
  }

  async function ask() {
    if (!guid) return;
    const turn = ++asked;
    const answer = await fetch(path()).then((reply) => reply.json()).catch(() => null);
    if (turn !== asked || !answer) return;
    const focused = panel.querySelector("button:focus")?.textContent;
    const parts = answer.error ? [make("p", { class: "bad" }, answer.error)] : [
      answer.reasons.length ? make("section", {}, make("h3", {}, "Why"), make("ul", {}, ...answer.reasons.map((text) => make("li", {}, text)))) : null,
      answer.outputs.length ? make("section", {}, make("h3", {}, "Outputs"),
        make("div", { class: "outputs" }, ...answer.outputs.map((name) => make("button", { type: "button", "aria-pressed": String(name === shownOutput), onclick: () => toggle(name) }, name))),
        make("div", { class: "output" })) : null,
      list("Attributes", answer.attributes.map(([name, text, unit]) => [name, unit ? `${text} ${unit}` : text])),
    ];
    const box = make("div", { class: "answer" }, ...parts.filter(Boolean)), before = panel.querySelector(".answer");
    const shown = before?.querySelector(".output");
    if (before) before.replaceWith(box); else panel.append(box);
    if (shown?.childNodes.length && shownOutput) box.querySelector(".output")?.replaceChildren(...shown.childNodes);
    if (focused) [...panel.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
    if (shownOutput) read(shownOutput);
  }

  // -- outputs ----------------------------------------------------------------------------------

  const output = () => panel.querySelector(".output");

  function toggle(name) {
    const again = name === shownOutput;
    close();
    output()?.replaceChildren();
    shownOutput = again ? "" : name;
    for (const one of panel.querySelectorAll(".outputs button")) one.setAttribute("aria-pressed", String(one.textContent === shownOutput));
    if (!again) read(name);
  }

  // Follows an output; what is shown of it stays until its text arrives.
  function read(name) {
    if (tail || document.hidden || !output()) return;
    const source = tail = new EventSource(`${path()}/outputs/${name.split("/").map(encodeURIComponent).join("/")}`);
    if (!output().childNodes.length) output().replaceChildren(make("p", { class: "faint" }, "reading"));
    source.addEventListener("text", (event) => {
      const data = JSON.parse(event.data);
      if (!output()) { close(); return; }
      if (data.all) begin(name, data); else add(data);
      if (!data.running) close();
    });
    source.addEventListener("end", () => { close(); if (output()) write(output().querySelector("p"), "complete"); });
    for (const kind of ["away", "gone"]) {
      source.addEventListener(kind, (event) => {
        output()?.querySelector("p")?.replaceWith(make("p", { class: "bad" }, JSON.parse(event.data).message));
        if (kind === "gone") close();
      });
    }
    source.onerror = () => { if (source.readyState === EventSource.CLOSED && tail === source) close(); };
  }

  function close() {
    tail?.close();
    tail = null;
  }

  function begin(name, data) {
    if (data.error) { output().replaceChildren(make("p", { class: "faint" }, data.error)); return; }
    const about = data.running ? "live" : data.size === null ? "complete" : data.size > MOST ? `the end of ${data.size} bytes` : data.size ? `${data.size} bytes` : "empty";
    const text = make("pre", { tabindex: "0", "aria-label": name }, data.text);
    output().replaceChildren(make("p", { class: "faint" }, about), text);
    text.scrollTop = text.scrollHeight;
  }

  // Adds text, and follows the end unless the reader has scrolled up.
  function add(data) {
    const place = output().querySelector("pre");
    if (!place) return;
    const atEnd = place.scrollTop + place.clientHeight > place.scrollHeight - 30;
    place.textContent = data.left_out ? `… ${data.left_out} characters are left out …\n${data.text}` : (place.textContent + data.text).slice(-MOST);
    if (atEnd) place.scrollTop = place.scrollHeight;
  }

  // A page that is hidden is not read.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close(); else if (shownOutput && output()) read(shownOutput);
  });

  return { choose, show, ask, chosen: () => guid };
})();
