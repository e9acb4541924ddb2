"use strict";
// Text, states and the connection with the server, for all pages.
const nepiq = (() => {
  const byId = (id) => document.getElementById(id);

  // Makes an element; children are elements or text. Text of others never becomes markup.
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") element.onclick = value;
      else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const svgSpace = "http://www.w3.org/2000/svg";
  function draw(name, attributes = {}, ...children) {
    const element = document.createElementNS(svgSpace, name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  function duration(seconds) {
    const s = Math.max(0, seconds);
    if (s < 0.9995) return `${Math.round(s * 1000)} ms`;
    if (s < 99.5) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
    const minutes = Math.round(s / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
    if (days) return `${days} d ${hours % 24} h`;
    return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
  }

  const rate = (bits) => (bits >= 9.95e5 ? `${(bits / 1e6).toPrecision(3) * 1} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`);

  const badge = (state) => make("span", { class: `badge s-${state}` }, state);

  // Makes the parts of a strip from the number of runs by the letter of their state.
  const CLASSES = { f: "finished", x: "failed", c: "cancelled", a: "active", m: "unmeasured", "-": "unneeded", ".": "waiting" };
  function strip(counts) {
    return [..."xcfma-."].filter((letter) => counts[letter]).map((letter) => {
      const part = make("span", { class: `fill c-${CLASSES[letter]}` });
      part.style.flexGrow = counts[letter];
      return part;
    });
  }

  // Fills a table, given by itself or by its id. Rows that are the same as before stay, and so does the focus.
  function fill(table, items, row) {
    const body = (typeof table === "string" ? byId(table) : table).tBodies[0], kept = new Map([...body.rows].map((one) => [one.dataset.text, one]));
    const rows = items.map((item) => {
      const text = JSON.stringify(item), made = kept.get(text) || row(item);
      made.dataset.text = text;
      return made;
    });
    if (rows.length === body.rows.length && rows.every((one, place) => one === body.rows[place])) return;
    const focus = body.contains(document.activeElement) ? document.activeElement : null, link = focus?.getAttribute("href");
    body.replaceChildren(...rows);
    const next = focus?.isConnected ? focus : link && body.querySelector(`a[href="${CSS.escape(link)}"]`);
    next?.focus({ preventScroll: true });
  }

  // The text of a set element is replaced only if it differs, for screen readers.
  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function say(kind, text) {
    const place = byId("connection");
    place.className = kind;
    write(place, text);
  }

  // Follows a stream of events, and connects again whenever the server or Redis was away.
  function follow(path, handlers) {
    const source = new EventSource(path);
    let alive = false;
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => {
        if (!alive) say("live", "live");
        alive = true;
        handle(JSON.parse(event.data));
      });
    }
    source.addEventListener("away", (event) => {
      alive = false;
      say("away", `${JSON.parse(event.data).message}. Runs go on; this page continues by itself.`);
    });
    source.addEventListener("gone", (event) => {
      source.close();
      say("away", JSON.parse(event.data).message);
    });
    source.onerror = async () => {
      alive = false;
      say("away", "The server of this page does not answer. Trying again.");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      source.close();
      const answer = await fetch("/static/common.js", { method: "HEAD" }).catch(() => null);
      if (answer?.status === 401) say("away", "The server has a new token: open the link that nepiq web has printed.");
      else setTimeout(() => follow(path, handlers), 1000);
    };
  }

  return { byId, make, draw, duration, rate, badge, write, say, follow, fill, strip, CLASSES };
})();
