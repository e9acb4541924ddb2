"use strict";
(() => {
  const { byId, make, duration, badge, write, follow, fill } = nepiq;
  const ORDER = ["FAILED", "STARTED", "READY", "PROVISIONED", "RESERVED", "DISCOVERED", "NEW", "STOPPED", "FINISHED", "RELEASED"];
  let active = [], ended = [], earlier = [], about = {};

  const matches = (run) => {
    const text = `${run.name} ${run.id} ${run.phase} ${run.cause}`.toLowerCase();
    return byId("filter").value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  };

  function states(counts) {
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0) || 1;
    const known = ORDER.filter((state) => counts[state]);
    const strip = make("span", { class: "strip", "aria-hidden": "true" });
    for (const state of known) {
      const part = make("span", { class: `fill s-${state}` });
      part.style.flexGrow = counts[state] / total;
      strip.append(part);
    }
    return [strip, make("span", { class: "faint" }, known.map((state) => `${counts[state]} ${state}`).join(", "))];
  }

  const link = (run) => make("a", { href: `/runs/${run.id}` }, run.name || "(no name)");
  const number = (run) => make("td", { class: "faint id" }, run.id);
  const cause = (run) => make("td", { class: run.cause ? "bad cause" : "cause" }, run.cause);

  function activeRow(run) {
    return make("tr", {}, make("th", { scope: "row" }, link(run)), make("td", {}, badge(run.phase)),
      make("td", { class: "states" }, ...states(run.states)),
      make("td", { class: "number", "data-created": run.created }, duration(Date.now() / 1000 - run.created)), cause(run), number(run));
  }

  function endedRow(run) {
    const failed = run.cause && run.phase === "RELEASED" ? "FAILED" : run.phase;
    return make("tr", {}, make("th", { scope: "row" }, link(run)), make("td", {}, badge(failed)),
      make("td", {}, new Date(run.created * 1000).toLocaleString()), cause(run), number(run));
  }

  function show() {
    fill("active", active.filter(matches), activeRow);
    const listed = new Set(ended.map((run) => run.id));
    const all = [...ended, ...earlier.filter((run) => !listed.has(run.id))];
    fill("ended", all.filter(matches), endedRow);
    byId("active").hidden = !active.length;
    byId("idle").hidden = active.length > 0;
    byId("more").hidden = all.length >= about.released;
    const workers = about.workers === 1 ? "1 worker" : `${about.workers} workers`;
    write(byId("about"), `${active.length} active and ${about.released} ended runs · ${workers} · ${about.waiting} messages wait`);
    document.title = active.length ? `(${active.length}) nepiq: Runs` : "nepiq: Runs";
  }

  byId("filter").oninput = show;
  byId("more").onclick = async () => {
    const last = [...ended, ...earlier].reduce((first, run) => (run.id < first ? run.id : first), "~");
    const answer = await fetch(`/ended?before=${encodeURIComponent(last)}`);
    if (!answer.ok) return;
    const known = new Set([...active, ...ended, ...earlier].map((run) => run.id));
    earlier.push(...(await answer.json()).filter((run) => !known.has(run.id)));
    show();
  };
  setInterval(() => {
    for (const cell of document.querySelectorAll("[data-created]")) cell.textContent = duration(Date.now() / 1000 - cell.dataset.created);
  }, 1000);

  follow("/events", {
    runs: (data) => {
      // Runs that leave the latest hundred stay visible.
      const fresh = new Set(data.ended.map((run) => run.id));
      if (earlier.length) earlier.unshift(...ended.filter((run) => !fresh.has(run.id) && !earlier.some((one) => one.id === run.id)));
      ({ active, ended } = data);
      about = data;
      show();
    },
  });
})();
