// An order for a group: first what it would do (the proxy's own plan, by a dry run), then the operator's word, then how far it is, until its receipt.

import { get, post, Refused } from "./api.js";
import { attr, el, keyed, say, show } from "./dom.js";
import { count, number, power, span } from "./format.js";
import { moves } from "./parts.js";

const TITLES = { drain: "Drain", wake: "Wake", release: "Release" };
const MEANS = {
  drain: "Its machines go to sleep and stay asleep, whatever mining pays.",
  wake: "Its machines mine and go on, whatever power costs.",
  release: "The operator's order ends: prices decide again.",
};
const LASTS = [["", "until I release it"], ["30m", "for 30 minutes"], ["1h", "for 1 hour"], ["2h", "for 2 hours"], ["4h", "for 4 hours"], ["8h", "for 8 hours"], ["1day", "for a day"]];
const LOOK = 1_000;
const OUTCOMES = { done: "done", partial: "some machines only", turned_back: "turned back", fault: "machines did not obey", interrupted: "interrupted by an operator" };

export function receiptInWords(receipt) {
  const { devices, seconds, watts, shares, outcome, kind } = receipt;
  const unanswered = shares.timed_out + shares.in_flight_at_end;
  const proven = devices.asked > 0 || !devices.idle ? `${number(devices.confirmed)} of ${number(devices.asked)} machines proven` : `nobody had to be moved, ${count(devices.idle, "machine")} drew nothing before,`;
  return `${TITLES[kind] ?? kind} ended, ${OUTCOMES[outcome] ?? outcome}: ${proven} in ${span(seconds.total_s)}, `
    + `${power(watts.before_w / 1000)} to ${power(watts.after_w / 1000)} at the machines. `
    + `Shares: ${number(shares.accepted)} accepted, ${number(shares.rejected)} rejected, ${number(unanswered)} without an answer.`;
}

/** Opens the dialog. */
export function order(app, group, kind) {
  const [name, title] = [group.name, TITLES[kind]];
  const state = { timer: 0, last: -1, isEnded: false, isAsking: false };
  const heading = el("h2", { id: "order-title", text: `${title} ${name}` });
  const means = el("p", { text: MEANS[kind] });
  const plan = el("div", { class: "plan", role: "status", "aria-live": "polite" }, el("p", { class: "empty", text: "Asking the proxy what that would do …" }));
  const why = el("input", { id: "order-why", type: "text", maxlength: 200, autocomplete: "off", placeholder: "told to everyone who looks at the group" });
  const lasts = el("select", { id: "order-lasts" }, ...LASTS.map(([value, text]) => el("option", { value, text })));
  const fields = el("div", { class: "fields" }, el("label", { for: "order-why", text: "Why" }), why);
  if (kind !== "release") fields.append(el("label", { for: "order-lasts", text: "How long" }), lasts);
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Machines proven" });
  const words = el("p", { class: "reached" });
  const progress = el("div", { class: "progress", hidden: true }, bar, words);
  const cancel = el("button", { type: "button", text: "Cancel", onclick: () => dialog.close() });
  const go = el("button", { type: "button", class: `main ${kind}`, text: `${title} ${name}`, disabled: true, onclick: () => send() });
  const dialog = el("dialog", { "aria-labelledby": "order-title", class: "order" },
    heading, means, plan, fields, progress, wrong, el("div", { class: "buttons" }, cancel, go));
  dialog.addEventListener("close", () => {
    clearInterval(state.timer);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  cancel.focus();
  const path = `groups/${encodeURIComponent(name)}/${kind}`;

  const refuse = (error) => {
    if (!(error instanceof Refused)) throw error;
    say(wrong, error.message);
    show(wrong, true);
  };

  (async () => {
    try {
      plan.replaceChildren(...planned(await post(path, { dry_run: true })));
      attr(go, "disabled", false);
    } catch (error) {
      plan.replaceChildren();
      refuse(error);
    }
  })();

  async function send() {
    attr(go, "disabled", true);
    show(wrong, false);
    try {
      // Receipts of a group are numbered: the one that is waited for comes after all there are now.
      const { receipts } = await get("receipts?limit=1000");
      state.last = Math.max(-1, ...receipts.filter((each) => each.group === name).map(({ event }) => event));
      const body = {};
      if (why.value.trim()) body.why = why.value.trim();
      if (kind !== "release" && lasts.value) body.for = lasts.value;
      const done = await post(path, body);
      app.hasten();
      app.announce(`${title} of ${name} is ordered.`);
      [means, fields, go].forEach((node) => show(node, false));
      say(cancel, "Close; it goes on");
      if (kind === "release" || done.leads_to === null) return end(`It is ordered. ${kind === "release" ? "Prices decide again." : "Nothing has to move for it."}`);
      show(progress, true);
      say(words, "Ordered …");
      state.timer = setInterval(follow, LOOK);
      follow();
    } catch (error) {
      attr(go, "disabled", false);
      refuse(error);
    }
    return undefined;
  }

  /** Until the receipt of this order is there. */
  async function follow() {
    const seen = app.feeds.of("groups")?.groups.find((each) => each.name === name)?.power;
    const moving = seen && moves(seen);
    if (moving && !state.isEnded) {
      bar.value = moving.share;
      say(words, `${moving.words}; the group draws ${power(seen.draws_kw)}${seen.waits_for ? `; waits for ${seen.waits_for}` : ""}.`);
    }
    if (state.isAsking) return;
    state.isAsking = true;
    try {
      const { receipts } = await get("receipts?limit=50");
      const mine = receipts.find((each) => each.group === name && each.kind === kind && each.event > state.last);
      if (mine) {
        bar.value = mine.devices.asked > 0 ? mine.devices.confirmed / mine.devices.asked : 1;
        end(receiptInWords(mine));
      }
    } catch (error) {
      refuse(error);
    } finally {
      state.isAsking = false;
    }
  }

  function end(text) {
    clearInterval(state.timer);
    state.isEnded = true;
    show(progress, true);
    attr(progress, "data-done", true);
    say(words, text);
    app.announce(text);
    say(cancel, "Close");
    cancel.focus();
    app.hasten();
  }
}

/** The plan in words and kW. */
function planned(plan) {
  const facts = el("dl", { class: "facts" });
  const fact = (name, value) => facts.append(el("div", {}, el("dt", { text: name }), el("dd", { text: value })));
  if (plan.leads_to === null) {
    fact("Now", power(plan.draws_kw));
  } else {
    fact("Power", `${power(plan.draws_kw)} → ${power(plan.will_draw_kw)}`);
    fact("Told", count(plan.devices, "machine"));
    if (plan.left_out > 0) fact("Left as they are", count(plan.left_out, "machine"));
    if (plan.asks_back_kw > 0) fact("Asked back from AI first", power(plan.asks_back_kw));
    if (plan.takes_s > 0) fact("Commands take", span(plan.takes_s));
  }
  const list = el("ol", { class: "steps" });
  keyed(list, plan.words.map((text, at) => ({ text, at })), ({ at }) => at, ({ text }) => el("li", { text }));
  return [facts, list];
}
