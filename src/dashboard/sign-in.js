// The door: the operator types the token in. It goes into a header and into this tab's storage, nowhere else.

import { Refused, token } from "./api.js";
import { attr, el, say, show } from "./dom.js";

/** A form; `enter` is tried with what was typed in. */
export function signIn(why, enter) {
  const input = el("input", { type: "password", id: "token", autocomplete: "current-password", required: true, spellcheck: "false", "aria-describedby": "token-help token-wrong" });
  const wrong = el("p", { class: "wrong", id: "token-wrong", role: "alert" });
  const button = el("button", { type: "submit", class: "main", text: "Open" });
  // A name beside the token, so that password managers know what they keep.
  const user = el("input", { type: "text", autocomplete: "username", value: "hashgate", class: "unseen", tabindex: "-1", "aria-hidden": "true", readonly: true });
  const form = el("form", { class: "panel" },
    el("h1", { text: "hashgate" }),
    el("label", { for: "token", text: "Token" }), user, input,
    el("p", { class: "help", id: "token-help", text: "token (looks and orders) or read_token (looks) of [admin] in the proxy's config. It is kept until this tab is closed." }),
    wrong, button);
  say(wrong, why);
  show(wrong, Boolean(why));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (!typed) return;
    token.set(typed);
    attr(button, "disabled", true);
    try {
      await enter();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      token.forget();
      say(wrong, inWords(error));
      show(wrong, true);
      attr(input, "aria-invalid", true);
      input.select();
    } finally {
      attr(button, "disabled", false);
    }
  });
  return el("div", { class: "door" }, form);
}

/** Why somebody was not let in. */
export function inWords(error) {
  if (error.status === 401) return "The proxy does not know this token.";
  if (error.status === 429) return "Too many wrong tokens came from here. Wait a minute, then try again.";
  if (error.status === 0) return "The proxy does not answer. Is it running?";
  return error.message;
}
