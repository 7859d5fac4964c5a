// Parts that several views have: badges, times, events, groups with their buttons, the choice of a range.

import { attr, el, keyed, say, show } from "./dom.js";
import { RANGES } from "./feeds.js";
import { clock, hashrate, number, perMwh, power, span, utc } from "./format.js";
import { order } from "./order.js";

/** Phases of a group: a word, and a look. */
const PHASES = {
  MINING: ["mining", "good"],
  DRAIN_PENDING: ["will drain", "moves"],
  DRAINING: ["draining", "moves"],
  ASLEEP: ["asleep", "sleeps"],
  WAKE_PENDING: ["will wake", "moves"],
  WAKING: ["waking", "moves"],
  FAULT: ["fault", "bad"],
  MANUAL_HOLD: ["held", "held"],
  LOCKOUT: ["locked out", "held"],
};

const ACTIONS = { mine: ["should mine", "good"], ai: ["should sleep for AI", "sleeps"], curtail: ["should sleep", "sleeps"] };

export function badge() {
  return el("span", { class: "badge" });
}

export function setBadge(node, words, look) {
  say(node, words);
  attr(node, "data-look", look);
}

export function phase(node, name) {
  const [words, look] = PHASES[name] ?? [String(name ?? "").toLowerCase(), "held"];
  setBadge(node, words, look);
}

/** A time in the reader's zone, UTC on hover. */
export function setTime(node, at) {
  attr(node, "datetime", at);
  attr(node, "title", at ? utc(at) : null);
  say(node, at ? clock(at) : "–");
}

export function time(at) {
  const node = el("time");
  setTime(node, at);
  return node;
}

const LEVELS = { error: ["!", "error"], warn: ["▲", "warning"], info: ["", ""], debug: ["", ""] };

/** A list of events, the newest first. */
export function eventList(most, label) {
  const list = el("ol", { class: "events", role: "list", "aria-label": label });
  const empty = el("p", { class: "empty", text: "Nothing has happened yet." });
  const node = el("div", {}, list, empty);
  const set = (events) => {
    show(empty, events.length === 0);
    keyed(list, events.slice(0, most), ({ id }) => id, ({ at, level, kind, words }) => {
      const [glyph, spoken] = LEVELS[level] ?? LEVELS.info;
      return el("li", { data: { level, kind } }, time(at),
        el("span", { class: "glyph", text: glyph, ...(spoken ? { role: "img", "aria-label": spoken } : { "aria-hidden": "true" }) }),
        el("span", { class: "words", text: words }));
    });
  };
  return { node, set };
}

/** How far back charts go. */
export function ranges(app, changed) {
  const node = el("div", { class: "choice", role: "group", "aria-label": "How far back charts go" });
  const press = () => {
    for (const button of node.children) attr(button, "aria-pressed", String(Number(button.value) === app.feeds.range));
  };
  for (const [text, seconds] of RANGES) {
    node.append(el("button", { type: "button", value: seconds, text, onclick: () => {
      app.feeds.setRange(seconds);
      press();
      changed?.();
    } }));
  }
  press();
  node.press = press;
  return node;
}

/** Groups as cards: where each is and why, what it draws, what may be ordered. */
export function groupCards(app) {
  const list = el("ul", { class: "groups", role: "list", tabindex: "0", "aria-labelledby": "groups-title" });
  const empty = el("p", { class: "empty", text: "Waiting for the first answer …" });
  const node = el("section", { class: "panel", "aria-labelledby": "groups-title" },
    el("header", {}, el("h3", { id: "groups-title", text: "Groups" })), list, empty);
  const set = (page) => {
    show(empty, !page || page.groups.length === 0);
    if (!page || page.groups.length === 0) return say(empty, "The config has no groups: all miners mine, and nothing is decided.");
    return keyed(list, page.groups, ({ name }) => name, ({ name }) => card(app, name), (item, group) => changeCard(app, item, group, page.currency));
  };
  return { node, set };
}

function card(app, name) {
  const ask = (kind) => () => order(app, item.group, kind);
  const item = el("li", {},
    el("div", { class: "line" }, el("h4", { text: name }), badge(), el("span", { class: "kw" })),
    el("p", { class: "why" }),
    el("progress", { max: 1, value: 0, hidden: true, "aria-label": `Machines of ${name}` }),
    el("div", { class: "line" }, el("p", { class: "facts" }), el("div", { class: "buttons", hidden: true },
      el("button", { type: "button", text: "Drain …", "aria-label": `Drain ${name}`, data: { order: "drain" }, onclick: ask("drain") }),
      el("button", { type: "button", text: "Wake …", "aria-label": `Wake ${name}`, data: { order: "wake" }, onclick: ask("wake") }),
      el("button", { type: "button", text: "Release …", "aria-label": `Release ${name}: prices decide again`, data: { order: "release" }, onclick: ask("release") }))));
  return item;
}

function changeCard(app, item, group, currency) {
  item.group = group;
  const [line, why, progress, last] = item.children;
  const [facts, buttons] = last.children;
  const { decision, power: seen } = group;
  if (seen) phase(line.children[1], seen.phase);
  else if (decision) setBadge(line.children[1], ...(ACTIONS[decision.action] ?? [decision.action, "held"]));
  const draws = seen ? power(seen.draws_kw) : "";
  say(line.children[2], seen ? `${draws}${group.nameplate_kw ? ` of ${power(group.nameplate_kw)}` : ""}` : group.nameplate_kw ? power(group.nameplate_kw) : "");
  const ordered = seen?.operator ? `Operator: ${inWords(seen.operator)}; ` : "";
  say(why, `${ordered}${decision?.reason ?? seen?.decision ?? seen?.why ?? "nothing is decided yet"}`);
  const parts = [];
  if (decision?.per_mwh.margin_mining !== null && decision) parts.push(`margin ${perMwh(decision.per_mwh.margin_mining, currency)}`);
  if (group.hashrate_ths !== null) parts.push(hashrate(group.hashrate_ths));
  const moving = seen ? moves(seen) : null;
  if (seen) parts.push(moving ? moving.words : `${number(seen.devices)}\u00a0machines${seen.sleeping.confirmed ? `, ${number(seen.sleeping.confirmed)} asleep` : ""}`);
  else parts.push("nothing can move it");
  if (seen?.waits_for) parts.push(`waits for ${seen.waits_for}`);
  say(facts, parts.join(" · "));
  show(progress, Boolean(moving));
  if (moving) progress.value = moving.share;
  show(buttons, app.role === "control" && Boolean(seen));
  if (!seen) return;
  const isDown = ["ASLEEP", "DRAINING", "DRAIN_PENDING"].includes(seen.phase) && seen.goal === "sleep";
  const [drain, wake, release] = buttons.children;
  show(drain, !isDown && seen.phase !== "LOCKOUT");
  show(wake, (isDown || seen.phase === "FAULT") && seen.phase !== "LOCKOUT");
  show(release, Boolean(seen.operator) && seen.operator.action !== "lockout");
}

/** How far a drain or wake is; `null` if there is none. */
export function moves(seen) {
  const isDown = ["DRAINING", "DRAIN_PENDING"].includes(seen.phase);
  const isUp = ["WAKING", "WAKE_PENDING"].includes(seen.phase);
  if (!isDown && !isUp) return null;
  const stages = isDown ? seen.sleeping : seen.waking;
  const all = isDown ? Object.values(stages).reduce((sum, each) => sum + each, 0) : seen.devices;
  // Those that are awake are no longer counted among those that were woken.
  const left = isUp ? Object.values(stages).reduce((sum, each) => sum + each, 0) + Object.values(seen.sleeping).reduce((sum, each) => sum + each, 0) : 0;
  const done = isDown ? stages.confirmed : Math.max(0, all - left);
  const share = all > 0 ? done / all : 0;
  return { share, words: `${number(done)} of ${number(all)} machines ${isDown ? "proven asleep" : "awake"}` };
}

export function inWords(operator) {
  const until = operator.until ? ` until ${clock(operator.until)}` : "";
  return `${operator.action}${until}${operator.why ? `, ${operator.why}` : ""}`;
}

/** A table with a caption; cells say their column, for narrow screens. */
export function table(caption, columns) {
  const body = el("tbody");
  const head = el("tr", {}, ...columns.map(({ name, numeric }) => el("th", { scope: "col", class: numeric ? "number" : null, text: name })));
  const node = el("table", { class: "cards" }, el("caption", { text: caption }), el("thead", {}, head), body);
  const words = el("span");
  const empty = el("div", {}, el("p", { class: "caption", text: caption }), el("p", { class: "empty" }, words));
  const whole = el("div", { class: "tabled" }, node, empty);
  const set = (rows, key, nothing = "There is none.") => {
    say(words, nothing);
    show(empty, rows.length === 0);
    show(node, rows.length > 0);
    keyed(body, rows, key, () => el("tr", {}, ...columns.map(({ name, numeric, make }, at) => {
      const cell = el(at === 0 ? "th" : "td", { scope: at === 0 ? "row" : null, class: numeric ? "number" : null, data: { name } });
      if (make) cell.append(make());
      return cell;
    })), (row, item) => columns.forEach(({ change, text }, at) => {
      const cell = row.children[at];
      if (change) change(cell.firstElementChild, item, cell);
      else say(cell, text(item));
    }));
  };
  return { node: whole, set };
}

export function since(at) {
  return at ? span((Date.now() - Date.parse(at)) / 1000) : "–";
}
