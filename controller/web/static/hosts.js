"use strict";
(() => {
  const { byId, make, duration, badge, write, follow, fill } = nepiq;
  let pools = [], requests = [], state = null, offset = 0;

  const run = (one) => (one.kept ? make("a", { href: `/runs/${one.run}` }, one.name || one.run) : make("span", { class: "faint" }, one.run));
  const resource = (one, guid) => (one.kept ? make("a", { href: `/runs/${one.run}#${guid}` }, `guid ${guid}`) : `guid ${guid}`);
  const age = (since) => make("td", { class: "number", "data-since": since }, past(since));
  const past = (since) => duration(Date.now() / 1000 + offset - since);
  const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toPrecision(3)} GB` : `${(bytes / 1e6).toPrecision(3)} MB`);

  function host(one) {
    const labels = Object.entries(one.labels).map(([name, value]) => `${name}=${value}`).join(" ");
    const lease = one.lease;
    const held = lease ? [make("td", {}, run(lease)), make("td", {}, resource(lease, lease.guid)), age(lease.since)] : [make("td", { class: "faint" }, "free"), make("td"), make("td")];
    const troubles = one.troubles.map((each) => make("div", { class: "bad" }, "in campaign ", make("a", { href: `/campaigns/${encodeURIComponent(each.campaign)}` }, each.campaign), ` it ${each.text}`));
    return make("tr", {}, make("th", { scope: "row" }, one.host), make("td", { class: "faint" }, labels, ...troubles), ...held);
  }

  function title(one) {
    const busy = one.hosts.filter((each) => each.lease).length;
    return one.name ? `${one.name}: ${busy} of ${one.hosts.length} leased` : "Of pools that only runs describe";
  }

  function pool(one) {
    const names = ["Host", "Labels", "Held by", "Resource"].map((name) => make("th", { scope: "col" }, name));
    const head = make("thead", {}, make("tr", {}, ...names, make("th", { scope: "col", class: "number" }, "For")));
    return make("section", { class: "pool" }, make("h3", {}, title(one)), one.problem ? make("p", { class: "bad" }, one.problem) : null,
      make("div", { class: "wide" }, make("table", {}, head, make("tbody"))));
  }

  // The tables of pools stay, so that rows in them keep the focus.
  function showPools() {
    const place = byId("pools");
    const form = JSON.stringify(pools.map((one) => [one.name, one.problem]));
    if (place.dataset.form !== form) {
      place.dataset.form = form;
      place.replaceChildren(...pools.map(pool));
    }
    pools.forEach((one, index) => {
      const section = place.children[index];
      write(section.querySelector("h3"), title(one));
      fill(section.querySelector("table"), one.hosts, host);
    });
    byId("no-pools").hidden = pools.length > 0;
  }

  function showRequests() {
    byId("requests").hidden = !requests.length;
    const placed = requests.map((one, index) => ({ ...one, place: index + 1 }));
    fill("queue", placed, (one) => make("tr", {}, make("td", { class: "number" }, String(one.place)), make("td", {}, run(one)),
      make("td", {}, ...one.guids.flatMap((guid, index) => (index ? [", ", resource(one, guid)] : [resource(one, guid)]))), make("td", { class: "cause" }, one.text)));
  }

  function showWorkers() {
    fill("workers", state.workers, (one) => make("tr", {}, make("th", { scope: "row" }, one.name), make("td", {}, badge(one.state)), make("td", {}, one.sites.join(", ")),
      make("td", { class: "faint" }, one.machine), make("td", { class: "number" }, one.slots ? `${one.running} of ${one.slots}` : String(one.running)), age(one.beat), make("td", { class: "faint" }, one.version)));
    byId("no-workers").hidden = state.workers.some((one) => one.state !== "silent");
    fill("queues", state.queues, (one) => make("tr", {}, make("th", { scope: "row" }, one.name), make("td", { class: one.waiting && !one.served ? "number bad" : "number" }, String(one.waiting)),
      make("td", { class: one.served ? "number" : "number bad" }, String(one.served))));
  }

  function about() {
    if (!state) return;
    const hosts = pools.flatMap((one) => one.hosts), busy = hosts.filter((one) => one.lease).length, alive = state.workers.filter((one) => one.state !== "silent").length;
    const { memory, limit, full, aof, healthy } = state.redis;
    const kept = aof ? (healthy ? "data is persistent" : "its last write to disk failed") : "data is lost if it ends";
    write(byId("about"), `${busy} of ${hosts.length} hosts leased · ${alive === 1 ? "1 worker" : `${alive} workers`} · Redis: ${size(memory)}${limit ? ` of ${size(limit)}` : ""}${full ? ", nearly full" : ""}, ${kept}`);
  }

  function take(kind, show) {
    return (data) => {
      offset = data.now - Date.now() / 1000;
      if (kind === "pools") ({ pools } = data); else if (kind === "requests") ({ requests } = data); else state = data;
      show();
      about();
    };
  }

  setInterval(() => {
    for (const cell of document.querySelectorAll("[data-since]")) write(cell, past(Number(cell.dataset.since)));
  }, 1000);
  follow("/hosts/events", { pools: take("pools", showPools), requests: take("requests", showRequests), workers: take("workers", showWorkers) });
})();
