// The charts of the site: what each shows of an answer of `series/…`, and its sentence.

import { Lines, MAX_LINES, last, look, marks } from "./lines.js";
import { hashUnit, hashrate, money, number, perMwh, power, short, THIN } from "./format.js";

function left(lines) {
  return lines.length > MAX_LINES ? ` ${lines.length - MAX_LINES} more lines are left out.` : "";
}

/** Hashrate of each group (or route), and what each pool credits. */
export function hashrateChart() {
  const chart = new Lines("Hashrate", { write: hashrate, id: "chart-hashrate" });
  chart.update = (page, range) => {
    if (!page) return;
    const of = (kind) => page.lines.filter(({ key }) => key.startsWith(kind));
    const groups = of("group:").length > 0 ? of("group:") : of("route:");
    const total = page.lines.find(({ key }) => key === "total");
    const pools = of("pool:").filter(({ values }) => values.some((value) => value > 0));
    const several = groups.length > 1;
    const shown = [
      { ...total, label: "all", colour: "--ink", dash: [], width: 2.5 },
      ...(several ? groups : []).slice(0, MAX_LINES).map((line, place) => ({ ...line, label: line.key.split(":").slice(1).join(":"), ...look(place) })),
      ...pools.slice(0, 3).map((line, place) => ({ ...line, label: `credited by ${line.key.slice("pool:".length)}`, colour: "--muted", dash: [[2, 2], [5, 2], [1, 3]][place], width: 1.2 })),
    ];
    const most = Math.max(0, ...shown.flatMap(({ values }) => values.filter((value) => value !== null)));
    const [unit, scale] = hashUnit(most);
    const [now] = last(total.values);
    const known = total.values.filter((value) => value !== null);
    const write = (value) => `${short(value / scale)}${THIN}${unit}`;
    const words = now === null ? "" : `${write(now)} now; at most ${write(Math.max(...known))}, at least ${write(Math.min(...known))} in this time.${left(groups)}`;
    chart.set({ note: page.note, at: page.at, lines: shown, range, words, axis: (value) => `${number(value / scale, digits(most / scale))} ${unit}` });
  };
  return chart;
}

function digits(most) {
  return most < 2 ? 2 : most < 20 ? 1 : 0;
}

/** The site's power against its cap, with what AI compute was lent on top of what is counted for the ASICs. */
export function siteChart() {
  const chart = new Lines("Site power", { write: (kw) => power(kw), id: "chart-site" });
  chart.update = (page, range) => {
    if (!page) return;
    const line = (key) => page.lines.find((each) => each.key === key);
    const lent = page.lines.filter(({ key }) => key.startsWith("lease:")).slice(0, 3);
    const shown = [
      { ...line("base_kw"), colour: "--base", isStacked: true },
      { ...line("asic_kw"), label: "ASICs, as counted", colour: "--line-1", isStacked: true },
      ...lent.map((each, place) => ({ ...each, colour: ["--ai", "--line-4", "--line-3"][place], isStacked: true })),
      { ...line("meter_kw"), colour: "--ink", dash: [], width: 2 },
      { ...line("cap_kw"), colour: "--bad", dash: [8, 4], width: 2 },
    ].filter(({ values, key }) => key !== "cap_kw" || values.some((value) => value !== null));
    const [cap] = last(line("cap_kw").values);
    const metered = last(line("meter_kw").values)[0] ?? last(line("measured_kw").values)[0];
    const peak = Math.max(...line("meter_kw").values.concat(line("measured_kw").values).filter((value) => value !== null));
    const ai = lent.reduce((sum, { values }) => sum + (last(values)[0] ?? 0), 0);
    const words = metered === null ? "" : `${power(metered)} now${cap === null ? ", without a cap" : ` under a cap of ${power(cap)}`}; at most ${power(peak)} in this time. ${ai > 0 ? `${power(ai)} of it is lent to AI compute.` : "Nothing is lent to AI compute."}`;
    chart.set({ note: page.note, at: page.at, lines: shown, range, words, axis: (value) => power(value, cap ?? peak) });
  };
  return chart;
}

/** Power's price against what a MWh earns in each group, with drains and wakes. */
export function priceChart(currency) {
  const chart = new Lines("Price and mining value", { write: (value) => perMwh(value, currency()), id: "chart-price" });
  chart.update = (page, range) => {
    if (!page) return;
    const of = (key) => page.lines.find((each) => each.key === key);
    const known = (line) => line?.values.some((value) => value !== null);
    const groups = page.lines.filter(({ key }) => key.startsWith("value:")).filter(known);
    const shown = [
      { ...of("power"), label: "power costs", colour: "--ink", dash: [], width: 2.5, steps: true },
      ...groups.slice(0, MAX_LINES).map((line, place) => ({ ...line, label: line.key.slice("value:".length), ...look(place) })),
      ...(known(of("ai")) ? [{ ...of("ai"), label: "AI pays", colour: "--ai", dash: [6, 3], steps: true }] : []),
    ];
    const [glyphs, told] = marks(page.marks);
    const [price] = last(of("power").values);
    const under = groups.filter(({ values }) => (last(values)[0] ?? Infinity) < price).length;
    const words = price === null ? "" : `Power costs ${perMwh(price, currency())} with delivery; ${under === 0 ? "every group earns more" : under === groups.length ? "no group earns that" : `${under} of ${groups.length} groups earn less`}.${told}${left(groups)}`;
    chart.set({ note: page.note, at: page.at, lines: shown, marks: glyphs, range, words, axis: (value) => money(value, currency(), { digits: 0 }) });
  };
  return chart;
}

