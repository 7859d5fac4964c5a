// Pools and routes: which live, how fast they answer, what they reject, and where they and the proxy disagree.

import { el } from "../dom.js";
import { ago, difficulty, hashrate, milliseconds, number, percent, span } from "../format.js";
import { badge, ranges, setBadge, since, table } from "../parts.js";
import { hashrateChart } from "../charts.js";

const STATES = { active: ["active", "good"], standby: ["standby", "held"], down: ["down", "bad"], unused: ["unused", "held"] };

const reasons = (of) => Object.entries(of).filter(([, many]) => many > 0).map(([reason, many]) => `${reason} ${number(many)}`).join(", ");

export function pools(app) {
  const chart = hashrateChart();
  const list = table("Pools", [
    { name: "Pool", make: () => el("span", { class: "two" }, el("b"), el("small")), change: (node, pool) => {
      node.children[0].textContent = pool.name;
      node.children[1].textContent = pool.address;
    } },
    { name: "State", make: () => el("span", { class: "two" }, badge(), el("small")), change: (node, pool) => {
      setBadge(node.children[0], ...(STATES[pool.state] ?? [pool.state, "held"]));
      node.children[1].textContent = pool.since ? `for ${since(pool.since)}` : "";
    } },
    { name: "Hashrate", numeric: true, text: (pool) => hashrate(pool.hashrate_ths) },
    { name: "Miners", numeric: true, text: (pool) => number(pool.miners) },
    { name: "Replies p50", numeric: true, text: (pool) => milliseconds(pool.reply.p50_ms) },
    { name: "p99", numeric: true, text: (pool) => milliseconds(pool.reply.p99_ms) },
    { name: "Difficulty", numeric: true, text: (pool) => difficulty(pool.difficulty) },
    { name: "Accepted", numeric: true, text: (pool) => number(pool.accepted) },
    { name: "Rejected", numeric: true, make: () => el("span", { class: "two" }, el("span"), el("small")), change: (node, pool) => {
      node.children[0].textContent = `${number(pool.rejected)}${pool.accepted + pool.rejected > 0 ? ` (${percent(pool.rejected / (pool.accepted + pool.rejected), 2)})` : ""}`;
      node.children[1].textContent = reasons(pool.rejected_by_reason);
    } },
    { name: "No answer", numeric: true, text: (pool) => number(pool.unanswered + pool.lost_unsettled) },
    { name: "Blocks", numeric: true, text: (pool) => number(pool.blocks) },
    { name: "Lost", make: () => el("span", { class: "two" }, el("span"), el("small")), change: (node, pool) => {
      node.children[0].textContent = pool.losses === 0 ? "never" : `${number(pool.losses)} times`;
      node.children[1].textContent = pool.last_loss ? `${ago(pool.last_loss.at)}: ${pool.last_loss.why}` : "";
    } },
  ]);
  const routes = table("Routes, in the order in which they are tried", [
    { name: "Route", text: (route) => route.name },
    { name: "For", text: (route) => [route.user && `users ${route.user}`, route.listeners.length && `listeners ${route.listeners.join(", ")}`, route.subnets.length && route.subnets.join(", ")].filter(Boolean).join("; ") || "everyone" },
    { name: "Mines for", make: () => el("span", {}, badge()), change: (node, route) => setBadge(node.firstChild, route.pool ?? "none yet", route.is_live ? (route.pool === route.pools[0] ? "good" : "moves") : "bad") },
    { name: "Order", text: (route) => route.pools.join(" → ") },
    { name: "Miners", numeric: true, text: (route) => number(route.miners) },
    { name: "Hashrate", numeric: true, text: (route) => hashrate(route.hashrate_ths) },
    { name: "Failovers", numeric: true, text: (route) => number(route.failovers) },
    { name: "Moves back", numeric: true, text: (route) => number(route.fail_backs) },
    { name: "Back after", numeric: true, text: (route) => span(route.fail_back_after_s) },
  ]);
  const disagreements = table("Disagreements: shares that the proxy found good and a pool rejected", [
    { name: "Worker", text: (row) => row.worker },
    { name: "The pool's reason", text: (row) => row.reason },
    { name: "Shares", numeric: true, text: (row) => number(row.shares) },
  ]);
  const node = el("div", { class: "pools" },
    el("header", { class: "over" }, el("h1", { text: "Pools" }), ranges(app)),
    el("section", { class: "panel" }, list.node), el("section", { class: "panel" }, routes.node),
    el("div", { class: "whole" }, chart.node), el("section", { class: "panel" }, disagreements.node));
  function update(name, feeds) {
    const page = feeds.of(name);
    if (name === "hashrate") chart.update(page, feeds.range);
    if (!page) return;
    if (name === "pools") {
      list.set(page.pools, (pool) => pool.name);
      disagreements.set(page.disagreements, ({ worker, reason }) => `${reason}\u0000${worker}`, "None: pools accepted every share that the proxy sent them, or found it as stale as the proxy did.");
    }
    if (name === "routes") routes.set(page.routes, (route) => route.name);
  }
  return { node, feeds: ["pools", "routes", "hashrate"], update, redraw: () => chart.redraw(), end: () => chart.end() };
}

