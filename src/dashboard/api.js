// Asks the proxy. The token is the operator's: it is kept for this tab alone, sent as a header, and never part of an address.

const KEY = "hashgate.token";
// Longer than the proxy takes for anything (it gives up on its power side after 10 s).
const PATIENCE = 15_000;
// The stream says something every 10 s; twice that and a half without a word, and it is dead.
const SILENCE = 25_000;
const RETRY = [500, 1_000, 2_000, 4_000, 8_000];

/** An answer that is no yes: its status, and the proxy's words. `status` 0: there was no answer. */
export class Refused extends Error {
  constructor(status, reason, words) {
    super(words);
    this.status = status;
    this.reason = reason;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

function headers(more = {}) {
  return { Authorization: `Bearer ${token.get() ?? ""}`, ...more };
}

async function refusal(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    // Something between here and the proxy answered, in its own form.
  }
  return new Refused(answer.status, body.reason ?? "", body.error ?? `the proxy answered with status ${answer.status}`);
}

async function ask(path, options = {}) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  try {
    const answer = await fetch(`api/v1/${path}`, { cache: "no-store", ...options, signal: controller.signal });
    if (!answer.ok) throw await refusal(answer);
    return await answer.json();
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(0, "unreachable", "the proxy does not answer");
  } finally {
    clearTimeout(timer);
  }
}

export function get(path) {
  return ask(path, { headers: headers() });
}

export function post(path, body) {
  return ask(path, { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) });
}

/** A query without what is not asked for. */
export function query(parameters) {
  const asked = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return asked.length === 0 ? "" : `?${new URLSearchParams(asked)}`;
}

/** Listens to events until `stop` is called; comes back by itself, behind the last one that was heard. */
export function listen({ after, event, missed, refused }) {
  let last = after;
  let controller = new AbortController();
  let isStopped = false;
  let failures = 0;

  async function once() {
    controller = new AbortController();
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => controller.abort(), SILENCE);
    };
    heard();
    try {
      const more = last ? { "Last-Event-ID": last } : {};
      const asked = { cache: "no-store", headers: headers({ Accept: "text/event-stream", ...more }), signal: controller.signal };
      const answer = await fetch("api/v1/events", asked);
      if (!answer.ok) throw await refusal(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const messages = parser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        heard();
        failures = 0;
        for (const message of messages(value)) {
          if (message.id) last = message.id;
          if (message.event === "missed") missed?.(JSON.parse(message.data));
          else if (message.data) event(JSON.parse(message.data));
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }

  (async () => {
    while (!isStopped) {
      try {
        await once();
      } catch (error) {
        if (error instanceof Refused) refused?.(error);
      }
      if (isStopped) return;
      const wait = RETRY[Math.min(failures, RETRY.length - 1)];
      failures += 1;
      await new Promise((resume) => setTimeout(resume, wait));
    }
  })();

  return () => {
    isStopped = true;
    controller.abort();
  };
}

/** Takes server-sent events apart (WHATWG HTML, 9.2), as far as the proxy writes them: `event`, `id` and `data` of one line. */
export function parser() {
  let rest = "";
  let message = {};
  return (piece) => {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    const whole = [];
    for (const line of lines) {
      if (line === "") {
        if (message.data !== undefined) whole.push(message);
        message = {};
        continue;
      }
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      message[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
    }
    return whole;
  };
}
