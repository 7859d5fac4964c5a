// Numbers, units and times as people read them. Every number that leaves here has its unit with it.

const NONE = "–";
const MINUS = "\u2212";
// A narrow space that does not break: between thousands, and before units.
const THIN = "\u202f";

function grouped(text) {
  const [whole, part] = text.split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
  return part === undefined ? spaced : `${spaced}.${part}`;
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** With so many digits behind the point. */
export function number(value, digits = 0) {
  if (!isNumber(value)) return NONE;
  const text = grouped(Math.abs(value).toFixed(digits));
  const isZero = /^[0.\u202f]*$/.test(text);
  return value < 0 && !isZero ? MINUS + text : text;
}

/** Three digits that mean something. */
export function short(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  return number(value, size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2);
}

const HASHES = [["EH/s", 1e6], ["PH/s", 1e3], ["TH/s", 1], ["GH/s", 1e-3], ["MH/s", 1e-6], ["kH/s", 1e-9], ["H/s", 1e-12]];

/** The unit that fits so many TH/s: its name, and how many TH/s it is. */
export function hashUnit(ths) {
  const size = Math.abs(ths);
  return HASHES.find(([, scale]) => size >= scale) ?? (size > 0 ? HASHES.at(-1) : HASHES[2]);
}

/** A hashrate as a number and its unit. */
export function hashParts(ths) {
  if (!isNumber(ths)) return [NONE, "TH/s"];
  const [unit, scale] = hashUnit(ths);
  return [short(ths / scale), unit];
}

export function hashrate(ths) {
  return hashParts(ths).join(THIN);
}

/** Power as a number and its unit; `like` chooses the unit, so that two of a line have the same. */
export function powerParts(kw, like = kw) {
  if (!isNumber(kw)) return [NONE, "kW"];
  return Math.abs(like ?? kw) >= 10_000 ? [number(kw / 1000, 2), "MW"] : [number(kw, Math.abs(kw) < 10 && kw !== 0 ? 1 : 0), "kW"];
}

export function power(kw, like = kw) {
  return powerParts(kw, like).join(THIN);
}

const SYMBOLS = { USD: "$", EUR: "€", GBP: "£", AUD: "A$", CAD: "C$" };

function symbol(currency) {
  return SYMBOLS[currency] ?? `${currency}${THIN}`;
}

/** Money with its sign before the currency; `sign` also where it is a gain. */
export function money(value, currency, { sign = false, digits = 2 } = {}) {
  if (!isNumber(value)) return NONE;
  const text = number(Math.abs(value), Math.abs(value) >= 10_000 ? 0 : digits);
  const isZero = /^[0.\u202f]*$/.test(text);
  const before = isZero ? "" : value < 0 ? MINUS : sign ? "+" : "";
  return `${before}${symbol(currency)}${text}`;
}

export function perMwh(value, currency) {
  return isNumber(value) ? `${money(value, currency, { digits: 1 })}/MWh` : NONE;
}

export function perHour(value, currency, options) {
  return isNumber(value) ? `${money(value, currency, options)}/h` : NONE;
}

export function percent(ratio, digits = 1) {
  return isNumber(ratio) ? `${number(ratio * 100, digits)}${THIN}%` : NONE;
}

export function milliseconds(ms) {
  return isNumber(ms) ? `${ms < 10 ? number(ms, ms < 1 ? 2 : 1) : number(ms)}${THIN}ms` : NONE;
}

/** A difficulty, which may be a hundred digits or a millionth. */
export function difficulty(value) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  for (const [letter, scale] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (size >= scale) return short(value / (letter === "k" ? 1e3 : scale)) + letter;
  }
  return size < 0.001 ? value.toExponential(2).replace("-", MINUS) : short(value);
}

/** A span of time: two units at most. */
export function span(seconds) {
  if (!isNumber(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  const steps = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = steps.findIndex(([length]) => whole >= length);
  if (first < 0) return `0${THIN}s`;
  const [length, unit] = steps[first];
  const text = `${Math.floor(whole / length)}${THIN}${unit}`;
  const next = steps[first + 1];
  const rest = next ? Math.floor((whole % length) / next[0]) : 0;
  return rest > 0 ? `${text} ${rest}${THIN}${next[1]}` : text;
}

export function ago(at, now = Date.now()) {
  const time = typeof at === "string" ? Date.parse(at) : at;
  if (!isNumber(time)) return NONE;
  const seconds = (now - time) / 1000;
  return seconds < 1.5 ? "now" : `${span(seconds)} ago`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** A time in the reader's zone; with its day if that is not today. */
export function clock(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return NONE;
  return date.toDateString() === new Date().toDateString() ? CLOCK.format(date) : DAY.format(date);
}

const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Hour and minute alone, for axes. */
export function hour(at) {
  return SHORT.format(new Date(at));
}

export function utc(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "" : `${date.toISOString().replace("T", " ").replace(/\.\d+Z$/, "")} UTC`;
}

/** `1 miner`, `2 miners`. */
export function count(many, one, more = `${one}s`) {
  return `${number(many)} ${many === 1 ? one : more}`;
}

export { NONE, THIN };
