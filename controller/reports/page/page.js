"use strict";
// The timeline. A page with an element "data" shows that; a live page calls show() with new data.
const nepiqTimeline = (() => {
  const element = document.getElementById("data");
  let data = element ? JSON.parse(element.textContent) : { rows: [], bars: [], marks: [], kinds: [], workers: [], texts: [] };
  const byId = (id) => document.getElementById(id);
  const ROW = 24, BAR = 14, AXIS = 28;
  const SIGNS = ["", "×", "?", "»"], ENDS = ["", "failed", "its worker was lost", "to be retried"];
  let HOW_WAIT = -1, HOW_RUN = -1, end = 0.001;
  const chart = byId("chart"), rowsAt = byId("rows"), tip = byId("tip");

  // Labels and errors are text, never markup.
  const esc = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const seconds = (t) => `${Math.abs(t) < 10 ? t.toFixed(3) : t.toFixed(2)} s`;
  const span = (t) => (t < 0.9995 ? `${(t * 1000).toFixed(t < 0.00995 ? 1 : 0)} ms` : `${t.toPrecision(3) * 1} s`);

  // -- visible rows ----------------------------------------------------------------------------

  let barsOf = [], marksOf = [], children = [];
  const folded = new Set();

  function arrange() {
    [HOW_WAIT, HOW_RUN] = [data.kinds.indexOf("wait"), data.kinds.indexOf("run")];
    end = Math.max(data.end || 0, 0.001);
    [barsOf, marksOf, children] = [0, 0, 0].map(() => data.rows.map(() => []));
    data.bars.forEach((bar, i) => barsOf[bar[0]].push(i));
    data.marks.forEach((mark) => marksOf[mark[0]].push(mark));
    data.rows.forEach((row, i) => { if (row[3] >= 0) children[row[3]].push(i); });
  }

  const view = { from: 0, span: end };
  let visible = [], placeOf = new Map(), selected = { row: -1, bar: -1 }, printing = false, frame = 0;

  function fit() {
    view.from = -end * 0.01;
    view.span = end * 1.03;
  }

  function matches(i, words, only) {
    const [, label, type, , state] = data.rows[i];
    const text = `${label} ${type} ${state}`.toLowerCase();
    const trouble = () => state === "FAILED" || barsOf[i].some((b) => data.bars[b][7]);
    return words.every((word) => text.includes(word)) && (!only || trouble());
  }

  function applyFilter() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean), only = byId("only").checked;
    const fits = data.rows.map((_, i) => matches(i, words, only));
    visible = [];
    data.rows.forEach((row, i) => {
      const host = row[3];
      if (host >= 0 && folded.has(host)) return;
      if (fits[i] || children[i].some((child) => fits[child])) visible.push(i);
    });
    placeOf = new Map(visible.map((row, place) => [row, place]));
    scheduleDraw();
  }

  // -- drawing of the rows in the viewport -----------------------------------------------------

  const measure = document.createElement("canvas").getContext("2d");
  function cut(text, room, bold) {
    measure.font = `${bold ? "600 " : ""}12px system-ui, sans-serif`;
    if (measure.measureText(text).width <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (measure.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle; else high = middle - 1;
    }
    return `${text.slice(0, low)}…`;
  }

  const wide = () => (printing ? 1000 : chart.clientWidth);
  const margin = () => Math.min(270, Math.round(wide() * 0.36));
  const scale = () => (wide() - margin() - 14) / view.span;
  const x = (t) => margin() + (t - view.from) * scale();
  const timeAt = (px) => view.from + (px - margin()) / scale();

  function step() {
    const interval = view.span / Math.max(2, (wide() - margin()) / 90);
    const power = 10 ** Math.floor(Math.log10(interval));
    return [1, 2, 5, 10].map((f) => f * power).find((s) => s >= interval * 0.999);
  }

  function ticks() {
    const every = step(), digits = Math.max(0, -Math.floor(Math.log10(every) + 1e-9)), positions = [];
    for (let n = Math.ceil(view.from / every); n * every <= view.from + view.span; n++) {
      if (n >= 0) positions.push([x(n * every), `${(n * every).toFixed(digits)} s`]);
    }
    return positions;
  }

  function drawAxis() {
    const marks = ticks().filter(([px]) => px >= margin() - 1);
    byId("axis").innerHTML = `<svg width="${wide()}" height="${AXIS}" aria-hidden="true">` +
      `<text class="faint" x="14" y="18">resource</text>` +
      marks.map(([px, text]) => `<line class="grid" x1="${px}" x2="${px}" y1="22" y2="28"/>` +
        `<text class="faint" x="${px}" y="18" text-anchor="${px < margin() + 20 ? "start" : "middle"}">${text}</text>`
      ).join("") + "</svg>";
  }

  function drawBar(i, top) {
    const [, kind, begin, stop, , , , how] = data.bars[i];
    const left = Math.max(margin() - 4, x(begin)), right = Math.min(wide() + 4, x(stop === null ? end : stop));
    if (right < margin() || left > wide()) return "";
    const width = Math.max(kind === HOW_RUN ? 1 : 2.5, right - left);
    const [y, high] = kind === HOW_WAIT ? [top + 8, 8] : kind === HOW_RUN ? [top + 6, BAR - 2] : [top + 5, BAR];
    const round = Math.min(3, width / 2);
    return `<rect class="bar ${data.kinds[kind]} ${how ? `bad${how}` : ""}" data-i="${i}" x="${left.toFixed(1)}" y="${y}" ` +
      `width="${width.toFixed(1)}" height="${high}" rx="${round.toFixed(1)}"/>`;
  }

  function drawSign(i, top) {
    const [, , begin, stop, , , , how] = data.bars[i];
    const px = Math.max(x(begin) + 2, x(stop === null ? end : stop));
    if (!how || px < margin() || px > wide()) return "";
    return `<circle class="bar end${how}" data-i="${i}" cx="${px.toFixed(1)}" cy="${top + 12}" r="6.5"/>` +
      `<text class="sign" x="${px.toFixed(1)}" y="${top + 16}">${SIGNS[how]}</text>`;
  }

  function drawBars(row, top) {
    const under = [], over = [], signs = [];
    let last = "";
    for (const i of barsOf[row]) {
      const bar = data.bars[i];
      // Of bars that fall on the same pixel, one is drawn.
      const pixel = `${bar[1]} ${Math.round(x(bar[2]) * 1.5)} ${Math.round(x(bar[3] === null ? end : bar[3]) * 1.5)} ${bar[7]}`;
      if (pixel === last) continue;
      last = pixel;
      (bar[1] === HOW_RUN ? under : over).push(drawBar(i, top));
      signs.push(drawSign(i, top));
    }
    for (const [, time, state] of marksOf[row]) {
      const px = x(time);
      if (px >= margin() && px <= wide()) {
        over.push(`<path class="diamond ${state === "FAILED" ? state : ""}" d="M${px.toFixed(1)} ${top + 7}l4 5-4 5-4-5z"/>`);
      }
    }
    return under.join("") + over.join("") + signs.join("");
  }

  function drawRow(place, top) {
    const row = visible[place], [, label, , host, reached] = data.rows[row], m = margin();
    const state = m < 170 ? "" : reached; // a narrow margin has room for the label only
    const head = host < 0 && children[row].length > 0;
    const indent = host >= 0 ? 30 : 14, sign = head ? (folded.has(row) ? "▸ " : "▾ ") : "";
    const room = m - indent - 14 - 7 * state.length;
    const name = esc(cut(sign + label + (head && folded.has(row) ? ` (+${children[row].length})` : ""), room, head));
    return (head ? `<rect class="band" y="${top}" width="${wide()}" height="${ROW}"/>` : "") +
      (selected.row === row ? `<rect class="line" y="${top}" width="${wide()}" height="${ROW}"/>` : "") +
      `<g class="${head ? "fold" : ""}" data-row="${row}"><rect y="${top}" width="${m - 8}" height="${ROW}" fill="transparent"/>` +
      `<text class="${head ? "host" : ""}" x="${indent}" y="${top + 16}">${name}</text>` +
      `<text class="faint state ${esc(state)}" x="${m - 12}" y="${top + 16}" text-anchor="end">${esc(state)}</text></g>`;
  }

  function drawChosen(first, last) {
    const place = placeOf.get(selected.row);
    if (selected.bar < 0 || place === undefined || place < first || place > last) return "";
    const bar = data.bars[selected.bar], left = Math.max(margin() - 4, x(bar[2]));
    const right = Math.min(wide() + 4, x(bar[3] === null ? end : bar[3]));
    return `<rect class="chosen" x="${left - 2.5}" y="${(place - first) * ROW + 2.5}" width="${Math.max(2.5, right - left) + 5}" ` +
      `height="${BAR + 5}" rx="4"/>`;
  }

  function drawBlock(first, last) {
    const height = (last - first + 1) * ROW, m = margin();
    const lines = [], bars = [];
    for (let place = first; place <= last; place++) {
      lines.push(drawRow(place, (place - first) * ROW));
      bars.push(drawBars(visible[place], (place - first) * ROW));
    }
    const grid = ticks().filter(([px]) => px >= m).map(([px]) => `<line class="grid" x1="${px}" x2="${px}" y2="${height}"/>`);
    return `<svg width="${wide()}" height="${height}" style="top:${first * ROW}px" role="img" aria-label="${last - first + 1} rows">` +
      `<defs><clipPath id="plot${first}"><rect x="${m - 4}" width="${wide()}" height="${height}"/></clipPath>` +
      `<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
      `<line class="hatch" y2="5"/></pattern></defs>${lines.join("")}` +
      `<g clip-path="url(#plot${first})">${grid.join("")}${bars.join("")}${drawChosen(first, last)}</g></svg>`;
  }

  function draw() {
    frame = 0;
    drawAxis();
    rowsAt.style.height = `${visible.length * ROW}px`;
    if (printing) {
      const blocks = [];
      for (let first = 0; first < visible.length; first += 30) blocks.push(drawBlock(first, Math.min(first + 29, visible.length - 1)));
      rowsAt.innerHTML = blocks.join("");
      return;
    }
    const first = Math.max(0, Math.floor((chart.scrollTop - AXIS) / ROW) - 4);
    const last = Math.min(visible.length - 1, first + Math.ceil(chart.clientHeight / ROW) + 8);
    rowsAt.innerHTML = last < first ? "" : drawBlock(first, last);
  }

  function scheduleDraw() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  // -- text of bars and rows -------------------------------------------------------------------

  function barText(i) {
    const [row, kind, begin, stop, attempt, outcome, worker, how, text] = data.bars[i];
    const duration = stop === null ? ", not ended" : ` to ${seconds(stop)}, ${span(stop - begin)}`;
    const attemptText = attempt > 0 && kind !== HOW_WAIT ? `, attempt ${attempt}` : "";
    const head = `<b>${esc(data.rows[row][1])}</b>: ${esc(data.kinds[kind])}${attemptText}`;
    const ending = how ? ` <b class="bad">${esc(ENDS[how])}</b>` : outcome ? `, ${esc(outcome)}` : "";
    const by = worker < 0 ? "" : `, by ${esc(data.workers[worker])}`;
    return { line: `${head}${ending}<br>from ${seconds(begin)}${duration}${by}`, text: text < 0 ? "" : data.texts[text] };
  }

  function rowText(i) {
    const [guid, label, type, host, state, note] = data.rows[i];
    const where = host < 0 ? "" : ` on ${esc(data.rows[host][1])}`;
    return { line: `<b>${esc(label)}</b>: ${esc(type)}, guid ${guid}${where}${state ? `, ${esc(state)}` : ""}`, text: note };
  }

  function showDetail() {
    const { row, bar } = selected;
    if (row < 0) {
      byId("detail").innerHTML = `<p style="color:var(--faint)">Select a bar to see its details: click it, or use the arrow keys.</p>`;
      return;
    }
    const { line, text } = bar < 0 ? rowText(row) : barText(bar);
    byId("detail").innerHTML = `<p>${line}</p>${text ? `<pre>${esc(text)}</pre>` : ""}`;
  }

  function select(row, bar, reveal) {
    selected = { row, bar };
    if (reveal && row >= 0) {
      const top = (placeOf.get(row) ?? 0) * ROW;
      if (top < chart.scrollTop + ROW) chart.scrollTop = top - ROW;
      const low = top + 2 * ROW + AXIS - chart.clientHeight;
      if (low > chart.scrollTop) chart.scrollTop = low;
      if (bar >= 0) {
        const [, , begin, stop] = data.bars[bar], last = stop === null ? end : stop;
        if (last < view.from || begin > view.from + view.span) view.from = begin - view.span * 0.2;
      }
    }
    showDetail();
    scheduleDraw();
    chart.dispatchEvent(new CustomEvent("chosen", { detail: row < 0 ? 0 : data.rows[row][0] }));
  }

  // Selects the row of a resource.
  function choose(guid) {
    const row = data.rows.findIndex((one) => one[0] === guid);
    if (row >= 0 && row !== selected.row) select(row, barsOf[row].at(-1) ?? -1, true);
  }

  // -- zoom, pan and selection -----------------------------------------------------------------

  function zoom(factor, around) {
    const t = around ?? view.from + view.span / 2;
    const width = Math.min(end * 1.2, Math.max(end * 1e-6, 1e-4, view.span * factor));
    view.from = t - (t - view.from) * (width / view.span);
    view.span = width;
    clampView();
  }

  function pan(by) {
    view.from += by;
    clampView();
  }

  function clampView() {
    const rest = view.span * 0.9;
    view.from = Math.min(Math.max(view.from, -rest), end - view.span + rest);
    scheduleDraw();
  }

  function fold(row) {
    if (!children[row].length) return;
    if (!folded.delete(row)) folded.add(row);
    applyFilter();
  }

  function move(by) {
    if (!visible.length) return;
    const place = placeOf.get(selected.row);
    const next = visible[place === undefined ? 0 : Math.min(visible.length - 1, Math.max(0, place + by))];
    const t = selected.bar < 0 ? view.from : data.bars[selected.bar][2];
    let best = -1;
    for (const i of barsOf[next]) {
      if (best < 0 || Math.abs(data.bars[i][2] - t) < Math.abs(data.bars[best][2] - t)) best = i;
    }
    select(next, best, true);
  }

  function along(by) {
    if (!placeOf.has(selected.row)) return move(0);
    const bars = barsOf[selected.row], place = bars.indexOf(selected.bar);
    if (bars.length) select(selected.row, bars[Math.min(bars.length - 1, Math.max(0, place + by))], true);
    return undefined;
  }

  const KEYS = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1),
    PageDown: () => move(Math.floor(chart.clientHeight / ROW) - 2), PageUp: () => move(2 - Math.floor(chart.clientHeight / ROW)),
    Home: () => move(-visible.length), End: () => move(visible.length),
    ArrowRight: (e) => (e.shiftKey ? pan(view.span / 8) : along(1)), ArrowLeft: (e) => (e.shiftKey ? pan(-view.span / 8) : along(-1)),
    "+": () => zoom(1 / 1.5, middle()), "=": () => zoom(1 / 1.5, middle()), "-": () => zoom(1.5, middle()),
    0: () => { fit(); scheduleDraw(); }, Enter: () => { if (selected.row >= 0) fold(selected.row); },
    Escape: () => select(-1, -1, false), "/": () => byId("filter").focus(),
  };

  function middle() {
    if (selected.bar < 0) return undefined;
    const [, , begin, stop] = data.bars[selected.bar], t = (begin + (stop === null ? end : stop)) / 2;
    return t > view.from && t < view.from + view.span ? t : undefined;
  }

  chart.addEventListener("keydown", (e) => {
    const act = KEYS[e.key];
    if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    act(e);
  });
  chart.addEventListener("scroll", scheduleDraw, { passive: true });
  chart.addEventListener("wheel", (e) => {
    const sideways = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
    if (e.ctrlKey || e.metaKey) zoom(Math.exp(Math.max(-60, Math.min(60, e.deltaY)) * 0.008), timeAt(e.clientX - chart.getBoundingClientRect().left));
    else if (sideways && (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY))) pan(sideways / scale());
    else return;
    e.preventDefault();
  }, { passive: false });

  let drag = null, panned = false;
  chart.addEventListener("pointerdown", (e) => {
    if (e.button === 0) drag = { x: e.clientX, from: view.from, moved: false };
  });
  window.addEventListener("pointerup", () => { drag = null; });
  chart.addEventListener("pointermove", (e) => {
    if (drag && (e.buttons & 1)) {
      drag.moved ||= Math.abs(e.clientX - drag.x) > 4;
      if (drag.moved) {
        panned = true;
        view.from = drag.from - (e.clientX - drag.x) / scale();
        clampView();
      }
    }
    const bar = e.target.closest?.("[data-i]"), row = e.target.closest?.("[data-row]");
    tip.hidden = Boolean(drag?.moved) || !(bar || row);
    if (tip.hidden) return;
    const { line, text } = bar ? barText(Number(bar.dataset.i)) : rowText(Number(row.dataset.row));
    tip.innerHTML = `${line}${text ? `\n${esc(text)}` : ""}`;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(e.clientX + 14, window.innerWidth - box.width - 8))}px`;
    tip.style.top = `${e.clientY + 18 + box.height > window.innerHeight ? e.clientY - box.height - 10 : e.clientY + 18}px`;
  });
  chart.addEventListener("pointerleave", () => { tip.hidden = true; });
  chart.addEventListener("click", (e) => {
    const dragged = panned;
    panned = false;
    if (dragged) return;
    const bar = e.target.closest("[data-i]"), row = e.target.closest("[data-row]");
    if (bar) select(data.bars[Number(bar.dataset.i)][0], Number(bar.dataset.i), false);
    else if (row) {
      select(Number(row.dataset.row), -1, false);
      fold(Number(row.dataset.row));
    }
  });
  chart.addEventListener("dblclick", (e) => {
    const t = timeAt(e.clientX - chart.getBoundingClientRect().left);
    if (t >= view.from) zoom(0.4, t);
  });
  byId("in").onclick = () => zoom(1 / 1.5, middle());
  byId("out").onclick = () => zoom(1.5, middle());
  byId("fit").onclick = () => { fit(); scheduleDraw(); };
  byId("filter").oninput = byId("only").onchange = () => { chart.scrollTop = 0; applyFilter(); };
  new ResizeObserver(scheduleDraw).observe(chart);
  window.addEventListener("beforeprint", () => { printing = true; draw(); });
  window.addEventListener("afterprint", () => { printing = false; scheduleDraw(); });

  // -- header ----------------------------------------------------------------------------------

  function about() {
    const counts = new Map();
    data.rows.forEach((row) => row[4] && counts.set(row[4], (counts.get(row[4]) || 0) + 1));
    const states = [...counts].sort((a, b) => b[1] - a[1]).map(([state, n]) => `${n} ${state}`);
    const when = data.begin ? new Date(data.begin * 1000).toLocaleString() : "";
    return [data.run_id && `run ${data.run_id}`, data.phase, when && `started ${when}`, data.begin && span(data.end),
      `${data.rows.length} resources`, ...states].filter(Boolean).join(" · ");
  }

  let listed = 0;
  function trouble() {
    const failures = [];
    data.bars.forEach((bar, i) => { if (bar[7] === 1 || bar[7] === 2) failures.push(i); });
    byId("trouble").hidden = !failures.length;
    if (!failures.length || failures.length === listed) return;
    listed = failures.length;
    const when = (i) => data.bars[i][3] ?? end;
    failures.sort((a, b) => when(a) - when(b));
    const box = byId("trouble"), list = box.querySelector("ul");
    list.replaceChildren();
    box.open = failures.length <= 4;
    box.querySelector("summary").textContent = `${failures.length} failed or lost`;
    for (const i of failures.slice(0, 500)) {
      const bar = data.bars[i], button = document.createElement("button");
      button.type = "button";
      button.textContent = `${seconds(when(i))}  ${data.rows[bar[0]][1]}: ${data.kinds[bar[1]]} ${ENDS[bar[7]]}` +
        (bar[8] < 0 ? "" : `: ${data.texts[bar[8]].split("\n")[0]}`);
      button.onclick = () => {
        folded.delete(data.rows[bar[0]][3]);
        byId("filter").value = "";
        applyFilter();
        select(bar[0], i, true);
        chart.focus();
      };
      list.appendChild(document.createElement("li")).appendChild(button);
    }
  }

  function legend() {
    const kinds = data.kinds.map((kind) => `<li><svg width="18" height="12" aria-hidden="true"><defs>` +
      `<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="hatch" y2="5"/></pattern></defs>` +
      `<rect class="${kind}" y="1" width="18" height="10" rx="2"/></svg>${kind}</li>`);
    const ends = [1, 2, 3].map((how) => `<li><svg width="13" height="13" aria-hidden="true"><circle class="end${how}" cx="6.5" cy="6.5" r="6.5"/>` +
      `<text class="sign" x="6.5" y="10.5">${SIGNS[how]}</text></svg>${["", "failed", "lost", "retried"][how]}</li>`);
    byId("legend").innerHTML = kinds.join("") + ends.join("");
  }

  // Replaces the data; the selection and the view stay, unless the view shows all.
  function show(fresh) {
    const whole = view.from === -end * 0.01 && view.span === end * 1.03;
    const chosen = selected.bar < 0 ? -1 : barsOf[selected.row].indexOf(selected.bar);
    const guid = selected.row < 0 ? -1 : data.rows[selected.row][0];
    data = fresh;
    arrange();
    const row = guid < 0 ? -1 : data.rows.findIndex((one) => one[0] === guid);
    selected = { row, bar: row < 0 || chosen < 0 ? -1 : barsOf[row][chosen] ?? -1 };
    if (whole) fit();
    byId("name").textContent = data.name;
    byId("about").textContent = about();
    if (!byId("legend").firstChild && data.kinds.length) legend();
    trouble();
    applyFilter();
    showDetail();
  }

  fit();
  show(data);
  return { show, choose };
})();
