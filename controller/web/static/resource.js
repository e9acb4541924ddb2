"use strict";
// The panel of the selected resource: its state, what it waits for, attributes and outputs.
const nepiqResource = (() => {
  const { byId, make, badge, rate } = nepiq;
  const panel = byId("resource");
  let guid = 0, asked = 0, shownOutput = "", wanted = null;

  const path = () => `${location.pathname}/resources/${guid}`;
  const value = (name, one) => (typeof one === "number" ? ((name === "in" || name === "out") ? rate(one) : String(+one.toPrecision(5))) : String(one));

  function choose(chosen) {
    if (chosen !== guid) shownOutput = "";
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
        make("div", { class: "outputs" }, ...answer.outputs.map((name) => make("button", { type: "button", "aria-pressed": String(name === shownOutput), onclick: () => read(name) }, name))),
        make("div", { class: "output" })) : null,
      list("Attributes", answer.attributes.map(([name, text, unit]) => [name, unit ? `${text} ${unit}` : text])),
    ];
    const box = make("div", { class: "answer" }, ...parts.filter(Boolean)), before = panel.querySelector(".answer");
    const output = before?.querySelector(".output");
    if (before) before.replaceWith(box); else panel.append(box);
    if (output?.childNodes.length && shownOutput) box.querySelector(".output")?.replaceChildren(...output.childNodes);
    if (focused) [...panel.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
    if (shownOutput) read(shownOutput);
  }

  async function read(name) {
    shownOutput = name;
    for (const one of panel.querySelectorAll(".outputs button")) one.setAttribute("aria-pressed", String(one.textContent === name));
    const turn = (wanted = {}), output = () => panel.querySelector(".output");
    if (output() && !output().childNodes.length) output().replaceChildren(make("p", { class: "faint" }, "reading"));
    const url = `${path()}/outputs/${name.split("/").map(encodeURIComponent).join("/")}`;
    const answer = await fetch(url).then((reply) => reply.json()).catch((error) => ({ error: String(error) }));
    if (turn !== wanted || !output()) return;
    if (answer.error) { output().replaceChildren(make("p", { class: "faint" }, answer.error)); return; }
    const cut = answer.first ? `the last ${answer.size - answer.first} of ${answer.size} bytes` : answer.size ? `${answer.size} bytes` : "empty";
    const text = make("pre", { tabindex: "0", "aria-label": name }, answer.text);
    output().replaceChildren(make("p", { class: "faint" }, cut, " ", make("button", { type: "button", onclick: () => read(name) }, "Read again")), text);
    text.scrollTop = text.scrollHeight;
  }

  return { choose, show, ask, chosen: () => guid };
})();
