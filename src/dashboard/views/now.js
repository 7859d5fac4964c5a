// The first view: what the site earns, what the proxy does and why, what is wrong.

import { attr, el, keyed, say, show } from "../dom.js";
import { hashrateChart, priceChart, siteChart } from "../charts.js";
import { count, hashParts, money, number, percent, perHour, power, powerParts, span } from "../format.js";
import { Merit } from "../merit.js";
import { eventList, groupCards, ranges, setTime } from "../parts.js";
import { Timeline } from "../timeline.js";
import { alternatives } from "../worth.js";

const FEEDS = ["status", "groups", "power", "merit", "hashrate", "site", "price", "decisions"];

const MODES = {
  active: ["active", "Prices decide, and what they decide is carried out."],
  advise: ["advise", "An operator's orders are carried out; prices move nothing."],
  dry_run: ["dry run", "Everything is shown, nothing is commanded."],
};

const SITES = {
  MINING: ["Mining", "good"],
  PARTIAL: ["Partly mining", "moves"],
  AI: ["Power is lent to AI", "ai"],
  CURTAILED: ["Curtailed", "sleeps"],
};

export function now(app) {
  const currency = () => app.feeds.of("groups")?.currency ?? app.feeds.of("status")?.earnings?.currency ?? "USD";
  const hero = heroPart();
  const tiles = tilesPart();
  const alerts = alertsPart();
  const groups = groupCards(app);
  const charts = { hashrate: hashrateChart(), site: siteChart(), price: priceChart(currency), merit: new Merit("chart-merit") };
  const line = new Timeline("chart-decisions");
  const events = eventList(10, "The last events");
  const ranged = () => app.feeds.of("decisions") && line.set(app.feeds.of("decisions"), app.feeds.range);
  const choice = ranges(app, ranged);
  const node = el("div", { class: "now" },
    hero.node, tiles.node,
    el("div", { class: "side" }, alerts.node, groups.node,
      el("section", { class: "panel", "aria-labelledby": "events-title" },
        el("header", {}, el("h3", { id: "events-title", text: "Last events" }), el("a", { href: "#/history", text: "all" })), events.node)),
    el("section", { class: "charts", "aria-labelledby": "charts-title" },
      el("header", { class: "over" }, el("h2", { id: "charts-title", text: "Over time" }), choice),
      charts.hashrate.node, charts.site.node, charts.price.node, charts.merit.node, line.node));

  function update(name, feeds) {
    const page = feeds.of(name);
    if (name === "status" && page) {
      hero.set(page);
      alerts.set(page.alerts);
    }
    if (["status", "groups", "merit"].includes(name)) tiles.set(feeds);
    if (name === "groups") groups.set(page);
    if (name === "hashrate" || name === "site" || name === "price") charts[name].update(page, feeds.range);
    if (name === "merit") charts.merit.set(page, feeds.known.merit.why);
    if (name === "decisions") line.set(page, feeds.range);
  }

  return {
    node,
    feeds: FEEDS,
    update,
    ranged,
    // What single machines do is for the history: a hall that boots would fill this.
    heard: (_, all) => events.set(all.filter(({ kind }) => kind !== "device")),
    redraw: () => [...Object.values(charts), line].forEach((chart) => chart.redraw()),
    end: () => [...Object.values(charts), line].forEach((chart) => chart.end()),
  };
}

function heroPart() {
  const state = el("span", { class: "state" }, el("i", { "aria-hidden": "true" }), el("b", { text: "Waiting for the proxy …" }));
  const mode = el("span", { class: "badge" });
  const why = el("p", { class: "headline" });
  const about = el("p", { class: "about" });
  const node = el("section", { class: "hero", "aria-labelledby": "mode-title" }, el("h1", { id: "mode-title" }, state, mode), why, about);
  const set = (status) => {
    const [words, look] = SITES[status.site_mode] ?? ["Mining", "good"];
    say(state.lastElementChild, words);
    attr(state, "data-look", look);
    const [word, means] = MODES[status.mode] ?? ["no decisions", "The config has no groups: nothing is decided here."];
    say(mode, word);
    attr(mode, "title", means);
    attr(mode, "data-look", status.mode === "active" ? "good" : "held");
    const begin = `${status.site_mode}: `;
    const rest = status.headline.startsWith(begin) ? status.headline.slice(begin.length) : status.headline;
    say(why, rest.charAt(0).toUpperCase() + rest.slice(1) + (/[.!]$/.test(rest) ? "" : "."));
    say(about, `${means} hashgate ${status.version}, up ${span(status.uptime_s)}${status.store ? "" : "; no store keeps the past"}.`);
  };
  return { node, set };
}

function tile(id, title) {
  const value = el("span", { text: "–" });
  const unit = el("small");
  const lines = [el("p"), el("p")];
  const bar = el("div", { class: "bar", hidden: true });
  const node = el("section", { class: "panel tile", id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title`, text: title }), el("p", { class: "value" }, value, " ", unit), bar, ...lines);
  return { node, bar, set: (text, unitText, ...rest) => {
    say(value, text);
    say(unit, unitText);
    lines.forEach((line, at) => say(line, rest[at] ?? ""));
  } };
}

function tilesPart() {
  const [earns, site, hash, miners] = [tile("tile-earns", "Earns now"), tile("tile-site", "Site power"), tile("tile-hash", "Hashrate"), tile("tile-miners", "Miners")];
  const link = el("a", { href: "#/miners", class: "cover", "aria-label": "Miners, the sick first" });
  miners.node.append(link);
  const node = el("div", { class: "tiles" }, earns.node, site.node, hash.node, miners.node);
  const set = (feeds) => {
    const status = feeds.of("status");
    if (!status) return;
    setEarnings(earns, status.earnings, alternatives(feeds.of("groups"), feeds.of("merit")));
    setSite(site, status.power);
    const [value, unit] = hashParts(status.hashrate_ths);
    const { accepted, rejected, stale_ratio_5m: stale } = status.shares;
    hash.set(value, unit, `${number(accepted)} shares accepted, ${number(rejected)} rejected`,
      stale === null ? "Too few shares for a stale rate" : `${percent(stale, 2)} stale in the last 5 minutes`);
    setMiners(miners, status.workers);
  };
  return { node, set };
}

function setEarnings(part, earnings, other) {
  if (!earnings) {
    attr(part.node, "data-look", null);
    return part.set("–", "", "No price tells what the site earns.", "");
  }
  const { currency, mining_per_hour: mining, ai_per_hour: ai, power_per_hour: cost, margin_per_hour: margin } = earnings;
  attr(part.node, "data-look", margin < 0 ? "bad" : null);
  attr(part.node, "title", `By ${earnings.basis}. What pools pay is their own account.`);
  const against = other ? `If all mined ${perHour(other.mining, currency)}; if all slept ${perHour(other.asleep, currency)}` : "";
  return part.set(money(margin, currency), "/h", `Mining ${money(mining, currency)} + AI ${money(ai, currency)} − power ${money(cost, currency)}`, against);
}

function setSite(part, site) {
  if (!site) return part.set("–", "", "Nothing is measured: no group has an actuator.", "");
  const drawn = site.meter_kw ?? site.measured_kw;
  const like = site.cap_kw ?? drawn;
  const [value, unit] = powerParts(drawn, like);
  show(part.bar, site.cap_kw !== null);
  if (site.cap_kw !== null) {
    const share = (kw) => `${Math.min(100, Math.max(0, (kw / site.cap_kw) * 100))}%`;
    const ai = Math.min(site.ai_drawn_kw, drawn);
    keyed(part.bar, [["rest", drawn - ai], ["ai", ai]], ([name]) => name, ([name]) => el("i", { class: name }), (piece, [, kw]) => { piece.style.inlineSize = share(kw); });
    attr(part.node, "data-look", drawn > site.cap_kw ? "bad" : null);
  }
  const cap = site.cap_kw === null ? " without a cap" : ` of ${power(site.cap_kw, like)}`;
  return part.set(value, `${unit}${cap}`,
    `AI draws ${power(site.ai_drawn_kw)} and is lent ${power(site.ai_granted_kw)}`,
    `${site.meter_kw === null ? "As measured at the machines" : "By the site's meter"}; ${power(site.counts_kw, like)} counts against the cap`);
}

function setMiners(part, { online, asleep, sick, offline, high_stale: stale, low_hashrate: low, unplaced }) {
  attr(part.node, "data-look", sick > 0 ? "warn" : null);
  const kinds = [[offline, "offline"], [low, "low hashrate"], [stale, "high stale"]].filter(([many]) => many > 0).map(([many, what]) => `${number(many)} ${what}`);
  return part.set(number(online), `online, ${number(asleep)} asleep`, sick === 0 ? "None is sick" : `${number(sick)} sick: ${kinds.join(", ")}`, unplaced > 0 ? `${number(unplaced)} more are not known by name` : "");
}

function alertsPart() {
  const list = el("ul", { class: "alerts", role: "list" });
  const none = el("p", { class: "fine", text: "Nothing is wrong that the proxy could see." });
  const more = el("p", { class: "empty" });
  const node = el("section", { class: "panel", "aria-labelledby": "alerts-title" }, el("header", {}, el("h3", { id: "alerts-title", text: "What is wrong" })), none, list, more);
  const set = (alerts) => {
    show(none, alerts.length === 0);
    attr(node, "data-look", alerts.some(({ severity }) => severity === "error") ? "bad" : alerts.length > 0 ? "warn" : null);
    keyed(list, alerts, ({ kind, about }) => `${kind} ${about}`, ({ severity }) => el("li", { data: { severity } },
      el("span", { class: "glyph", role: "img", "aria-label": severity === "error" ? "error" : "warning", text: severity === "error" ? "!" : "▲" }),
      el("span", { class: "words" }), el("time")), (item, alert) => {
      say(item.children[1], alert.words);
      setTime(item.children[2], alert.since);
    });
    say(more, alerts.length > 6 ? count(alerts.length, "alert") : "");
  };
  return { node, set };
}

