//! What a slow miner has not taken yet.
//!
//! Empty for nearly every miner nearly always: lines go straight to the socket, and only what it does not take waits here.
//! A clean job overtakes what waits: it goes right behind the line that is half sent, and the notifies that it supersedes
//! are dropped, as are settings that it or a later one sets again: however many clean jobs come for a miner that reads nothing, what waits
//! does not grow. Limit: the caller disconnects a miner whose outbox is over its bound.

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
const SETTING: &[u8] = br#"{"id":null,"method":"mining.set_"#;

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
            if at == 0 && is_half_sent {
                self.lines.push_back(line);
            } else if line.starts_with(NOTIFICATION) && !line.starts_with(NOTIFY) {
                self.announce(line);
            } else if !line.starts_with(NOTIFY) {
                answers.push(line);
            }
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.announce(line.to_vec());
        }
        self.lines.extend(answers);
        self.len = self.lines.iter().map(Vec::len).sum::<usize>() - self.sent;
    }

    /// Adds a line; a setting takes the place of the one before it, unless that is half sent.
    fn announce(&mut self, line: Vec<u8>) {
        if let Some(name) = setting(&line) {
            let half_sent = usize::from(self.sent > 0);
            let older = self.lines.iter().skip(half_sent).position(|waiting| setting(waiting) == Some(name));
            if let Some(at) = older {
                self.lines.remove(half_sent + at);
            }
        }
        self.lines.push_back(line);
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

/// What a line sets for the miner, if it is one that does.
fn setting(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(SETTING)?.split(|byte| *byte == b'"').next()
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

    #[test]
    fn clean_jobs_for_one_that_reads_nothing_replace_each_other_with_their_settings() {
        let notify = |job: u32| format!("{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{job:04}\"]}}\n");
        let set =
            |what: &str, value: u32| format!("{{\"id\":null,\"method\":\"mining.set_{what}\",\"params\":[{value}]}}\n");
        for sent in [0, 20] {
            let mut outbox = Outbox::default();
            let first = set("difficulty", 1) + &notify(0);
            outbox.push(first.as_bytes(), sent, false);
            for job in 1..=1000 {
                outbox.push((set("version_mask", job) + &notify(job)).as_bytes(), 0, true);
                outbox.push((set("difficulty", job) + &notify(job)).as_bytes(), 0, true);
                assert!(outbox.len() < 300, "{}", outbox.len());
            }
            // The line that is half sent stays, although it is out of date.
            let half = if sent > 0 { set("difficulty", 1)[sent..].to_owned() } else { String::new() };
            let newest = set("version_mask", 1000) + &set("difficulty", 1000) + &notify(1000);
            assert_eq!(drain(&mut outbox), half + &newest);
        }
    }
}
