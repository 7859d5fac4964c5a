// A table of any length: as many rows exist as are seen, and they are used again for others when it is scrolled.

import { attr, el, say, show } from "./dom.js";

// Rows of one request, and pages that are kept: what was scrolled past is asked for again.
const PAGE = 100;
const KEPT = 20;
// Rows above and below what is seen.
const MORE = 6;
const REFRESH = 5_000;
// Browsers draw nothing that is taller than some 16 million pixels.
const TALLEST = 12_000_000;

export class VirtualTable {
  constructor(caption, columns, { fetch, rows, key, came, failed, sort }) {
    Object.assign(this, { columns, fetch, rowsOf: rows, key, came, failed });
    const head = el("tr", { "aria-rowindex": 1 }, ...columns.map((column) => this.heading(column, sort)));
    this.before = el("tr", { class: "gap", "aria-hidden": "true" }, el("td"));
    this.after = el("tr", { class: "gap", "aria-hidden": "true" }, el("td"));
    this.body = el("tbody", {}, this.before, this.after);
    this.table = el("table", {}, el("caption", { class: "unseen", text: caption }), el("thead", {}, head), this.body);
    this.box = el("div", { class: "virtual", tabindex: "0", role: "region", "aria-label": caption }, this.table);
    this.words = el("p", { class: "empty", text: "Waiting for the first answer …" });
    this.node = el("div", { class: "panel flush" }, this.box, this.words);
    this.pages = new Map();
    this.underWay = new Set();
    this.total = null;
    this.turn = 0;
    this.used = [];
    this.box.addEventListener("scroll", () => this.lay(), { passive: true });
    this.watcher = new ResizeObserver(() => this.lay());
    this.watcher.observe(this.box);
    this.timer = setInterval(() => document.visibilityState !== "hidden" && this.refresh(), REFRESH);
    this.refresh();
  }

  heading(column, sort) {
    const { name, short, numeric, wide } = column;
    const text = short ? [el("span", { class: "long", text: name }), el("span", { class: "short", text: short })] : [document.createTextNode(name)];
    const inside = column.sort ? [el("button", { type: "button", onclick: () => sort(column.sort) }, ...text)] : text;
    return el("th", { scope: "col", class: classes(numeric, wide), data: column.sort ? { sort: column.sort } : {} }, ...inside);
  }

  end() {
    clearInterval(this.timer);
    this.watcher.disconnect();
    this.turn = -1;
  }

  sorted(name, isReversed) {
    // What the API has first is the most of numbers, and A of words.
    const words = ["name", "sick", "group", "firmware", "address"];
    for (const head of this.table.tHead.rows[0].cells) {
      const { sort } = head.dataset;
      if (!sort) continue;
      const isDown = words.includes(sort) === isReversed;
      attr(head, "aria-sort", sort === name ? (isDown ? "descending" : "ascending") : null);
    }
  }

  /** Another order, another filter: from the top. */
  renew() {
    this.turn += 1;
    this.pages.clear();
    this.underWay.clear();
    this.box.scrollTop = 0;
    this.refresh();
  }

  /** What is seen is asked for again. */
  refresh() {
    const { first, last } = this.seen();
    const pages = new Set([Math.floor(first / PAGE), Math.floor(Math.max(first, last - 1) / PAGE)]);
    for (const page of pages) this.load(page);
  }

  async load(page) {
    if (this.underWay.has(page)) return;
    this.underWay.add(page);
    const { turn } = this;
    try {
      const answer = await this.fetch(page * PAGE, PAGE);
      if (turn !== this.turn) return;
      this.pages.delete(page);
      this.pages.set(page, this.rowsOf(answer));
      while (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
      this.total = answer.total;
      this.came(answer);
      this.tell(this.total === 0 ? "No miner is like that." : "");
      this.lay();
    } catch (error) {
      if (turn === this.turn) this.failed(error);
    } finally {
      if (turn === this.turn) this.underWay.delete(page);
    }
  }

  tell(words) {
    say(this.words, words);
    show(this.words, Boolean(words));
  }

  /** Pixels of a row: as the style has it. */
  tall() {
    return Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * 2.5);
  }

  seen() {
    const tall = this.tall();
    const total = this.total ?? 0;
    // Where rows would be taller together than a browser draws, the scroll bar is the place in the list, and not pixels.
    const all = Math.min(total * tall, TALLEST);
    const fit = Math.ceil((this.box.clientHeight || 600) / tall) + 1;
    const room = Math.max(1, all - this.box.clientHeight);
    const at = total * tall > TALLEST ? Math.round((this.box.scrollTop / room) * Math.max(0, total - fit + 2)) : Math.floor(this.box.scrollTop / tall);
    const first = Math.max(0, Math.min(at - MORE, total - 1));
    return { first, last: Math.min(total, at + fit + MORE), tall, total, all };
  }

  lay() {
    if (this.total === null || this.turn < 0) return;
    const { first, last, tall, total, all } = this.seen();
    const many = last - first;
    while (this.used.length < many) this.used.push(this.row());
    while (this.used.length > many) this.used.pop().remove();
    attr(this.table, "aria-rowcount", total + 1);
    const above = total * tall > TALLEST ? Math.min(all - many * tall, Math.max(0, this.box.scrollTop - MORE * tall)) : first * tall;
    this.before.style.blockSize = `${Math.max(0, above)}px`;
    this.after.style.blockSize = `${Math.max(0, all - above - many * tall)}px`;
    const missing = new Set();
    this.used.forEach((row, place) => {
      const at = first + place;
      const page = Math.floor(at / PAGE);
      const item = this.pages.get(page)?.[at % PAGE];
      if (!this.pages.has(page)) missing.add(page);
      this.bind(row, item, at);
      if (row.nextSibling === null || row.parentNode !== this.body) this.body.insertBefore(row, this.after);
    });
    for (const page of missing) this.later(page);
  }

  /** Asks for a page when the scrolling has stopped at it. */
  later(page) {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => {
      const { first, last } = this.seen();
      for (let each = Math.floor(first / PAGE); each <= Math.floor((last - 1) / PAGE); each += 1) if (!this.pages.has(each)) this.load(each);
    }, page === undefined ? 0 : 60);
  }

  row() {
    return el("tr", {}, ...this.columns.map(({ numeric, wide, make }, at) => {
      const cell = el(at === 0 ? "th" : "td", { scope: at === 0 ? "row" : null, class: classes(numeric, wide) });
      if (make) cell.append(make());
      return cell;
    }));
  }

  bind(row, item, at) {
    attr(row, "aria-rowindex", at + 2);
    attr(row, "data-waits", !item);
    attr(row, "data-odd", at % 2 === 1);
    if (!item) return;
    this.columns.forEach(({ text, change }, place) => {
      const cell = row.children[place];
      if (change) change(cell.firstElementChild, item);
      else say(cell, text(item));
    });
  }
}

function classes(numeric, wide) {
  return [numeric && "number", wide && `wide-${wide}`].filter(Boolean).join(" ") || null;
}
