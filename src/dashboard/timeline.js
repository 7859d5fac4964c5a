// What was decided for each group and AI block, over time: a strip each, its parts named by pattern and word as well as by colour.

import { attr, el, say, svg } from "./dom.js";
import { clock, count, hour, power } from "./format.js";

const WORDS = { mine: "mine", ai: "sleep for AI", curtail: "sleep" };

/** What each group did when, the oldest first: `{name, parts: [{from, to, action, why}]}`. `decisions` begin with the newest. */
export function strips(decisions, now) {
  const rows = new Map();
  for (const row of [...decisions].reverse()) {
    const name = row.group ?? row.ai;
    const kind = row.group === null ? "ai" : "group";
    const parts = rows.get(`${kind} ${name}`)?.parts ?? [];
    rows.set(`${kind} ${name}`, { name, kind, parts });
    const at = Date.parse(row.at) / 1000;
    // Of what the store keeps, the reason alone says how much a block is to have: that is not guessed at.
    const amount = row.ai_kw === null ? "unknown" : row.ai_kw > 0 ? "lent" : "none";
    const action = kind === "ai" ? amount : row.action;
    const before = parts.at(-1);
    // The same again, for another reason.
    if (before && before.action === action && (before.kw ?? null) === row.ai_kw) continue;
    if (before) before.to = at;
    else if (row.before) parts.push({ from: -Infinity, to: at, action: row.before, why: "" });
    parts.push({ from: at, to: now, action, kw: row.ai_kw, why: row.reason });
  }
  return [...rows.values()].sort((a, b) => (a.kind === b.kind ? 0 : a.kind === "group" ? -1 : 1));
}

export class Timeline {
  constructor(id) {
    this.picture = svg("svg", { class: "timeline", role: "img" });
    attr(this.picture, "aria-labelledby", `${id}-title ${id}-words`);
    this.words = el("figcaption", { class: "words", id: `${id}-words` });
    this.stage = el("div", { class: "strips" }, this.picture);
    this.node = el("figure", { class: "panel", id },
      el("header", {}, el("h3", { id: `${id}-title`, text: "What was decided" }),
        el("ul", { class: "legend", role: "list" },
          ...[["mine", "mines"], ["ai", "sleeps, AI has its power"], ["curtail", "sleeps"], ["lent", "is lent power"]].map(([kind, text]) =>
            el("li", {}, el("i", { class: `key part-${kind}`, "aria-hidden": "true" }), el("span", { text }))))),
      this.stage, this.words);
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.stage);
  }

  end() {
    this.watcher.disconnect();
  }

  redraw() {
    this.draw();
  }

  set(page, range) {
    if (!page) {
      if (page === null) say(this.words, "Nothing is decided here: the config has no groups.");
      return;
    }
    [this.page, this.range] = [page, range];
    const since = Date.now() / 1000 - range;
    const within = page.decisions.filter(({ at }) => Date.parse(at) / 1000 >= since);
    const newest = page.decisions[0];
    say(this.words, newest
      ? `${count(within.length, "decision")} in this time; the last at ${clock(newest.at)}, ${newest.group ?? newest.ai}: ${newest.reason}.${page.note ? ` ${page.note}.` : ""}`
      : "Nothing was decided yet.");
    this.draw();
  }

  draw() {
    if (!this.page) return;
    const width = this.stage.clientWidth;
    if (width < 50) return;
    const unit = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const now = Date.now() / 1000;
    const from = now - this.range;
    const rows = strips(this.page.decisions, now);
    const longest = Math.max(4, ...rows.map(({ name }) => name.length));
    const left = Math.min(width * 0.34, unit * (longest * 0.5 + 0.8));
    const tall = unit * 1.7;
    const height = Math.max(1, rows.length) * tall + unit * 1.5;
    for (const [name, value] of [["viewBox", `0 0 ${width} ${height}`], ["width", width], ["height", height]]) attr(this.picture, name, value);
    const x = (at) => left + ((Math.max(at, from) - from) / this.range) * (width - left);
    const parts = [svg("defs", {}, svg("pattern", { id: "strips", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { x1: 0, x2: 0, y1: 0, y2: 6, class: "striping" })))];
    const fits = Math.floor(left / (unit * 0.5)) - 1;
    rows.forEach(({ name, parts: pieces }, place) => {
      const top = place * tall;
      parts.push(svg("text", { class: "tick strip", x: 0, y: top + unit * 1.05, text: name.length <= fits ? name : `${name.slice(0, Math.max(1, fits - 1))}…` }, svg("title", { text: name })));
      for (const piece of pieces) {
        if (piece.to <= from) continue;
        const [begin, end] = [x(piece.from), x(piece.to)];
        const word = piece.action === "lent" ? power(piece.kw) : WORDS[piece.action] ?? "";
        const title = svg("title", { text: `${name}: ${word || "nothing"} from ${piece.from === -Infinity ? "before" : clock(piece.from * 1000)}${piece.why ? `; ${piece.why}` : ""}` });
        const shape = { x: begin, y: top + unit * 0.15, width: Math.max(1.5, end - begin - 1), height: tall - unit * 0.4 };
        parts.push(svg("rect", { ...shape, class: `part part-${piece.action}` }, title));
        if (piece.action === "ai") parts.push(svg("rect", { ...shape, class: "striped", "pointer-events": "none" }));
        if (word && end - begin > unit * (word.length * 0.5 + 1)) parts.push(svg("text", { class: `label part-label-${piece.action}`, x: begin + unit * 0.5, y: top + unit * 1.05, text: word }));
      }
    });
    const most = Math.max(2, Math.min(6, Math.floor((width - left) / (unit * 7))));
    for (let tick = 0; tick <= most; tick += 1) {
      const at = from + (this.range * tick) / most;
      const place = tick === 0 ? "" : tick === most ? "end" : "middle";
      parts.push(svg("text", { class: `tick ${place}`, x: x(at), y: height - unit * 0.3, text: hour(at * 1000) }));
    }
    this.picture.replaceChildren(...parts);
  }
}
