"use strict";
// The network of a run: hosts, the lines that join them, their load, and the routes of flows.
const nepiqNetwork = (() => {
  const { byId, draw, rate } = nepiq;
  const place = byId("network");
  const WIDE = 760, MARGIN = 64;
  let drawn = "", parts = new Map(), positions = new Map(), high = 300;

  // -- positions: distances in the picture are those along the lines (stress majorization) -------

  function distances(hosts, edges) {
    const n = hosts.length, index = new Map(hosts.map((guid, i) => [guid, i]));
    const far = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_x, j) => (i === j ? 0 : Infinity)));
    const delays = edges.map((edge) => edge.delay).filter((delay) => delay > 0);
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / (delays.length || 1);
    for (const edge of edges) {
      const [i, j] = edge.ends.map((guid) => index.get(guid));
      const length = edge.delay > 0 ? Math.min(2.5, Math.max(0.55, edge.delay / mean)) : 1;
      far[i][j] = far[j][i] = Math.min(far[i][j], length);
    }
    for (let k = 0; k < n; k++) for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) far[i][j] = Math.min(far[i][j], far[i][k] + far[k][j]);
    return far.map((row) => row.map((value) => (Number.isFinite(value) ? value : 4)));
  }

  function layout(hosts, edges) {
    const n = hosts.length, far = distances(hosts, edges);
    let at = hosts.map((_, i) => [Math.cos((2 * Math.PI * i) / n) * n / 5, Math.sin((2 * Math.PI * i) / n) * n / 5]);
    for (let round = 0; round < (n > 150 ? 60 : 250); round++) {
      at = at.map((here, i) => {
        let x = 0, y = 0, weight = 0;
        for (let j = 0; j < n; j++) {
          if (i === j) continue;
          const w = 1 / far[i][j] ** 2, dx = here[0] - at[j][0], dy = here[1] - at[j][1], d = Math.hypot(dx, dy) || 1e-6;
          x += w * (at[j][0] + (far[i][j] * dx) / d);
          y += w * (at[j][1] + (far[i][j] * dy) / d);
          weight += w;
        }
        return weight ? [x / weight, y / weight] : here;
      });
    }
    return spread(turned(at));
  }

  // The longest extent lies horizontally, and the first host at the upper left.
  function turned(at) {
    const n = at.length || 1, mean = [0, 1].map((k) => at.reduce((sum, p) => sum + p[k], 0) / n);
    const centred = at.map((p) => [p[0] - mean[0], p[1] - mean[1]]);
    const moment = (a, b) => centred.reduce((sum, p) => sum + p[a] * p[b], 0);
    const angle = Math.atan2(2 * moment(0, 1), moment(0, 0) - moment(1, 1)) / 2;
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const flat = centred.map(([x, y]) => [c * x + s * y, c * y - s * x]);
    const signs = [0, 1].map((k) => (flat.length && flat[0][k] > 0 ? -1 : 1));
    return flat.map(([x, y]) => [x * signs[0], y * signs[1]]);
  }

  function spread(at) {
    const [low, top] = [0, 1].map((k) => [Math.min(...at.map((p) => p[k])), Math.max(...at.map((p) => p[k]))]);
    const width = low[1] - low[0] || 1, height = top[1] - top[0];
    const scale = (WIDE - 2 * MARGIN) / width;
    high = Math.max(220, Math.min(430, height * scale + 2 * 44));
    const down = height ? (high - 2 * 44) / height : 0;
    return at.map(([x, y]) => [MARGIN + (x - low[0]) * scale, height ? 44 + (y - top[0]) * down : high / 2]);
  }

  // -- lines ------------------------------------------------------------------------------------

  // Lines between the same two hosts, such as both ends of one between machines, are one edge.
  function edgesOf(head, rows) {
    const edges = new Map();
    for (const line of head.lines) {
      if (line.ends.length !== 2) continue;
      const key = [...line.ends].sort((a, b) => a - b).join(" ");
      const edge = edges.get(key) || { key, ends: line.ends, guids: [], on: [], delay: 0 };
      edge.guids.push(line.guid);
      edge.on.push(...line.on);
      for (const guid of line.on) edge.delay = Math.max(edge.delay, Number(rows.get(guid)?.shown.delay) || 0);
      edges.set(key, edge);
    }
    return [...edges.values()];
  }

  // The place for the text of an edge, as far from other texts as there is one.
  function free(x1, y1, x2, y2, taken) {
    const room = ([x, y]) => Math.min(...taken.map(([a, b]) => Math.max(Math.abs(a - x) / 84, Math.abs(b - y) / 16)));
    const places = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74].map((t) => [x1 + (x2 - x1) * t, y1 + (y2 - y1) * t + 4]);
    const best = places.find((one) => room(one) >= 1) ?? places.reduce((a, b) => (room(b) > room(a) ? b : a));
    taken.push(best);
    return best;
  }

  function build(head, rows, edges, choose) {
    const hosts = [...new Set(edges.flatMap((edge) => edge.ends))];
    const found = layout(hosts, edges);
    positions = new Map(hosts.map((guid, i) => [guid, found[i]]));
    parts = new Map();
    const routes = draw("g", { class: "routes" }), lines = draw("g"), texts = draw("g"), names = draw("g");
    const taken = hosts.map((guid) => [positions.get(guid)[0], positions.get(guid)[1] + 14]);
    for (const edge of edges) {
      const [[x1, y1], [x2, y2]] = edge.ends.map((guid) => positions.get(guid));
      const [tx, ty] = free(x1, y1, x2, y2, taken);
      const way = `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`;
      const wire = draw("path", { class: "wire", d: way }), text = draw("text", { class: "load", x: tx, y: ty });
      const title = draw("title");
      const group = button(draw("g", { class: "edge" }, title, draw("path", { class: "reach", d: way }), wire), () => choose(edge.guids[0]));
      lines.append(group);
      texts.append(text);
      parts.set(edge.key, { wire, text, title, group });
    }
    for (const guid of hosts) {
      const [x, y] = positions.get(guid), dot = draw("circle", { cx: x, cy: y, r: 8 });
      const name = draw("text", { class: "name", x, y: y + 22 }, rows.get(guid)?.label ?? String(guid));
      names.append(button(draw("g", { class: "host-dot" }, dot, name), () => choose(guid)));
      parts.set(guid, { dot });
    }
    const picture = draw("svg", { viewBox: `0 0 ${WIDE} ${Math.round(high)}`, role: "group", "aria-label": "Network" }, routes, lines, texts, names);
    parts.set("routes", { routes });
    place.replaceChildren(picture);
  }

  function button(group, act) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.addEventListener("click", act);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); }
    });
    return group;
  }

  // -- state ------------------------------------------------------------------------------------

  function conditionOf(edge, rows, readings) {
    const shown = [...edge.guids, ...edge.on].map((guid) => rows.get(guid)?.shown ?? {});
    const first = (name) => shown.map((one) => one[name]).find((value) => value !== undefined);
    const loads = edge.guids.flatMap((guid) => [readings[guid]?.out, readings[guid]?.in]).filter(Number.isFinite);
    return {
      down: shown.some((one) => one.up === false || one.up === "False"),
      loss: Math.max(0, ...shown.map((one) => Number(one.loss) || 0)),
      delay: Number(first("delay")) || 0, rate: Number(first("rate")) || 0,
      load: loads.length ? Math.max(...loads) : null,
    };
  }

  function refreshEdge(edge, rows, readings) {
    const { wire, text, title, group } = parts.get(edge.key), now = conditionOf(edge, rows, readings);
    const used = now.load !== null && now.rate ? Math.min(1, now.load / now.rate) : 0;
    const failed = edge.guids.some((guid) => rows.get(guid)?.state === "FAILED");
    wire.setAttribute("class", `wire ${now.down || failed ? "down" : now.loss ? "lossy" : used > 0.02 ? "busy" : ""}`);
    wire.style.strokeWidth = `${(1.6 + 4.4 * Math.sqrt(used)).toFixed(2)}px`;
    const words = [now.down ? "down" : now.load !== null && now.load >= 5e4 ? rate(now.load) : "", now.loss ? `${now.loss} % loss` : ""];
    nepiq.write(text, words.filter(Boolean).join(" · "));
    const ends = edge.ends.map((guid) => rows.get(guid)?.label).join(" – ");
    const facts = [now.delay && `${(now.delay * 1000).toPrecision(3) * 1} ms each way`, now.rate && `up to ${rate(now.rate)}`, ...words];
    nepiq.write(title, [ends, ...facts].filter(Boolean).join(", "));
    group.setAttribute("aria-label", title.textContent);
  }

  // The hosts from one to another over as many edges as there were hops, of which some did not answer.
  function between(from, to, hops, next) {
    let ways = [[from]];
    for (let hop = 0; hop < hops && ways.length < 500; hop++) {
      ways = ways.flatMap((way) => (next.get(way.at(-1)) ?? []).filter((host) => !way.includes(host)).map((host) => [...way, host]));
    }
    return ways.find((way) => way.at(-1) === to)?.slice(1) ?? [to];
  }

  function hostsOf(route, start, head, next) {
    const way = [start];
    let silent = 0;
    for (const address of String(route).split(" ")) {
      const host = head.addresses[address];
      if (!positions.has(host)) { silent++; continue; }
      if (host !== way.at(-1)) way.push(...(silent ? between(way.at(-1), host, silent + 1, next) : [host]));
      silent = 0;
    }
    return way;
  }

  function refreshRoutes(head, rows, readings, edges) {
    const ways = [], next = new Map();
    for (const edge of edges.filter((one) => !conditionOf(one, rows, readings).down)) {
      for (const [a, b] of [edge.ends, [...edge.ends].reverse()]) next.set(a, [...(next.get(a) ?? []), b]);
    }
    for (const [guid, values] of Object.entries(readings)) {
      const row = rows.get(Number(guid));
      if (!values.route || !row || row.state !== "STARTED") continue;
      const points = hostsOf(values.route, row.inside ?? row.host, head, next).map((host) => positions.get(host)).filter(Boolean);
      if (points.length > 1) {
        ways.push(draw("path", { class: "route", d: `M${points.map((p) => p.map((v) => v.toFixed(1)).join(" ")).join("L")}` },
          draw("title", {}, `route of ${row.label}`)));
      }
    }
    parts.get("routes").routes.replaceChildren(...ways);
  }

  // Shows the network; returns whether there is one.
  function show(head, rows, readings, choose) {
    const edges = edgesOf(head, rows).filter((edge) => edge.ends.every((guid) => rows.has(guid)));
    if (!edges.length) return false;
    const form = JSON.stringify(edges.map((edge) => [edge.key, edge.delay > 0]));
    if (form !== drawn) {
      build(head, rows, edges, choose);
      drawn = form;
    }
    edges.forEach((edge) => refreshEdge(edge, rows, readings));
    const inner = new Map();
    for (const row of rows.values()) {
      const host = row.inside ?? row.host;
      if (row.state === "FAILED" && host !== null) inner.set(host, "FAILED");
    }
    for (const guid of positions.keys()) parts.get(guid).dot.setAttribute("class", `dot s-${inner.get(guid) ?? rows.get(guid)?.state}`);
    refreshRoutes(head, rows, readings, edges);
    return true;
  }

  return { show };
})();
