"use strict";
(() => {
  const { byId, make, badge, write, follow, fill, strip } = nepiq;
  let campaigns = [], number = 0;

  const matches = (one) => {
    const text = `${one.name} ${one.phase} ${one.why}`.toLowerCase();
    return byId("filter").value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  };

  function row(one) {
    const counts = { x: one.failed, c: one.cancelled, f: one.finished, a: one.active, m: one.waiting, "-": one.skipped };
    const rest = one.total - Object.values(counts).reduce((sum, n) => sum + n, 0);
    const words = [`${one.done} of ${one.total} ended`, one.active && `${one.active} under way`, one.waiting && `${one.waiting} wait for the script`,
      one.skipped && `${one.skipped} not needed`, one.why].filter(Boolean).join(", ");
    return make("tr", {}, make("th", { scope: "row" }, make("a", { href: `/campaigns/${encodeURIComponent(one.name)}` }, one.name)),
      make("td", {}, badge(one.phase)),
      make("td", { class: "states" }, make("span", { class: "strip", "aria-hidden": "true" }, ...strip({ ...counts, ".": Math.max(0, rest) })), make("span", { class: "faint" }, words)),
      make("td", { class: one.failed ? "number bad" : "number faint" }, String(one.failed)),
      make("td", {}, new Date(one.created * 1000).toLocaleString()));
  }

  function show() {
    fill("campaigns", campaigns.filter(matches), row);
    byId("campaigns").hidden = !campaigns.length;
    byId("idle").hidden = campaigns.length > 0;
    const running = campaigns.filter((one) => one.phase === "running" || one.active).length;
    const listed = number > campaigns.length ? `, of which the latest ${campaigns.length} are listed` : "";
    write(byId("about"), `${running} running, ${number} in all${listed}`);
    document.title = running ? `(${running}) nepiq: Campaigns` : "nepiq: Campaigns";
  }

  byId("filter").oninput = show;
  follow("/campaigns/events", { campaigns: (data) => { ({ campaigns, number } = data); show(); } });
})();
