// What was: decisions, what drains and wakes moved and cost, events.

import { el, say } from "../dom.js";
import { money, number, power, span } from "../format.js";
import { receiptInWords } from "../order.js";
import { badge, eventList, ranges, setBadge, setTime, table } from "../parts.js";
import { Timeline } from "../timeline.js";

const OUTCOMES = { done: ["done", "good"], partial: ["some only", "moves"], turned_back: ["turned back", "held"], fault: ["fault", "bad"], interrupted: ["interrupted", "held"] };
const KINDS = [["", "All events"], ["decision", "Decisions"], ["phase", "Phases of groups"], ["operator", "Operators"], ["receipt", "Receipts"], ["alert", "Alerts"], ["pool", "Pools"], ["failover", "Failovers"], ["lease", "Leases"], ["device", "Machines"], ["signal", "Signals"]];
const DOES = { mine: "mine", ai: "sleep for AI", curtail: "sleep" };

export function history(app) {
  const line = new Timeline("chart-decisions");
  const currency = () => app.feeds.of("groups")?.currency ?? "USD";
  const decisions = table("Decisions", [
    { name: "When", make: () => el("time"), change: (node, { at }) => setTime(node, at) },
    { name: "What", text: ({ group, ai }) => group ?? `AI ${ai}` },
    { name: "Is to", text: (row) => (row.ai !== null ? `${row.ai_kw === null ? "have what the reason says" : `have ${power(row.ai_kw)}`}` : `${DOES[row.action] ?? row.action}${row.before ? `, not ${DOES[row.before] ?? row.before}` : ""}`) },
    { name: "Why", text: ({ reason }) => reason },
    { name: "Mode", text: ({ mode }) => mode?.replace("_", " ") ?? "–" },
  ]);
  const receipts = table("Receipts of drains and wakes", [
    { name: "Ended", make: () => el("time"), change: (node, { ended }) => setTime(node, ended) },
    { name: "Group", text: ({ group, kind }) => `${group}: ${kind}` },
    { name: "Outcome", make: badge, change: (node, { outcome }) => setBadge(node, ...(OUTCOMES[outcome] ?? [outcome, "held"])) },
    { name: "Machines", numeric: true, text: ({ devices }) => `${number(devices.confirmed)} of ${number(devices.asked)}` },
    { name: "Took", numeric: true, text: ({ seconds }) => span(seconds.total_s) },
    { name: "Power", numeric: true, text: ({ watts }) => `${power(watts.before_w / 1000)} → ${power(watts.after_w / 1000)}` },
    { name: "Shares lost", numeric: true, text: ({ shares }) => number(shares.rejected + shares.timed_out + shares.in_flight_at_end) },
    { name: "Cost", numeric: true, text: ({ cost }) => `${number(cost.energy_wh / 1000, 2)} kWh${cost.money === undefined ? "" : `, ${money(cost.money, currency())}`}` },
    { name: "Why", make: () => el("span"), change: (node, receipt) => {
      say(node, receipt.why);
      node.title = receiptInWords(receipt);
    } },
  ]);
  const events = eventList(300, "Events");
  let kind = "";
  const choose = el("select", { id: "kind", onchange: () => {
    kind = choose.value;
    tell();
  } }, ...KINDS.map(([value, text]) => el("option", { value, text })));
  const tell = () => events.set(app.events.filter((event) => !kind || event.kind === kind || (kind === "alert" && event.kind === "alert_ended") || (kind === "failover" && event.kind === "fail_back")));
  const ranged = () => app.feeds.of("decisions") && line.set(app.feeds.of("decisions"), app.feeds.range);
  const choice = ranges(app, ranged);
  const node = el("div", { class: "history" },
    el("header", { class: "over" }, el("h1", { text: "History" }), choice),
    line.node,
    el("section", { class: "panel" }, receipts.node),
    el("div", { class: "pair even" },
      el("section", { class: "panel scrolls", tabindex: "0", "aria-label": "Decisions" }, decisions.node),
      el("section", { class: "panel scrolls", tabindex: "0", "aria-labelledby": "all-events" },
        el("header", {}, el("h2", { id: "all-events", text: "Events" }), el("label", { class: "unseen", for: "kind", text: "Which events" }), choose), events.node)),
    el("p", { class: "words", text: "Events are of this run of the proxy, decisions too unless a store keeps them; receipts are in the power ledger." }));
  function update(name, feeds) {
    const page = feeds.of(name);
    if (name === "decisions") {
      line.set(page, feeds.range);
      decisions.set((page?.decisions ?? []).slice(0, 100), ({ at, group, ai }) => `${at} ${group} ${ai}`, "Nothing was decided yet.");
    }
    if (name === "receipts") receipts.set((page?.receipts ?? []).slice(0, 50), ({ group, event }) => `${event} ${group}`, feeds.known.receipts.why ?? "No drain and no wake has ended yet.");
  }
  return { node, feeds: ["decisions", "receipts", "groups"], update, ranged, heard: tell, redraw: () => line.redraw(), end: () => line.end() };
}

