// Starts the page: who reads (the token), what is shown (the part of the address behind #), and whether the proxy still speaks.

import { get, listen, Refused, token } from "./api.js";
import { announcer, attr, el, say, show } from "./dom.js";
import { Feeds } from "./feeds.js";
import { span } from "./format.js";
import { inWords, signIn } from "./sign-in.js";
import { history } from "./views/history.js";
import { miner } from "./views/miner.js";
import { miners } from "./views/miners.js";
import { now } from "./views/now.js";
import { pools } from "./views/pools.js";
import { power } from "./views/power.js";

// A status comes every 2 s: two that did not are worth a word.
const OLD = 6_000;
const EVENTS = 300;

const $ = (id) => document.getElementById(id);
const main = $("main");
const announce = announcer($("said"));

/** What all views share. */
const app = {
  role: null,
  events: [],
  announce,
  feeds: new Feeds({ changed, lived, refused }),
  /** For handlers of a view: something may have changed by what was done here. */
  hasten: () => app.feeds.hasten(),
};

let view = null;
let stopListening = null;
let hearing = 0;
let lastWord = 0;
let isLost = false;
let before = null;

const VIEWS = [
  [/^$/, () => now(app), "Now"],
  [/^power$/, () => power(app), "Power"],
  [/^miners$/, () => miners(app), "Miners"],
  [/^miner\/(.+)$/, (name) => miner(app, decodeURIComponent(name)), "Miner"],
  [/^pools$/, () => pools(app), "Pools"],
  [/^history$/, () => history(app), "History"],
];

function route() {
  if (!app.role) return;
  const path = location.hash.replace(/^#\/?/, "");
  if (path === "main") return;
  const found = VIEWS.map(([pattern, make, title]) => [pattern.exec(path), make, title]).find(([match]) => match);
  const [match, make, title] = found ?? [[], VIEWS[0][1], "Now"];
  view?.end?.();
  const isFirst = view === null;
  try {
    view = make(match[1]);
  } catch {
    // An address that somebody cut off in the middle of a name.
    view = now(app);
  }
  main.replaceChildren(view.node);
  document.title = `${title} · hashgate`;
  for (const link of document.querySelectorAll(".top nav a")) {
    const target = link.getAttribute("href").replace(/^#\/?/, "");
    const isCurrent = target === path || (target === "miners" && path.startsWith("miner/"));
    attr(link, "aria-current", isCurrent ? "page" : null);
  }
  if (!isFirst) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  app.feeds.want(view.feeds);
  for (const name of view.feeds.concat("status")) if (app.feeds.of(name) !== undefined) view.update?.(name, app.feeds);
  view.heard?.(null, app.events);
}

function changed(name) {
  view?.update?.(name, app.feeds);
  if (name !== "status") return;
  const status = app.feeds.of("status");
  if (status && app.feeds.fitRange(status.uptime_s)) {
    document.querySelectorAll(".choice").forEach((choice) => choice.press?.());
    view?.ranged?.();
  }
  told(status);
}

/** What a reader who does not look should hear. */
function told(status) {
  if (!status) return;
  const said = status.site_mode ?? "";
  if (before !== null && before !== said) announce(`The site is ${said} now. ${status.headline}`);
  before = said;
}

function lived(is) {
  if (is) {
    lastWord = Date.now();
    if (isLost) {
      isLost = false;
      announce("The proxy answers again.");
    }
  } else if (!isLost) {
    isLost = true;
    announce("The proxy does not answer.");
  }
  word();
}

function word() {
  const age = Date.now() - lastWord;
  const state = isLost ? "lost" : lastWord === 0 ? "waiting" : age > OLD ? "stale" : "live";
  attr($("word"), "data-state", state);
  const words = { waiting: "connecting …", live: "live", stale: `last word ${span(age / 1000)} ago`, lost: lastWord ? `last word ${span(age / 1000)} ago` : "no answer" };
  say($("word").lastElementChild, words[state]);
  show($("banner"), isLost && Boolean(app.role));
  if (isLost) say($("banner"), `The proxy does not answer${lastWord ? `; what you see is ${span(age / 1000)} old` : ""}. Trying again …`);
  attr(document.body, "data-stale", isLost || state === "stale");
}

function refused(error) {
  if (!app.role) return;
  ask(error.status === 401 ? "The proxy does not take this token any more." : error.message);
}

/** Shows the door. */
function ask(why) {
  app.role = null;
  app.feeds.stop();
  app.feeds.forget();
  stopListening?.();
  view?.end?.();
  view = null;
  before = null;
  token.forget();
  show($("top"), false);
  show($("banner"), false);
  document.title = "Sign in · hashgate";
  main.replaceChildren(signIn(why, enter));
  main.querySelector("input").focus();
}

/** Comes in with the token that is kept. Throws if the proxy refuses it. */
async function enter() {
  const { may_control: mayControl } = await get("status");
  const role = mayControl ? "control" : "read";
  app.role = role;
  say($("role"), role === "control" ? "control" : "read only");
  attr($("role"), "title", role === "control" ? "This token may order drains and wakes" : "This token may look, and order nothing");
  show($("top"), true);
  lastWord = Date.now();
  isLost = false;
  app.feeds.start();
  hear();
  route();
}

/** Events: the last ones as a page, then all that come. */
async function hear() {
  stopListening?.();
  hearing += 1;
  const turn = hearing;
  let after = null;
  try {
    const page = await get(`events?limit=${EVENTS}`);
    app.events = page.events;
    after = page.last_id;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  // Another has begun while this one asked.
  if (!app.role || turn !== hearing) return;
  view?.heard?.(null, app.events);
  stopListening = listen({
    after,
    event: (event) => {
      app.events = [event, ...app.events.filter(({ id }) => id !== event.id)].slice(0, EVENTS);
      app.feeds.heard(event.kind);
      if (event.level === "error" || event.kind === "operator" || event.kind === "receipt") announce(event.words);
      view?.heard?.(event, app.events);
    },
    missed: ({ missed }) => {
      const words = missed === null ? "the proxy was started anew" : `${missed} events were missed while nobody listened`;
      const line = { id: `missed-${Date.now()}`, at: new Date().toISOString(), level: "info", kind: "other", about: null, words };
      app.events = [line, ...app.events].slice(0, EVENTS);
      view?.heard?.(line, app.events);
    },
    refused: (error) => {
      if (error.status === 401) refused(error);
    },
  });
}

const THEMES = ["system", "light", "dark"];

function theme(chosen) {
  if (chosen === "system") localStorage.removeItem("hashgate.theme");
  else localStorage.setItem("hashgate.theme", chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  say($("theme"), `Theme: ${chosen}`);
  view?.redraw?.();
}

$("theme").addEventListener("click", () => {
  const at = THEMES.indexOf(document.documentElement.dataset.theme ?? "system");
  theme(THEMES[(at + 1) % THEMES.length]);
});
say($("theme"), `Theme: ${document.documentElement.dataset.theme ?? "system"}`);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view?.redraw?.());
$("leave").addEventListener("click", () => ask(""));
// The skip link must not leave the view: what is behind # is its name.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => {
  if (!app.role) return;
  // A browser opens six connections to a host for all tabs together: one that nobody sees gives its stream back.
  if (document.visibilityState === "hidden") return stopListening?.();
  app.feeds.tick();
  return hear();
});
window.addEventListener("online", () => app.role && app.feeds.hasten());
setInterval(() => app.role && word(), 1_000);

async function begin() {
  if (!token.get()) return ask("");
  try {
    await enter();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 0) return ask(inWords(error));
    // A page that is opened while the proxy is away waits for it.
    show($("banner"), true);
    say($("banner"), "The proxy does not answer. Trying again …");
    setTimeout(begin, 2_000);
    return undefined;
  }
  show($("banner"), false);
  return undefined;
}

begin();
