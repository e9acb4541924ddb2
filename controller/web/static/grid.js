"use strict";
// The grid of a campaign: a cell for each point, in it a strip for each repetition, drawn on a canvas.
const nepiqGrid = (() => {
  const { byId } = nepiq;
  const COLOURS = { f: "--finished", x: "--failed", c: "--stopped", a: "--started", m: "--busy", "-": "--panel", ".": "--rim" };
  // The order within a cell that is too small for a strip for each repetition.
  const ORDER = "xamcf.-";
  const grid = byId("grid"), canvas = grid.querySelector("canvas"), mark = byId("mark"), pen = canvas.getContext("2d");
  const TALL = 420, SMALL = 4, LARGE = 26, WIDEST = 64;
  let letters = [], first = [0], names = [], points = [], form = null, chosen = -1, looks = {}, take = () => {}, point = () => {};

  const count = () => first.length - 1;
  const cellsOf = (index) => letters.slice(first[index], first[index + 1]);
  const short = (value) => (typeof value === "number" ? String(+value.toPrecision(5)) : String(value));

  // -- the places of points ---------------------------------------------------------------------

  // How many values of the last parameters stand in a row, if the others are the same in it, and all
  // rows have the same values; 0 if the points are not such a table.
  function across(last) {
    const head = (index) => JSON.stringify(points[index].slice(0, -last)), tail = (index) => JSON.stringify(points[index].slice(-last));
    let wide = 1;
    while (wide < points.length && head(wide) === head(0)) wide++;
    if (wide < 2 || wide === points.length || points.length % wide) return 0;
    const tails = Array.from({ length: wide }, (_, column) => tail(column));
    for (let index = wide; index < points.length; index++) {
      if (tail(index) !== tails[index % wide] || head(index) !== head(index - (index % wide))) return 0;
    }
    return wide;
  }

  function table(room) {
    if (points.length !== count()) return null;
    let best = null;
    for (let last = 1; last < names.length; last++) {
      const columns = across(last);
      const wide = room / columns, high = TALL / (count() / columns);
      const side = Math.min(wide, high, LARGE);
      if (columns && wide >= SMALL && (!best || side > best.side)) best = { last, columns, side };
    }
    return best;
  }

  function arrange() {
    const room = grid.clientWidth - 2, found = table(room * 0.8);
    pen.font = "12px system-ui, sans-serif";
    if (!found) {
      const side = Math.max(SMALL, Math.min(LARGE, Math.floor(Math.sqrt((room * TALL) / Math.max(1, count())))));
      form = { columns: Math.max(1, Math.floor(room / side)), wide: side, high: side, left: 0, top: 0, last: 0 };
    } else {
      const rows = count() / found.columns;
      const titles = Array.from({ length: rows }, (_, row) => points[row * found.columns].slice(0, -found.last).map(short).join(", "));
      const over = Array.from({ length: found.columns }, (_, column) => points[column].slice(-found.last).map(short).join(", "));
      const rowName = names.slice(0, -found.last).join(", "), columnName = names.slice(-found.last).join(", ");
      const longest = [`${rowName} ↓`, ...titles].reduce((most, text) => Math.max(most, pen.measureText(text).width), 0);
      const left = Math.min(Math.ceil(longest) + 12, Math.floor(room * 0.3));
      const wide = Math.max(SMALL, Math.min(WIDEST, Math.floor((room - left) / found.columns)));
      const high = Math.max(SMALL, Math.min(LARGE - 4, Math.floor(TALL / rows)));
      form = { columns: found.columns, wide, high, left, top: 36, last: found.last, titles, over, rowName, columnName };
    }
    form.rows = Math.ceil(count() / form.columns);
    form.gap = Math.min(form.wide, form.high) < 6 ? 0.5 : 1;
    const [width, height] = [form.left + form.columns * form.wide, form.top + form.rows * form.high];
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw();
  }

  const place = (index) => [form.left + (index % form.columns) * form.wide, form.top + Math.floor(index / form.columns) * form.high];

  function at(event) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left - form.left, y = event.clientY - box.top - form.top;
    const column = Math.floor(x / form.wide), index = Math.floor(y / form.high) * form.columns + column;
    return x >= 0 && y >= 0 && column < form.columns && index < count() ? index : -1;
  }

  // -- drawing ----------------------------------------------------------------------------------

  function cut(text, room) {
    if (pen.measureText(text).width <= room) return text;
    let length = text.length;
    while (length > 1 && pen.measureText(`${text.slice(0, length)}…`).width > room) length--;
    return `${text.slice(0, length)}…`;
  }

  function drawTitles() {
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = looks.faint;
    pen.textAlign = "left";
    pen.fillText(`${form.columnName} →`, form.left, 12);
    pen.fillText(cut(`${form.rowName} ↓`, form.left - 8), 0, 30);
    // Titles that would cover others are left out.
    const every = Math.ceil((Math.max(...form.over.map((text) => pen.measureText(text).width)) + 6) / form.wide);
    form.over.forEach((text, column) => { if (column % every === 0) pen.fillText(text, form.left + column * form.wide + 1, 30); });
    pen.textAlign = "right";
    const down = Math.ceil(14 / form.high);
    form.titles.forEach((text, row) => {
      if (row % down === 0) pen.fillText(cut(text, form.left - 8), form.left - 6, form.top + row * form.high + (form.high < 14 ? 12 : form.high / 2 + 4));
    });
  }

  function drawCell(index) {
    const [x, y] = place(index), wide = form.wide - form.gap, high = form.high - form.gap;
    const own = first[index + 1] - first[index], strip = wide / own;
    pen.fillStyle = looks.page;
    pen.fillRect(x, y, form.wide, form.high);
    const shown = strip >= 1.5 ? cellsOf(index) : [...cellsOf(index)].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
    for (let begin = 0; begin < own;) {
      let stop = begin + 1;
      // Of strips that are wide enough each is seen; narrower ones of the same state are one.
      while (strip < 4 && stop < own && shown[stop] === shown[begin]) stop++;
      const left = x + begin * strip, room = (stop - begin) * strip - (strip >= 4 && stop < own ? 1 : 0);
      pen.fillStyle = looks[shown[begin]];
      pen.fillRect(left, y, room, high);
      if (shown[begin] === "x" && room >= 6 && high >= 8) cross(left + room / 2, y + high / 2);
      begin = stop;
    }
  }

  // Failures are told not by their colour only.
  function cross(x, y) {
    pen.strokeStyle = looks.page;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x - 2.5, y - 2.5); pen.lineTo(x + 2.5, y + 2.5); pen.moveTo(x + 2.5, y - 2.5); pen.lineTo(x - 2.5, y + 2.5);
    pen.stroke();
  }

  function draw() {
    if (!form) return;
    const style = getComputedStyle(document.body);
    looks = { page: style.getPropertyValue("--page"), faint: style.getPropertyValue("--faint") };
    for (const [letter, name] of Object.entries(COLOURS)) looks[letter] = style.getPropertyValue(name);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (form.last) drawTitles();
    for (let index = 0; index < count(); index++) drawCell(index);
    outline();
  }

  function outline() {
    mark.hidden = chosen < 0 || !form;
    if (mark.hidden) return;
    const [x, y] = place(chosen);
    Object.assign(mark.style, { left: `${x - 2}px`, top: `${y - 2}px`, width: `${form.wide - form.gap + 4}px`, height: `${form.high - form.gap + 4}px` });
  }

  // -- selection --------------------------------------------------------------------------------

  function choose(index) {
    if (index < 0 || index >= count()) return;
    chosen = index;
    outline();
    mark.scrollIntoView({ block: "nearest", inline: "nearest" });
    take(index);
  }

  function move(by) {
    const next = chosen < 0 ? 0 : chosen + by;
    if (next >= 0 && next < count()) choose(next);
  }

  function nextFailed() {
    for (let step = 1; step <= count(); step++) {
      const index = (Math.max(chosen, -1) + step) % count();
      if (cellsOf(index).includes("x")) { choose(index); return; }
    }
  }

  const KEYS = {
    ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => move(form.columns), ArrowUp: () => move(-form.columns),
    Home: () => choose(0), End: () => choose(count() - 1), n: nextFailed,
    Enter: () => byId("point").querySelector("a")?.focus(),
  };
  grid.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || !form || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  grid.addEventListener("focus", () => { if (chosen < 0 && form && grid.matches(":focus-visible")) choose(0); });
  canvas.addEventListener("click", (event) => { choose(at(event)); });
  canvas.addEventListener("pointermove", (event) => { point(at(event), event); });
  canvas.addEventListener("pointerleave", (event) => { point(-1, event); });
  let width = 0;
  new ResizeObserver(() => {
    if (grid.clientWidth === width || !count()) return;
    width = grid.clientWidth;
    arrange();
  }).observe(grid);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // -- for the page -----------------------------------------------------------------------------

  // Takes all cells; shape has the number of points and of repetitions of each space.
  function show(shape, text) {
    const before = count();
    letters = [...text];
    first = [0];
    for (const [number, repetitions] of shape) {
      for (let index = 0; index < number; index++) first.push(first[first.length - 1] + repetitions);
    }
    if (form && before === count()) draw(); else if (count()) arrange();
  }

  // Takes changes of cells, and returns the points they belong to.
  function change(cells) {
    const changed = new Set();
    for (const [cell, letter] of cells) {
      letters[cell] = letter;
      changed.add(owner(cell));
    }
    for (const index of changed) drawCell(index);
    return changed;
  }

  function owner(cell) {
    let low = 0, high = count() - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (first[middle] <= cell) low = middle; else high = middle - 1;
    }
    return low;
  }

  function describe(told) {
    ({ names, points } = told);
    if (count()) arrange();
  }

  return {
    show, change, describe, choose, cellsOf, short, chosen: () => chosen,
    parameters: (index) => names.map((name, place_) => [name, points[index]?.[place_]]).filter(([, value]) => value !== null && value !== undefined),
    counts: () => letters.reduce((counts, letter) => { counts[letter] = (counts[letter] || 0) + 1; return counts; }, {}),
    when: (selected, pointed) => { take = selected; point = pointed; },
  };
})();
