// A chart of lines over time: uPlot on a canvas, a legend with the values under the cursor (or the last ones), and a sentence that says the same.

import { attr, el, keyed, say, svg } from "./dom.js";
import { clock } from "./format.js";

// More lines than these nobody can tell apart; the sentence says how many are left out.
export const MAX_LINES = 8;
const DASHES = [[], [], [], [], [6, 3], [6, 3], [2, 3], [2, 3]];
const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-1", "--line-2", "--line-3", "--line-4"];

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const EXACT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#888";
}

/** How a line looks, by its place among those of its kind. */
export function look(place) {
  return { colour: COLOURS[place % COLOURS.length], dash: DASHES[place % DASHES.length] };
}

function rem() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/** The last value that is known, and the step of it. */
export function last(values) {
  for (let at = values.length - 1; at >= 0; at -= 1) if (values[at] !== null && values[at] !== undefined) return [values[at], at];
  return [null, -1];
}

export class Lines {
  /** `write(value)`: a value as the legend has it. */
  constructor(title, { write, id }) {
    this.write = write;
    this.legend = el("ul", { class: "legend", role: "list" });
    this.plot = el("div", { class: "plot", role: "img" });
    this.words = el("figcaption", { class: "words", id: `${id}-words` });
    this.empty = el("p", { class: "empty", text: "Waiting for the first values …" });
    attr(this.plot, "aria-labelledby", `${id}-title ${id}-words`);
    this.node = el("figure", { class: "panel chart", id },
      el("header", {}, el("h3", { id: `${id}-title`, text: title }), this.legend),
      el("div", { class: "stage" }, this.plot, this.empty), this.words);
    this.lines = [];
    this.marks = [];
    this.shape = "";
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(this.plot);
  }

  end() {
    this.watcher.disconnect();
    this.chart?.destroy();
  }

  /**
   * Shows lines `{key, label, values, colour, dash, isStacked, width}` over `at`, within `range` seconds, with marks `{at, glyph, colour}`.
   * Stacked ones come first, from the ground up.
   */
  set({ at, lines, marks = [], range, axis, words, note }) {
    say(this.words, note ? `${words} ${note.charAt(0).toUpperCase()}${note.slice(1)}.` : words);
    const isEmpty = lines.every(({ values }) => values.every((value) => value === null));
    attr(this.empty, "hidden", !isEmpty);
    attr(this.node, "data-empty", isEmpty);
    [this.at, this.lines, this.marks, this.range, this.axis] = [at, lines, marks, range, axis];
    const sums = new Array(at.length).fill(0);
    const data = lines.map(({ values, isStacked }) => {
      if (!isStacked) return values;
      return values.map((value, step) => {
        if (value === null) return null;
        sums[step] += value;
        return sums[step];
      });
    });
    const shape = lines.map(({ key, isStacked, colour: c }) => `${key}\u0000${isStacked ?? ""}${c}`).join("\u0001");
    if (shape !== this.shape || !this.chart) this.build(shape, [at, ...data]);
    else this.chart.setData([at, ...data]);
    this.tell();
    // The legend may have another line now, and the plot that much less.
    this.fit();
  }

  build(shape, data) {
    this.chart?.destroy();
    this.shape = shape;
    const bands = [];
    this.lines.forEach(({ isStacked, colour: name }, place) => {
      if (isStacked && place > 0) bands.push({ series: [place + 1, place], fill: () => `${colour(name)}66` });
    });
    const series = this.lines.map(({ colour: name, dash, isStacked, width, steps }, place) => ({
      stroke: () => colour(name),
      width: width ?? (isStacked ? 1 : 2),
      dash,
      fill: isStacked && place === 0 ? () => `${colour(name)}66` : undefined,
      points: { size: rem() * 0.35, fill: () => colour(name), show: (chart, place) => chart.data[place].filter((value) => value !== null).length < 4 },
      paths: steps ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
      spanGaps: false,
    }));
    const font = () => `${Math.round(rem() * 0.72)}px system-ui, sans-serif`;
    const line = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false }, font: font() };
    const options = {
      ...this.size(),
      padding: [rem() * 0.9, rem() * 1.2, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "time" }, y: false, drag: { x: false, y: false }, points: { size: rem() * 0.4 } },
      scales: { x: { range: () => this.span() }, y: { range: (_, low, high) => this.heights(low, high) } },
      axes: [
        { ...line, size: rem() * 1.6, gap: rem() * 0.3, space: rem() * 4.5, values: (_, splits) => splits.map(moment) },
        { ...line, size: (_, labels) => rem() * (1 + 0.44 * Math.max(4, ...(labels ?? []).map((label) => label.length))), gap: rem() * 0.3, space: rem() * 2.2, values: (_, splits) => splits.map((value) => this.axis(value)) },
      ],
      series: [{}, ...series],
      bands,
      hooks: { draw: [(chart) => this.drawMarks(chart)], setCursor: [() => this.tell()] },
    };
    this.chart = new window.uPlot(options, data, this.plot);
  }

  size() {
    return { width: Math.max(120, this.plot.clientWidth), height: Math.max(80, this.plot.clientHeight) };
  }

  fit() {
    if (!this.chart) return;
    const size = this.size();
    if (size.width !== this.chart.width || size.height !== this.chart.height) this.chart.setSize(size);
  }

  /** Colours are others now. */
  redraw() {
    this.chart?.redraw(false, true);
    this.tell();
  }

  span() {
    const to = Math.floor(Date.now() / 1000);
    return [to - this.range, to];
  }

  heights(low, high) {
    if (low === null || !Number.isFinite(low)) return [0, 1];
    const bottom = Math.min(0, low);
    const top = Math.max(0, high);
    const room = (top - bottom || 1) * 0.08;
    return [bottom < 0 ? bottom - room : 0, top + room];
  }

  drawMarks(chart) {
    const pen = chart.ctx;
    const [from, to] = this.span();
    const unit = window.devicePixelRatio * rem();
    pen.save();
    for (const { at, glyph, colour: name } of this.marks) {
      if (at < from || at > to) continue;
      const x = Math.round(chart.valToPos(at, "x", true));
      pen.strokeStyle = colour(name);
      pen.fillStyle = colour(name);
      pen.lineWidth = Math.max(1, window.devicePixelRatio);
      pen.setLineDash([unit * 0.2, unit * 0.2]);
      pen.beginPath();
      pen.moveTo(x, chart.bbox.top);
      pen.lineTo(x, chart.bbox.top + chart.bbox.height);
      pen.stroke();
      pen.font = `${unit * 0.75}px system-ui, sans-serif`;
      pen.textAlign = "center";
      pen.fillText(glyph, x, chart.bbox.top - unit * 0.12);
    }
    pen.restore();
  }

  /** The legend: values under the cursor, or the last ones. */
  tell() {
    const under = this.chart?.cursor.idx ?? null;
    const items = this.lines.map((line) => ({ ...line, value: under === null ? last(line.values)[0] : line.values[under] }));
    const time = under === null ? null : this.at?.[under];
    keyed(this.legend, items, ({ key }) => key, ({ label, dash, colour: name, isStacked }) => {
      const swatch = svg("svg", { class: "swatch", viewBox: "0 0 20 10", "aria-hidden": "true" });
      if (isStacked) swatch.append(svg("rect", { x: 1, y: 1, width: 18, height: 8, class: `fill${name}` }));
      else swatch.append(svg("line", { x1: 0, x2: 20, y1: 5, y2: 5, class: `stroke${name}`, "stroke-width": 3, "stroke-dasharray": dash?.join(" ") || null }));
      return el("li", {}, swatch, el("span", { text: label }), el("b", {}));
    }, (node, { value }) => say(node.lastElementChild, value === null || value === undefined ? "–" : this.write(value)));
    attr(this.legend, "data-at", time ? EXACT.format(time * 1000) : null);
  }
}

function moment(seconds) {
  const date = new Date(seconds * 1000);
  return date.getHours() === 0 && date.getMinutes() === 0 ? DATE.format(date) : TIME.format(date);
}

/** Drains and wakes as marks, and the last of them in words. */
export function marks(of) {
  const all = of.map(({ at, kind }) => ({ at: Date.parse(at) / 1000, glyph: kind === "drain" ? "▼" : "▲", colour: kind === "drain" ? "--drain" : "--wake" }));
  const newest = of.at(-1);
  const words = newest ? ` ${of.length === 1 ? "One mark" : `${of.length} marks`}: ▼ drains, ▲ wakes; the last, ${newest.kind} of ${newest.group} at ${clock(newest.at)}.` : "";
  return [all, words];
}
