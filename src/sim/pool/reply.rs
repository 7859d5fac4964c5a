//! How answers are written: ids verbatim, refusals in the pool's own form, and when they leave.

use std::collections::VecDeque;

use serde_json::to_string as json;
use tokio::time::Instant;

use super::settings::ReplyForm;

/// Lines to be written: now, or when their time has come.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Ready for the socket.
    pub(super) ready: Vec<u8>,
    /// Held back by [`Fault::SlowReplies`](super::Fault::SlowReplies), in order of time.
    pub(super) delayed: VecDeque<(Instant, String)>,
}

impl Outbox {
    pub(super) fn send(&mut self, line: &str) {
        self.ready.extend_from_slice(line.as_bytes());
    }

    /// Moves what is due to the ready bytes.
    pub(super) fn release(&mut self, now: Instant) {
        while self.delayed.front().is_some_and(|(due, _)| *due <= now)
            && let Some((_, line)) = self.delayed.pop_front()
        {
            self.send(&line);
        }
    }
}

/// `result` is JSON already.
pub(super) fn success(id: &str, result: &str) -> String {
    format!("{{\"id\":{id},\"result\":{result},\"error\":null}}\n")
}

/// A refusal in one of the forms pools are known to use.
pub(super) fn refusal(form: ReplyForm, id: &str, code: i32, message: &str) -> String {
    let text = quoted(message);
    match form {
        ReplyForm::ResultNullErrorTriple => {
            format!("{{\"id\":{id},\"result\":null,\"error\":[{code},{text},null]}}\n")
        }
        ReplyForm::ResultFalseErrorTriple => {
            format!("{{\"id\":{id},\"result\":false,\"error\":[{code},{text},null]}}\n")
        }
        ReplyForm::FalseRejectReason => {
            format!("{{\"reject-reason\":{text},\"result\":false,\"error\":null,\"id\":{id}}}\n")
        }
        ReplyForm::ErrorString => format!("{{\"id\":{id},\"result\":null,\"error\":{text}}}\n"),
        ReplyForm::SlushArray => format!(
            "{{\"error\":[{code},{text},\"Traceback (most recent call last)\"],\"id\":{id},\"result\":null}}\n"
        ),
        ReplyForm::CodeMessageObject => {
            format!(
                "{{\"id\":{id},\"result\":null,\"error\":{{\"code\":{code},\"message\":{text},\"data\":null}}}}\n"
            )
        }
    }
}

/// Something nobody asked for; `params` is JSON already.
pub(super) fn notification(method: &str, params: &str) -> String {
    format!("{{\"id\":null,\"method\":\"{method}\",\"params\":{params}}}\n")
}

/// Text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    json(text).expect("a string is always valid JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_one_line_of_json_that_keeps_the_id() {
        for form in ReplyForm::ALL {
            let line = refusal(form, "\"a\\u0062\"", 21, "Stale \"x\"");
            assert_eq!(line.matches('\n').count(), 1);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["id"], "ab", "{form:?}");
            assert_ne!(value["result"], true, "{form:?}");
            assert!(line.contains("Stale"), "{form:?}");
        }
    }
}
