"use strict";
(() => {
  const { byId, make, duration, badge, write, follow, fill, strip } = nepiq;
  const WORDS = { f: "finished", x: "failed", c: "cancelled", a: "under way", m: "waiting for the script", "-": "not needed", ".": "to come" };
  const ORDER = "fxcam-.";
  let head = null, offset = 0, shape = "", asking = 0, asked = 0;

  const text = (pairs) => pairs.map(([name, value]) => `${name} = ${nepiqGrid.short(value)}`).join(", ") || "no parameters";
  const metric = (value) => (value === undefined || value === null ? "" : nepiqGrid.short(value));
  const seconds = (value) => (value === null || value === undefined ? "" : duration(value));
  const runLink = (run, kept) => (run && kept ? make("a", { href: `/runs/${run}` }, run) : make("span", { class: "faint" }, run || ""));

  function pace(rate) {
    if (!rate) return "";
    const [number, unit] = rate >= 1 ? [rate, "s"] : rate >= 1 / 60 ? [rate * 60, "min"] : [rate * 3600, "h"];
    return `${number.toPrecision(2) * 1} runs a ${unit === "min" ? "minute" : unit === "s" ? "second" : "hour"}`;
  }

  // -- head -------------------------------------------------------------------------------------

  function about() {
    const going = head.phase === "running", past = Date.now() / 1000 + offset - head.created;
    const parts = [`${head.done} of ${head.total} runs ended`, head.failed && `${head.failed} failed`, head.active && `${head.active} under way`,
      head.waiting && `${head.waiting} wait for the script`, head.again && `${head.again} begun again`, head.skipped && `${head.skipped} not needed`,
      head.hosts, head.priority && `priority ${head.priority}`, going && pace(head.rate), head.left, `submitted ${duration(past)} ago`, head.why];
    write(byId("about"), parts.filter(Boolean).join(" · "));
  }

  function counts() {
    if (head.shape.length) return nepiqGrid.counts();
    const ended = { f: head.finished, x: head.failed, c: head.cancelled, a: head.active, m: head.waiting, "-": head.skipped };
    return { ...ended, ".": Math.max(0, head.total - Object.values(ended).reduce((sum, n) => sum + n, 0)) };
  }

  function legend() {
    const found = counts(), shown = [...ORDER].filter((letter) => found[letter]);
    byId("legend").replaceChildren(...shown.map((letter) => make("li", {}, make("span", { class: `swatch c-${nepiq.CLASSES[letter]}`, "aria-hidden": "true" }), `${found[letter]} ${WORDS[letter]}`)));
    byId("progress").replaceChildren(...strip(found));
  }

  // -- a point ----------------------------------------------------------------------------------

  function pointed(index, event) {
    const tip = byId("tip");
    tip.hidden = index < 0 || event.pointerType === "touch";
    if (tip.hidden) return;
    write(tip, `${text(nepiqGrid.parameters(index))}\n${states(index)}`);
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > window.innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
  }

  function states(index) {
    const own = [...nepiqGrid.cellsOf(index)];
    return [...ORDER].map((letter) => [own.filter((one) => one === letter).length, letter]).filter(([n]) => n)
      .map(([n, letter]) => `${n} ${WORDS[letter]}`).join(", ");
  }

  function selected(index) {
    history.replaceState(null, "", `#${index}`);
    clearTimeout(asking);
    asking = setTimeout(ask, 120, index);
    const panel = byId("point");
    if (panel.dataset.point === String(index)) return;
    panel.dataset.point = index;
    panel.replaceChildren(make("h2", {}, text(nepiqGrid.parameters(index))), make("p", { class: "faint" }, states(index)));
  }

  async function ask(index) {
    const turn = ++asked;
    const answer = await fetch(`${location.pathname}/points/${index}`).then((reply) => reply.json()).catch(() => null);
    if (turn !== asked || !answer) return;
    const panel = byId("point"), focus = document.activeElement?.closest?.("#point a")?.getAttribute("href");
    const parts = answer.error ? [make("p", { class: "bad" }, answer.error)] : [make("p", { class: "faint" }, states(index)), runs(answer.runs)];
    panel.replaceChildren(make("h2", {}, text(nepiqGrid.parameters(index))), ...parts);
    if (focus) panel.querySelector(`a[href="${CSS.escape(focus)}"]`)?.focus();
  }

  function runs(list) {
    const shown = list.filter((one) => one.state !== "." && one.state !== "-");
    if (!shown.length) return make("p", { class: "faint" }, "None of its runs has begun.");
    const items = shown.map((one) => {
      const figures = Object.entries(one.metrics ?? {}).map(([name, value]) => `${name} ${metric(value)}`);
      const facts = [seconds(one.seconds), one.attempts > 1 && `${one.attempts} attempts`, ...Object.values(one.hosts ?? {}), ...figures].filter(Boolean).join(", ");
      return make("li", {}, `${one.repetition}: `, make("b", { class: one.state === "x" ? "bad" : "" }, WORDS[one.state]), " ", runLink(one.run, one.kept),
        facts ? make("div", { class: "faint" }, facts) : null, one.why ? make("div", { class: "bad" }, one.why) : null);
    });
    return make("ul", {}, ...items);
  }

  // -- tables -----------------------------------------------------------------------------------

  function causes() {
    byId("failures").hidden = !head.causes.length;
    fill("causes", head.causes, (one) => make("tr", {}, make("td", { class: "number" }, String(one.runs)), make("td", { class: "cause" }, one.cause), make("td", { class: "id" }, runLink(one.example, one.kept))));
  }

  function repeats() {
    byId("again").hidden = !head.repeats.length;
    fill("repeats", head.repeats, (one) => make("tr", {}, make("td", { class: "number" }, String(one.runs)), make("td", { class: "cause" }, one.cause), make("td", {}, one.hosts.join(", ")), make("td", { class: "id" }, runLink(one.example, one.kept))));
  }

  function troubles() {
    byId("health").hidden = !head.troubles.length;
    fill("troubles", head.troubles, (one) => {
      const name = one.host || (one.point === null ? `point ${one.id}` : make("a", { href: `#${one.point}` }, `point ${one.id}`));
      return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "cause" }, one.text));
    });
  }

  function newest() {
    const table = byId("rows-table"), titles = ["Point", "Repetition", "Outcome", ...head.metrics, "Took", "Hosts", "Ended", "Run"];
    byId("newest").hidden = !head.latest.length;
    if (table.dataset.titles !== titles.join("\n")) {
      table.dataset.titles = titles.join("\n");
      table.tHead.replaceChildren(make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title))));
    }
    fill("rows-table", head.latest, (one) => {
      const label = text(Object.entries(one.parameters));
      const point = one.point === null ? label : make("a", { href: `#${one.point}` }, label);
      return make("tr", {}, make("th", { scope: "row" }, point), make("td", {}, String(one.repetition)),
        make("td", { class: one.outcome === "failed" ? "bad cause" : "" }, one.outcome, one.why ? `: ${one.why}` : ""),
        ...head.metrics.map((name) => make("td", {}, metric(one.metrics[name]))),
        make("td", {}, seconds(one.seconds)), make("td", {}, Object.values(one.hosts).join(", ")),
        make("td", {}, one.ended ? new Date(one.ended * 1000).toLocaleTimeString() : ""), make("td", { class: "id" }, runLink(one.run, one.kept)));
    });
  }

  // -- all --------------------------------------------------------------------------------------

  async function describe() {
    const answer = await fetch(`${location.pathname}/points`).then((reply) => reply.json()).catch(() => null);
    if (!answer?.points) { shape = ""; return; }
    nepiqGrid.describe(answer);
    const asked_ = location.hash.slice(1);
    if (/^\d+$/.test(asked_)) nepiqGrid.choose(Number(asked_));
  }

  function show(data) {
    head = data;
    offset = data.now - Date.now() / 1000;
    const form = JSON.stringify([data.created, data.shape]), index = nepiqGrid.chosen();
    byId("field").hidden = !data.shape.length;
    byId("bare").hidden = data.shape.length > 0;
    write(byId("bare"), "The points of this campaign are too many for a grid, or a module of the user computes them.");
    if (data.letters !== null) {
      nepiqGrid.show(data.shape, data.letters);
      if (index >= 0) selected(index);
    } else if (nepiqGrid.change(data.changed).has(index)) selected(index);
    if (form !== shape && data.shape.length) { shape = form; describe(); }
    write(byId("name"), data.name);
    if (byId("phase").textContent !== data.phase) byId("phase").replaceChildren(badge(data.phase));
    document.title = `${data.name}: ${data.done} of ${data.total}`;
    about();
    legend();
    troubles();
    causes();
    repeats();
    newest();
  }

  nepiqGrid.when(selected, pointed);
  window.addEventListener("hashchange", () => { if (/^#\d+$/.test(location.hash)) nepiqGrid.choose(Number(location.hash.slice(1))); });
  setInterval(() => { if (head) about(); }, 1000);
  follow(`${location.pathname}/events`, { campaign: show });
})();
