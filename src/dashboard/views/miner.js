// One miner: as it is, its past as far as there is one, what was rejected and why, its last events.

import { get, query, Refused } from "../api.js";
import { el, keyed, say, show } from "../dom.js";
import { ago, difficulty, hashUnit, hashrate, number, percent } from "../format.js";
import { Lines, last } from "../lines.js";
import { badge, eventList, ranges, since } from "../parts.js";
import { state } from "./miners.js";

const REFRESH = 5_000;
// Points that this page gathers by itself where there is no store: an hour of them.
const GATHERED = 720;

export function miner(app, name) {
  const hash = new Lines("Hashrate", { write: hashrate, id: "chart-hash" });
  const work = new Lines("Share difficulty", { write: difficulty, id: "chart-difficulty" });
  const mark = badge();
  const words = el("p", { class: "headline" });
  const facts = el("dl", { class: "facts wide" });
  const rejects = rejectsPart();
  const events = eventList(50, "Its last events");
  const gathered = [];
  const none = el("p", { class: "empty", hidden: true });
  const whole = el("div", { class: "whole" });
  const node = el("div", { class: "miner" },
    el("p", { class: "back" }, el("a", { href: "#/miners", text: "← All miners" })),
    el("header", { class: "over" }, el("h1", {}, el("span", { text: name }), mark), ranges(app, load)), none, whole);
  whole.append(words, el("section", { class: "panel", "aria-label": "As it is" }, facts),
    el("div", { class: "pair even" }, hash.node, work.node),
    el("div", { class: "pair even" }, rejects.node,
      el("section", { class: "panel", "aria-labelledby": "its-events" }, el("header", {}, el("h3", { id: "its-events", text: "Its last events" })), events.node)));

  async function load() {
    try {
      const to = Math.floor(Date.now() / 1000);
      const at = (seconds) => new Date(seconds * 1000).toISOString();
      set(await get(`workers/${encodeURIComponent(name)}${query({ from: at(to - app.feeds.range), to: at(to) })}`));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) return app.feeds.refused(error);
      show(none, true);
      show(whole, error.status === 0);
      say(none, error.status === 0 ? "The proxy does not answer. Trying again …" : `${error.message}.`);
    }
    return undefined;
  }

  function set(page) {
    show(none, false);
    show(whole, true);
    const { worker, history } = page;
    events.set(page.events);
    if (worker) {
      state(mark, worker);
      say(words, worker.words ? `${worker.words}.` : worker.is_asleep ? "It was put to sleep." : "Nothing is wrong with it that the proxy could see.");
      tell(facts, worker);
      rejects.set(history.length > 0 ? page.rejected_by_reason : worker.rejected_by_reason);
      gathered.push({ at: Math.floor(Date.now() / 1000), hashrate_ths: worker.estimate_ths, difficulty: worker.difficulty });
      if (gathered.length > GATHERED) gathered.shift();
    } else {
      say(words, "It is not known to this run of the proxy; this is its past.");
    }
    draw(worker, history, page.note);
  }

  function draw(worker, history, note) {
    const isStored = history.length > 0;
    const points = isStored
      ? history.map((point) => ({ at: Date.parse(point.at) / 1000, hashrate_ths: point.hashrate_ths, difficulty: point.accepted > 0 ? point.accepted_difficulty / point.accepted : null, rejected: point.rejected }))
      : gathered;
    const at = points.map((point) => point.at);
    const nameplate = worker?.nameplate_ths ?? null;
    const rates = points.map((point) => point.hashrate_ths);
    const lines = [{ key: "rate", label: isStored ? "from credited shares" : "estimate", values: rates, colour: "--line-1", dash: [] }];
    if (nameplate !== null) lines.push({ key: "nameplate", label: "nameplate", values: points.map(() => nameplate), colour: "--muted", dash: [6, 3], width: 1.5 });
    const [unit, scale] = hashUnit(Math.max(nameplate ?? 0, ...rates.filter((value) => value !== null)));
    const [now] = last(rates);
    const from = isStored ? (note ? ` ${note}.` : "") : " This began when the page was opened: no store has its past.";
    hash.set({ at, lines, range: app.feeds.range, axis: (value) => `${number(value / scale, value / scale < 10 ? 1 : 0)} ${unit}`, words: now === null ? "" : `${hashrate(now)} now${nameplate ? ` of ${hashrate(nameplate)}` : ""}.${from}` });
    const shares = points.map((point) => point.difficulty);
    work.set({ at, lines: [{ key: "difficulty", label: isStored ? "mean of its shares" : "set for it", values: shares, colour: "--line-2", dash: [], steps: true }], range: app.feeds.range, axis: (value) => difficulty(value), words: last(shares)[0] === null ? "" : `${difficulty(last(shares)[0])} now.${from}` });
  }

  load();
  const timer = setInterval(() => document.visibilityState !== "hidden" && load(), REFRESH);
  return {
    node,
    feeds: [],
    ranged: load,
    heard: (event) => event?.about === name && load(),
    redraw: () => [hash, work].forEach((chart) => chart.redraw()),
    end: () => {
      clearInterval(timer);
      [hash, work].forEach((chart) => chart.end());
    },
  };
}

function tell(list, worker) {
  const isOnline = worker.connections > 0;
  const rows = [
    ["Hashrate, 1 min", hashrate(worker.hashrate_1m_ths)], ["10 min", hashrate(worker.hashrate_10m_ths)], ["1 hour", hashrate(worker.hashrate_1h_ths)],
    ["Nameplate", worker.nameplate_ths === null ? "not told" : hashrate(worker.nameplate_ths)],
    ["Stale", percent(worker.stale_ratio, 2)], ["Last share", worker.last_share_at ? ago(worker.last_share_at) : "never"],
    ["Difficulty", difficulty(worker.difficulty)], ["Accepted", number(worker.accepted)], ["Rejected", number(worker.rejected)],
    ["Sent to the pool", number(worker.forwarded)], ["Pool accepted", number(worker.pool_accepted)], ["Pool rejected", number(worker.pool_rejected)], ["No answer", number(worker.pool_lost)],
    [isOnline ? "Connected for" : "Gone for", since(worker.since)], ["Connections", number(worker.connections)],
    ["Group", worker.group ?? "–"], ["Route", worker.route ?? "–"], ["Listener", worker.listener ?? "–"], ["Address", worker.address],
    ["Firmware", worker.firmware], ["It calls itself", worker.agent ?? "–"],
  ];
  keyed(list, rows, ([name]) => name, ([name]) => el("div", {}, el("dt", { text: name }), el("dd")), (row, [name, value]) => {
    say(row.firstElementChild, name);
    say(row.lastElementChild, value);
  });
}

function rejectsPart() {
  const list = el("ul", { class: "rejects", role: "list" });
  const empty = el("p", { class: "empty", text: "None was rejected." });
  const node = el("section", { class: "panel", "aria-labelledby": "rejects-title" }, el("header", {}, el("h3", { id: "rejects-title", text: "Rejected shares by reason" })), list, empty);
  const set = (reasons) => {
    const rows = Object.entries(reasons).filter(([, many]) => many > 0).sort(([, a], [, b]) => b - a);
    const all = rows.reduce((sum, [, many]) => sum + many, 0);
    show(empty, rows.length === 0);
    keyed(list, rows, ([reason]) => reason, ([reason]) => el("li", {}, el("span", { text: reason.replaceAll("_", " ") }), el("b"), el("meter", { min: 0, max: 1 })), (item, [, many]) => {
      say(item.children[1], `${number(many)} (${percent(many / all, 0)})`);
      item.children[2].value = many / all;
    });
  };
  return { node, set };
}

