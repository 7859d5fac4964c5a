// The site's power in detail: what counts against the cap, groups, AI compute and its leases, signals, the merit order.

import { attr, el, keyed, say, show } from "../dom.js";
import { siteChart, priceChart } from "../charts.js";
import { ago, clock, number, power as kw, short } from "../format.js";
import { Merit } from "../merit.js";
import { badge, groupCards, ranges, setBadge, table } from "../parts.js";

const STATES = { fresh: ["fresh", "good"], stale: ["stale", "bad"], never: ["never seen", "held"], split: ["sources disagree", "bad"] };

export function power(app) {
  const currency = () => app.feeds.of("groups")?.currency ?? "USD";
  const charts = { site: siteChart(), price: priceChart(currency) };
  const merit = new Merit("chart-merit");
  const groups = groupCards(app);
  const balance = balancePart();
  const blocks = table("AI compute", [
    { name: "Block", text: ({ name }) => name },
    { name: "Should have", numeric: true, text: (block) => kw(block.wanted_kw) },
    { name: "Lent", numeric: true, text: (block) => kw(block.granted_kw) },
    { name: "Asked back", numeric: true, text: (block) => kw(block.revoked_kw) },
    { name: "Draws", numeric: true, text: (block) => kw(block.drawn_kw) },
    { name: "Leases", text: (block) => block.leases.map((lease) => `${lease.id}: ${kw(lease.kw)} until ${clock(lease.expires)}`).join("; ") || "none" },
    { name: "Why", text: (block) => [block.state, block.refused, block.decision].filter(Boolean).join("; ") || "–" },
  ]);
  const signals = table("Signals", [
    { name: "Signal", text: ({ name }) => name },
    { name: "State", make: badge, change: (node, { state }) => setBadge(node, ...(STATES[state] ?? [state, "held"])) },
    { name: "Value", numeric: true, text: (signal) => signal.value === undefined ? (signal.low === undefined ? "–" : `${short(signal.low)} to ${short(signal.high)} ${signal.unit}`) : `${short(signal.value)} ${signal.unit}` },
    { name: "Observed", numeric: true, text: (signal) => (signal.observed_at ? ago(signal.observed_at) : "never") },
    { name: "Taken", numeric: true, text: (signal) => number(signal.accepted) },
    { name: "Refused", numeric: true, text: (signal) => number(Object.values(signal.refused).reduce((sum, many) => sum + many, 0)) },
    { name: "Last refusal", text: (signal) => signal.sources.map((source) => source.last_refusal?.error).filter(Boolean)[0] ?? "–" },
  ]);
  const node = el("div", { class: "power" },
    el("header", { class: "over" }, el("h1", { text: "Power" }), ranges(app)),
    el("div", { class: "pair" }, charts.site.node, balance.node),
    el("div", { class: "pair" }, merit.node, groups.node),
    el("section", { class: "panel" }, blocks.node),
    el("div", { class: "whole" }, charts.price.node),
    el("section", { class: "panel" }, signals.node));
  function update(name, feeds) {
    const page = feeds.of(name);
    if (name === "site" || name === "price") charts[name].update(page, feeds.range);
    if (name === "merit") merit.set(page, feeds.known.merit.why);
    if (name === "groups") groups.set(page);
    if (name === "power") {
      balance.set(page, feeds.known.power.why);
      blocks.set(page?.blocks ?? [], ({ name: block }) => block, page?.unmanaged_blocks.length ? `${page.unmanaged_blocks.join(", ")}: nobody tells it of leases.` : "The config has no AI compute.");
    }
    if (name === "signals") signals.set(page?.signals ?? [], ({ name: signal }) => signal, "The config has no signals.");
  }
  const all = [charts.site, charts.price, merit];
  return {
    node,
    feeds: ["groups", "power", "merit", "signals", "site", "price"],
    update,
    redraw: () => all.forEach((chart) => chart.redraw()),
    end: () => all.forEach((chart) => chart.end()),
  };
}

function balancePart() {
  const list = el("dl", { class: "balance" });
  const empty = el("p", { class: "empty", text: "Waiting for the first answer …" });
  const note = el("p", { class: "words" });
  const node = el("section", { class: "panel", "aria-labelledby": "balance-title" },
    el("header", {}, el("h3", { id: "balance-title", text: "What counts against the cap" })), list, note, empty);
  const set = (page, why) => {
    show(empty, !page);
    if (!page) return say(empty, why ?? "Nothing can be moved here.");
    const { site } = page;
    const rows = [["ASICs", site.asic_kw], ["AI compute", site.ai_kw], ["Base load", site.base_kw], ["Unexplained", site.unexplained_kw], ["Reserve", site.reserve_kw], ["Counts together", site.counts_kw]];
    if (site.cap_kw !== null) rows.push(["Cap", site.cap_kw], ["Room left", site.room_kw]);
    rows.push(["Measured at machines", site.measured_kw], ["Site meter", site.meter_kw]);
    keyed(list, rows, ([name]) => name, ([name]) => el("div", { data: { name } }, el("dt", { text: name }), el("dd")), (row, [, value]) => say(row.lastElementChild, value === null ? "not fresh" : kw(value, site.cap_kw ?? site.counts_kw)));
    attr(list, "data-over", site.room_kw !== null && site.room_kw < 0);
    return say(note, site.over_cap_readings > 0 ? `${number(site.over_cap_readings)} readings over the cap since the start, the most by ${kw(site.over_cap_most_kw)}.` : "No reading was over the cap since the start.");
  };
  return { node, set };
}
