// What the page knows, and the one loop that keeps it fresh. A view says which feeds it needs; nobody else asks the proxy on a timer.

import { get, query, Refused } from "./api.js";

// Requests under way at once: browsers open six connections to a host, and the stream has one of them.
const AT_ONCE = 4;
const TICK = 250;

/** From when to when charts show: their choices, in seconds. */
export const RANGES = [["15 min", 900], ["1 h", 3_600], ["6 h", 21_600], ["24 h", 86_400]];

const series = (chart) => (range) => {
  const to = Math.floor(Date.now() / 1000);
  const step = Math.max(10, Math.ceil(range / 360 / 10) * 10);
  const at = (seconds) => new Date(seconds * 1000).toISOString();
  return `series/${chart}${query({ from: at(to - range), to: at(to), step })}`;
};

/** Name: how often, in milliseconds, and where. */
const FEEDS = {
  status: [2_000, () => "status"],
  groups: [2_000, () => "groups"],
  power: [2_000, () => "power"],
  merit: [4_000, () => "merit"],
  pools: [3_000, () => "pools"],
  routes: [3_000, () => "routes"],
  signals: [3_000, () => "signals"],
  decisions: [10_000, () => "decisions?limit=500"],
  receipts: [5_000, () => "receipts?limit=100"],
  hashrate: [10_000, series("hashrate")],
  site: [10_000, series("site")],
  price: [10_000, series("price")],
};

// What the status says is not there is not asked for: why not, or nothing.
const MOVABLE = ({ power }) => power === null && "nothing can be moved: no group of the config has an actuator";
const ABSENT = {
  merit: ({ site_mode: mode }) => mode === null && "nothing is decided: the config has no groups",
  power: MOVABLE,
  receipts: MOVABLE,
};

// What an event of these kinds is about may be another now.
const MOVES = new Set(["started", "pool", "failover", "fail_back", "decision", "operator", "receipt", "alert", "alert_ended", "phase", "lease", "meter"]);
const HASTENED = ["status", "groups", "power", "merit", "pools", "routes", "decisions", "receipts"];

/** Asks for what is wanted, when it is due, and tells `changed(name)` and `lived(is, error)`. */
export class Feeds {
  constructor({ changed, lived, refused }) {
    this.changed = changed;
    this.lived = lived;
    this.refused = refused;
    this.known = {};
    this.wanted = new Set();
    this.due = {};
    this.underWay = new Set();
    this.range = RANGES[1][1];
    this.isChosen = false;
    this.timer = 0;
    this.soon = 0;
  }

  start() {
    this.stop();
    this.due = {};
    this.timer = setInterval(() => this.tick(), TICK);
    this.tick();
  }

  stop() {
    clearInterval(this.timer);
  }

  /** These from now on; what is not wanted is not asked for. */
  want(names) {
    this.wanted = new Set(["status", ...names]);
    this.tick();
  }

  /** A proxy that has not run for long has not much to show. */
  fitRange(uptime) {
    if (this.isChosen) return false;
    this.isChosen = true;
    if (uptime >= RANGES[0][1]) return false;
    this.range = RANGES[0][1];
    this.hasten(["hashrate", "site", "price"]);
    return true;
  }

  setRange(range) {
    this.isChosen = true;
    this.range = range;
    this.hasten(["hashrate", "site", "price"]);
  }

  hasten(names = HASTENED) {
    for (const name of names) this.due[name] = 0;
    this.tick();
  }

  /** Something happened: look in a moment, when more of it has. */
  heard(kind) {
    if (!MOVES.has(kind) || this.soon) return;
    this.soon = setTimeout(() => {
      this.soon = 0;
      this.hasten();
    }, 200);
  }

  tick() {
    // Who does not look need not be shown anything, but for whether the proxy lives.
    const isSeen = document.visibilityState !== "hidden";
    const now = Date.now();
    for (const name of this.wanted) {
      if (this.underWay.size >= AT_ONCE) return;
      if (this.underWay.has(name) || (this.due[name] ?? 0) > now || (!isSeen && name !== "status")) continue;
      if (this.isAbsent(name, now)) continue;
      this.fetch(name, now);
    }
  }

  /** Whether a feed is not there, or that is not known yet. */
  isAbsent(name, now) {
    if (!ABSENT[name]) return false;
    const status = this.of("status");
    if (!status) return true;
    const why = ABSENT[name](status);
    if (!why) return false;
    const isNew = this.of(name) !== null;
    this.known[name] = { page: null, at: now, why };
    if (isNew) this.changed(name);
    return true;
  }

  async fetch(name, now) {
    const [every, path] = FEEDS[name];
    this.underWay.add(name);
    this.due[name] = now + every;
    try {
      const page = await get(path(this.range));
      this.known[name] = { page, at: Date.now() };
      this.lived(true);
      this.changed(name);
    } catch (error) {
      this.failed(name, error);
    } finally {
      this.underWay.delete(name);
      this.tick();
    }
  }

  failed(name, error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 0) {
      this.lived(false, error);
    } else if ([401, 403, 429].includes(error.status)) {
      this.refused(error);
    } else {
      // There is none of it here: no prices, no machines to move. It may come with the next config.
      this.known[name] = { page: null, at: Date.now(), why: error.message };
      this.due[name] = Date.now() + 10_000;
      this.lived(true);
      this.changed(name);
    }
  }

  /** What is known of a feed; `undefined` before the first answer, `null` where there is none. */
  of(name) {
    return this.known[name]?.page;
  }

  forget() {
    this.known = {};
  }
}
