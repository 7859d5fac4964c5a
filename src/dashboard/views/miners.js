// All miners, the sick first: a table of any length in which only the rows that are seen exist.

import { get, query, Refused } from "../api.js";
import { attr, el, say, show } from "../dom.js";
import { ago, hashrate, number, percent } from "../format.js";
import { badge, setBadge, since } from "../parts.js";
import { VirtualTable } from "../virtual.js";

const SORTS = [["sick", "Sick first"], ["name", "Name"], ["hashrate", "Hashrate"], ["stale", "Stale shares"], ["last_share", "Last share"], ["accepted", "Accepted"], ["rejected", "Rejected"], ["since", "Connected"], ["group", "Group"], ["firmware", "Firmware"], ["address", "Address"]];
const FILTERS = [["", "All", {}], ["sick", "Sick", { sick: true }], ["online", "Online", { online: true }], ["offline", "Offline", { online: false }]];
const SICK = { offline: "offline", low_hashrate: "low hashrate", high_stale: "high stale" };

export function state(node, worker) {
  if (worker.sick.length > 0) setBadge(node, worker.sick.map((word) => SICK[word] ?? word).join(", "), worker.sick.includes("offline") ? "bad" : "warn");
  else if (worker.is_asleep) setBadge(node, "asleep", "sleeps");
  else if (worker.connections === 0) setBadge(node, "gone", "held");
  else setBadge(node, "mines", "good");
}

const COLUMNS = [
  { name: "Miner", sort: "name", make: () => el("a"), change: (node, worker) => {
    say(node, worker.name);
    attr(node, "href", `#/miner/${encodeURIComponent(worker.name)}`);
  } },
  { name: "State", sort: "sick", make: badge, change: state },
  { name: "Hashrate, 10 min", short: "Hashrate", sort: "hashrate", numeric: true, text: (worker) => hashrate(worker.hashrate_10m_ths) },
  { name: "Of nameplate", numeric: true, wide: 1, text: (worker) => (worker.nameplate_ths ? percent(worker.hashrate_10m_ths / worker.nameplate_ths, 0) : "–") },
  { name: "Stale", sort: "stale", numeric: true, wide: 1, text: (worker) => percent(worker.stale_ratio, 2) },
  { name: "Last share", sort: "last_share", numeric: true, wide: 1, text: (worker) => (worker.last_share_at ? ago(worker.last_share_at) : "never") },
  { name: "Accepted", sort: "accepted", numeric: true, wide: 2, text: (worker) => number(worker.accepted) },
  { name: "Rejected", sort: "rejected", numeric: true, wide: 2, text: (worker) => number(worker.rejected) },
  { name: "Group", sort: "group", wide: 2, text: (worker) => worker.group ?? "–" },
  { name: "Firmware", sort: "firmware", wide: 3, text: (worker) => worker.firmware },
  { name: "Address", sort: "address", wide: 3, text: (worker) => worker.address },
  { name: "Connected", sort: "since", numeric: true, wide: 2, text: (worker) => (worker.connections > 0 ? since(worker.since) : `gone ${since(worker.since)}`) },
];

// Kept while the page is open, so that who comes back from one miner finds the list as it was.
const asked = { text: "", filter: "", group: "", sort: "sick", reverse: false };

export function miners(app) {
  const search = el("input", { type: "search", id: "search", placeholder: "name, address or firmware", autocomplete: "off", spellcheck: "false", value: asked.text });
  const group = el("select", { id: "group" }, el("option", { value: "", text: "All groups" }));
  const sort = el("select", { id: "sort" }, ...SORTS.map(([value, text]) => el("option", { value, text })));
  const turn = el("button", { type: "button", class: "quiet", "aria-label": "Turn the order round" });
  const filters = el("div", { class: "choice", role: "group", "aria-label": "Which miners" }, ...FILTERS.map(([value, text]) => el("button", { type: "button", value, text, onclick: () => ask({ filter: value }) })));
  const counts = el("p", { class: "words" });
  const table = new VirtualTable("Miners", COLUMNS, {
    fetch: (offset, limit) => get(`workers${query({ ...FILTERS.find(([value]) => value === asked.filter)[2], text: asked.text, group: asked.group, sort: asked.sort, reverse: asked.reverse || undefined, offset, limit })}`),
    rows: (page) => page.workers,
    key: (worker) => worker.name,
    came: told,
    failed: (error) => {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) app.feeds.refused(error);
      else table.tell(error.status === 0 ? "The proxy does not answer. Trying again …" : error.message);
    },
    sort: (name) => ask(name === asked.sort ? { reverse: !asked.reverse } : { sort: name, reverse: false }),
  });
  const node = el("div", { class: "miners" },
    el("header", { class: "over" }, el("h1", { text: "Miners" }), counts),
    el("form", { class: "asks", role: "search", onsubmit: (event) => event.preventDefault() },
      el("label", { class: "unseen", for: "search", text: "Search" }), search, filters,
      el("label", { class: "unseen", for: "group", text: "Group" }), group,
      el("label", { class: "unseen", for: "sort", text: "Sort by" }), sort, turn),
    table.node);

  let typing = 0;
  let isAsked = false;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => ask({ text: search.value.trim() }), 200);
  });
  group.addEventListener("change", () => ask({ group: group.value }));
  sort.addEventListener("change", () => ask({ sort: sort.value, reverse: false }));
  turn.addEventListener("click", () => ask({ reverse: !asked.reverse }));

  function ask(change) {
    Object.assign(asked, change);
    // Who can't see the table hears what was found; what only comes in is not told.
    isAsked = true;
    press();
    table.renew();
  }

  function press() {
    for (const button of filters.children) attr(button, "aria-pressed", String(button.value === asked.filter));
    sort.value = asked.sort;
    say(turn, asked.reverse ? "↑" : "↓");
    table.sorted(asked.sort, asked.reverse);
  }

  function told(page) {
    const { known, online, asleep, sick } = page.counts;
    const shown = page.total === known ? "" : `${number(page.total)} shown · `;
    if (isAsked) app.announce(`${number(page.total)} miners`);
    isAsked = false;
    say(counts, `${shown}${number(known)} known · ${number(online)} online · ${number(asleep)} asleep · ${number(sick)} sick`);
  }

  function update(name, feeds) {
    if (name !== "groups") return;
    const names = ["", ...(feeds.of("groups")?.groups ?? []).map((each) => each.name)];
    if (names.length !== group.options.length) {
      group.replaceChildren(...names.map((each) => el("option", { value: each, text: each || "All groups" })));
    }
    show(group, names.length > 1);
    group.value = asked.group;
  }

  press();
  return { node, feeds: ["groups"], update, redraw: () => table.lay(), end: () => table.end() };
}
