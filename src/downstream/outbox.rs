//! What a slow miner has not taken yet.
//!
//! Empty for nearly every miner nearly always: lines go straight to the socket, and only what it does not take waits here.
//! A clean job overtakes what waits: it goes right behind the line that is half sent, and the notifies that it supersedes
//! are dropped. Limit: the caller disconnects a miner whose outbox is over its bound.

use std::collections::VecDeque;

/// Lines that wait for a socket.
#[derive(Debug, Default)]
pub struct Outbox {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the first line that were sent.
    sent: usize,
    len: usize,
}

const NOTIFY: &[u8] = br#"{"id":null,"method":"mining.notify""#;
const NOTIFICATION: &[u8] = br#"{"id":null,"method":"#;

impl Outbox {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds whole lines, of which `sent` bytes are out already. With `clean` they hold a clean job.
    pub fn push(&mut self, lines: &[u8], sent: usize, clean: bool) {
        if clean && !self.is_empty() {
            return self.overtake(lines);
        }
        let mut at = 0;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let end = at + line.len();
            if end > sent {
                if at < sent {
                    self.sent = sent - at;
                }
                self.len += end - at.max(sent);
                self.lines.push_back(line.to_vec());
            }
            at = end;
        }
    }

    /// Puts the lines of a clean job behind the half-sent line and behind what else was announced (a difficulty holds until the
    /// next one), drops the notifies before it, and leaves the answers for later.
    fn overtake(&mut self, lines: &[u8]) {
        let waiting = std::mem::take(&mut self.lines);
        let is_half_sent = self.sent > 0;
        let mut answers = Vec::new();
        for (at, line) in waiting.into_iter().enumerate() {
            if (at == 0 && is_half_sent) || (line.starts_with(NOTIFICATION) && !line.starts_with(NOTIFY)) {
                self.lines.push_back(line);
            } else if !line.starts_with(NOTIFY) {
                answers.push(line);
            }
        }
        self.lines.extend(lines.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        self.lines.extend(answers);
        self.len = self.lines.iter().map(Vec::len).sum::<usize>() - self.sent;
    }

    /// What to send next.
    pub fn front(&self) -> &[u8] {
        self.lines.front().map_or(&[], |line| &line[self.sent..])
    }

    /// So many bytes of [`front`](Self::front) were sent.
    pub fn consume(&mut self, sent: usize) {
        self.sent += sent;
        self.len -= sent;
        if self.lines.front().is_some_and(|line| self.sent == line.len()) {
            self.lines.pop_front();
            self.sent = 0;
        }
        if self.lines.is_empty() {
            self.lines = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox) -> String {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let front = outbox.front().len().min(7);
            all.extend_from_slice(&outbox.front()[..front]);
            outbox.consume(front);
        }
        assert_eq!(outbox.len(), 0);
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn what_was_not_sent_goes_out_in_order() {
        let mut outbox = Outbox::default();
        outbox.push(b"first\nsecond\n", 8, false);
        outbox.push(b"third\n", 0, false);
        assert_eq!(outbox.len(), 11);
        assert_eq!(drain(&mut outbox), "cond\nthird\n");
    }

    #[test]
    fn a_clean_job_overtakes_all_but_the_line_that_is_half_sent() {
        let notify = |job: &str| format!("{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{job}\"]}}\n");
        let difficulty = "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[8]}\n";
        let answer = "{\"id\":1,\"result\":true,\"error\":null}\n";
        let mut outbox = Outbox::default();
        outbox.push(format!("{answer}{difficulty}{}{answer}", notify("old")).as_bytes(), 3, false);
        outbox.push(notify("new").as_bytes(), 0, true);
        assert_eq!(drain(&mut outbox), format!("{}{difficulty}{}{answer}", &answer[3..], notify("new")));
    }
}
