//! What we write to miners: answers to their ids, verbatim, and the notifications.
//!
//! Written straight into the connection's buffer. Errors are the triples that every firmware reads: `[code, text, null]`.

use std::fmt::{self, Display};

use super::RawId;

/// The code for a method that does not exist (JSON-RPC's −32601 is read by no firmware; ckpool and cgminer use −3).
const METHOD_NOT_FOUND: i32 = -3;

/// Writes answers and notifications, one line each, to the end of a buffer.
pub struct Response<'a>(
    /// Where the lines go.
    pub &'a mut Vec<u8>,
);

impl Response<'_> {
    fn line(&mut self, args: fmt::Arguments<'_>) {
        use std::io::Write;
        self.0.write_fmt(args).expect("a vector takes all bytes");
        self.0.push(b'\n');
    }

    /// `result` is JSON.
    pub fn result(&mut self, id: RawId<'_>, result: impl Display) {
        self.line(format_args!(r#"{{"id":{id},"result":{result},"error":null}}"#));
    }

    /// `true`: it was done, or the share counts.
    pub fn ok(&mut self, id: RawId<'_>) {
        self.pieces([b"{\"id\":", id.as_bytes(), b",\"result\":true,\"error\":null}\n"]);
    }

    /// An error with a text of ours in two pieces, which need no escapes: as [`error`](Self::error), for shares.
    pub fn refuse(&mut self, id: RawId<'_>, code: u32, what: &str, of_what: &str) {
        let mut digits = itoa::Buffer::new();
        let code = digits.format(code).as_bytes();
        let (what, of_what) = (what.as_bytes(), of_what.as_bytes());
        let before = b",\"result\":null,\"error\":[";
        self.pieces([b"{\"id\":", id.as_bytes(), before, code, b",\"", what, of_what, b"\",null]}\n"]);
    }

    /// A line, put together from bytes: most of what is ever written is the answer to a share.
    fn pieces<const N: usize>(&mut self, pieces: [&[u8]; N]) {
        self.0.reserve(pieces.iter().map(|piece| piece.len()).sum());
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
    }

    /// An error with a text of ours, which needs no escapes.
    pub fn error(&mut self, id: RawId<'_>, code: u32, text: impl Display) {
        self.error_triple(id, code as i32, text);
    }

    /// An error in a pool's own words, which may hold anything.
    pub fn quoted_error(&mut self, id: RawId<'_>, code: u32, text: &str) {
        let text = serde_json::Value::from(text);
        self.line(format_args!(r#"{{"id":{id},"result":null,"error":[{code},{text},null]}}"#));
    }

    /// For every method that we don't know; never a reason to close.
    pub fn method_not_found(&mut self, id: RawId<'_>) {
        self.error_triple(id, METHOD_NOT_FOUND, "Method not found");
    }

    fn error_triple(&mut self, id: RawId<'_>, code: i32, text: impl Display) {
        self.line(format_args!(r#"{{"id":{id},"result":null,"error":[{code},"{text}",null]}}"#));
    }

    /// The answer to `mining.subscribe`; `session` and `extranonce1` are hex.
    pub fn subscribed(
        &mut self,
        id: RawId<'_>,
        session: impl Display,
        extranonce1: impl Display,
        extranonce2_size: u8,
    ) {
        self.result(
            id,
            format_args!(
                r#"[[["mining.set_difficulty","{session}"],["mining.notify","{session}"]],"{extranonce1}",{extranonce2_size}]"#
            ),
        );
    }

    /// `mining.set_difficulty`. Whole numbers are written without a point: NerdQAxe reads no other.
    pub fn set_difficulty(&mut self, difficulty: f64) {
        self.notification("mining.set_difficulty", format_args!("{difficulty}"));
    }

    /// `mining.set_extranonce`, from the next notify on; only to miners that subscribed to it.
    pub fn set_extranonce(&mut self, extranonce1: impl Display, extranonce2_size: u8) {
        self.notification("mining.set_extranonce", format_args!(r#""{extranonce1}",{extranonce2_size}"#));
    }

    /// `mining.set_version_mask`, at once.
    pub fn set_version_mask(&mut self, mask: u32) {
        self.notification("mining.set_version_mask", format_args!(r#""{mask:08x}""#));
    }

    /// `client.reconnect` to where the miner is connected now (no host and port: cgminer and ESP-Miner stay), after `wait_s` seconds.
    pub fn reconnect(&mut self, wait_s: u32) {
        self.notification("client.reconnect", format_args!(r#""",0,{wait_s}"#));
    }

    /// `client.show_message`.
    pub fn show_message(&mut self, text: &str) {
        let text = serde_json::Value::from(text);
        self.notification("client.show_message", format_args!("{text}"));
    }

    fn notification(&mut self, method: &str, params: fmt::Arguments<'_>) {
        self.line(format_args!(r#"{{"id":null,"method":"{method}","params":[{params}]}}"#));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Response<'_>)) -> String {
        let mut buffer = Vec::new();
        write(&mut Response(&mut buffer));
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn answers_carry_the_id_verbatim() {
        let id = RawId::from_text(r#""a-1""#);
        assert_eq!(written(|r| r.ok(id)), "{\"id\":\"a-1\",\"result\":true,\"error\":null}\n");
        assert_eq!(
            written(|r| r.error(id, 21, "Stale")),
            "{\"id\":\"a-1\",\"result\":null,\"error\":[21,\"Stale\",null]}\n"
        );
    }

    #[test]
    fn answers_to_shares_are_written_as_all_others_are() {
        let id = RawId::from_text("4711");
        assert_eq!(written(|r| r.ok(id)), written(|r| r.result(id, true)));
        assert_eq!(
            written(|r| r.refuse(id, 20, "Malformed ", "nonce")),
            written(|r| r.error(id, 20, "Malformed nonce"))
        );
    }

    #[test]
    fn whole_difficulties_have_no_point() {
        assert!(written(|r| r.set_difficulty(8192.0)).contains("[8192]"));
        assert!(written(|r| r.set_difficulty(0.00015)).contains("[0.00015]"));
    }

    #[test]
    fn every_line_is_json() {
        let text = written(|r| {
            r.subscribed(RawId::from_text("1"), "ab", "00", 4);
            r.method_not_found(RawId::from_text("null"));
            r.quoted_error(RawId::from_text("2"), 20, "a \"b\"\n\u{7}");
            r.set_extranonce("00ff", 4);
            r.set_version_mask(0x1fffe000);
            r.reconnect(3);
            r.show_message("a \"b\"\n");
        });
        assert_eq!(text.lines().count(), 7);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect(line);
        }
    }
}
