// The merit order: a bar for each group and AI block, as wide as what it can take and as high as what a MWh earns there; and where it cuts.

import { attr, el, keyed, say, svg } from "./dom.js";
import { money, number, perMwh, power } from "./format.js";

export class Merit {
  constructor(id) {
    this.picture = svg("svg", { class: "merit", role: "img" });
    attr(this.picture, "aria-labelledby", `${id}-title ${id}-words`);
    this.words = el("figcaption", { class: "words", id: `${id}-words` });
    this.rows = el("tbody");
    this.stage = el("div", { class: "stage" }, this.picture);
    this.empty = el("p", { class: "empty", text: "Waiting for the first decision …" });
    this.stage.append(this.empty);
    this.node = el("figure", { class: "panel chart", id },
      el("header", {}, el("h3", { id: `${id}-title`, text: "Merit order" }),
        el("ul", { class: "legend", role: "list" },
          el("li", {}, el("i", { class: "key on", "aria-hidden": "true" }), el("span", { text: "runs" })),
          el("li", {}, el("i", { class: "key ai", "aria-hidden": "true" }), el("span", { text: "AI compute" })),
          el("li", {}, el("i", { class: "key off", "aria-hidden": "true" }), el("span", { text: "does not run" })))),
      this.stage, this.words,
      el("div", { class: "unseen" }, el("table", {}, el("caption", { text: "Merit order, the best first" }),
        el("thead", {}, el("tr", {}, ...["Name", "Margin", "Capacity", "Given", "Runs"].map((text) => el("th", { scope: "col", text })))), this.rows)));
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.stage);
  }

  end() {
    this.watcher.disconnect();
  }

  redraw() {
    this.draw();
  }

  set(page, why) {
    this.page = page;
    attr(this.empty, "hidden", Boolean(page));
    if (!page) {
      if (page === null) say(this.empty, `There is no merit order: ${why ?? "nothing is decided here"}.`);
      return;
    }
    const { currency, cut_per_mwh: cut, given_kw: given, room_kw: room, sinks } = page;
    const off = sinks.filter(({ is_on: isOn }) => !isOn).map(({ name }) => name);
    const line = cut === null ? "Nothing that runs has a known margin." : `The line cuts at ${perMwh(cut, currency)}:`;
    const rest = off.length === 0 ? "everything runs." : `${off.slice(0, 4).join(", ")}${off.length > 4 ? ` and ${off.length - 4} more` : ""} ${off.length === 1 ? "does" : "do"} not run.`;
    say(this.words, `${power(given)} given${room === null ? "" : ` of ${power(room)} that there is room for`}. ${line} ${rest}`);
    keyed(this.rows, sinks, ({ name, kind }) => `${kind} ${name}`, () => el("tr", {}, el("th", { scope: "row" }), el("td"), el("td"), el("td"), el("td")), (row, sink) => {
      const cells = [sink.name, perMwh(sink.margin_per_mwh, currency), power(sink.capacity_kw), power(sink.given_kw), sink.is_on ? "yes" : "no"];
      cells.forEach((text, at) => say(row.children[at], text));
    });
    this.draw();
  }

  draw() {
    if (!this.page) return;
    const { width, height } = this.stage.getBoundingClientRect();
    if (width < 50 || height < 50) return;
    const unit = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const { sinks, cut_per_mwh: cut, room_kw: room, currency } = this.page;
    const margins = sinks.map(({ margin_per_mwh: margin }) => margin).filter((margin) => margin !== null);
    const [low, high] = [Math.min(0, ...margins), Math.max(0, ...margins)];
    const all = Math.max(1, room ?? 0, sinks.reduce((sum, { capacity_kw: kw }) => sum + kw, 0));
    const [left, right, top, bottom] = [unit * 3.4, width - unit * 0.6, unit * 1.5, height - unit * 1.6];
    const pad = (high - low || 1) * 0.08;
    const x = (kw) => left + (kw / all) * (right - left);
    const y = (margin) => bottom - ((margin - (low < 0 ? low - pad : 0)) / (high + pad - (low < 0 ? low - pad : 0))) * (bottom - top);
    attr(this.picture, "viewBox", `0 0 ${width} ${height}`);
    attr(this.picture, "width", width);
    attr(this.picture, "height", height);
    const parts = [hatch()];
    for (const tick of ticks(low, high, Math.max(2, Math.floor((bottom - top) / (unit * 2.4))))) {
      parts.push(svg("line", { class: tick === 0 ? "zero" : "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
      parts.push(svg("text", { class: "tick end", x: left - unit * 0.4, y: y(tick) + unit * 0.25, text: money(tick, currency, { digits: 0 }) }));
    }
    for (const tick of ticks(0, all, Math.max(2, Math.floor((right - left) / (unit * 7))))) {
      parts.push(svg("text", { class: "tick middle", x: x(tick), y: height - unit * 0.35, text: tick >= 10_000 ? `${number(tick / 1000)} MW` : `${number(tick)} kW` }));
    }
    for (const sink of sinks) parts.push(...bar(sink, x, y, unit, currency));
    if (cut !== null) {
      parts.push(svg("line", { class: "cut", x1: left, x2: right, y1: y(cut), y2: y(cut) }));
      // Where the two would run into each other, the sentence below has to do.
      if (room === null || room > all || x(room) - left > unit * 17) parts.push(svg("text", { class: "note cutting", x: left, y: top - unit * 0.5, text: `cuts at ${perMwh(cut, currency)}` }));
    }
    if (room !== null && room <= all) {
      parts.push(svg("line", { class: "room", x1: x(room), x2: x(room), y1: top - unit * 0.2, y2: bottom }));
      parts.push(svg("text", { class: "note end", x: Math.min(right, x(room)), y: top - unit * 0.5, text: `room ${power(room)}` }));
    }
    this.picture.replaceChildren(...parts);
  }
}

function bar(sink, x, y, unit, currency) {
  const [from, to] = [x(sink.from_kw), x(sink.from_kw + sink.capacity_kw)];
  const margin = sink.margin_per_mwh ?? 0;
  const [above, below] = margin >= 0 ? [y(margin), y(0)] : [y(0), y(margin)];
  const kind = sink.kind === "ai" ? "ai" : "group";
  const wide = Math.max(1, to - from - 1.5);
  const shape = { x: from + 0.75, y: above, width: wide, height: Math.max(1.5, below - above) };
  const title = svg("title", { text: `${sink.name}: ${perMwh(sink.margin_per_mwh, currency)}, up to ${power(sink.capacity_kw)}; ${sink.reason}` });
  const parts = [svg("rect", { ...shape, class: `bar ${kind} ${sink.is_on ? "on" : "off"}` }, title)];
  // Some of it runs: that part is full.
  if (!sink.is_on || sink.given_kw <= 0) parts.push(svg("rect", { ...shape, class: "bar hatch", "pointer-events": "none" }));
  const label = sink.name;
  const fits = Math.floor(wide / (unit * 0.52));
  if (fits >= 3) {
    const text = label.length <= fits ? label : `${label.slice(0, Math.max(1, fits - 1))}…`;
    const inside = below - above > unit * 1.6;
    const at = inside ? (margin >= 0 ? above + unit * 1.1 : below - unit * 0.5) : margin >= 0 ? above - unit * 0.35 : below + unit * 0.95;
    parts.push(svg("text", { class: `label middle ${inside && sink.is_on ? "inside" : ""}`, x: (from + to) / 2, y: at, text }));
  }
  return parts;
}

function hatch() {
  return svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("line", { x1: 0, x2: 0, y1: 0, y2: 6, class: "hatching" })));
}

/** Round numbers between two values, some `most` of them. */
export function ticks(low, high, most) {
  const rough = (high - low || 1) / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * size).find((each) => each >= rough);
  const all = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) all.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return all;
}
