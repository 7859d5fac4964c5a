// What the site would earn if it did otherwise: plain sums over what the proxy says of each group, at its nameplate and the present prices.

/** Per hour, if all groups mined and if all slept; AI compute has nothing in both. `null` where a price or a nameplate is not known. */
export function alternatives(groups, merit) {
  if (!groups || !merit || groups.groups.length === 0) return null;
  const cost = groups.groups.map(({ decision }) => decision?.per_mwh.cost).find((each) => each !== null && each !== undefined);
  if (cost === undefined) return null;
  const base = -(merit.base_kw / 1000) * cost;
  let [mining, asleep] = [base, base];
  for (const { decision, nameplate_kw: kw } of groups.groups) {
    const margin = decision?.per_mwh.margin_mining;
    if (margin === null || margin === undefined || kw === null) return null;
    mining += (kw / 1000) * margin;
    asleep += (kw / 1000) * (decision.per_mwh.margin_curtail ?? 0);
  }
  return { mining, asleep };
}
