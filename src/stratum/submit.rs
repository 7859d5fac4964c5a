//! A `mining.submit` in its usual shape, read in one pass over the bytes.
//!
//! Nearly every line that a miner ever sends is one of these. It is recognised here and lent out where it lies: nothing is copied,
//! nothing is allocated, no JSON parser runs. **Whatever is unusual is declined**, not judged: the JSON way ([`Frame`](super::Frame), then
//! [`Request`](super::Request)) decides on it. What is recognised means here what it means there, to the byte;
//! `tests/arbitrary_input.rs` and the fuzz target `submit_line` compare the two.
//!
//! | part | usual | declined |
//! |---|---|---|
//! | members | `id`, `method`, `params`, each once, in any order | any other, one twice, one missing |
//! | spaces | where JSON allows them | none other |
//! | id | whole number, text, `null` | anything else |
//! | params | 5 or 6 | fewer, more |
//! | worker, job, extranonce2 | texts of printable ASCII | escapes, other characters, numbers |
//! | ntime, nonce, version | 1 to 8 hex digits as text; version also `""` or `null`: none | numbers |
//!
//! Limits: a worker name of [`MAX_TEXT`] bytes; longer ones are declined, since they have to be cut.

use std::borrow::Cow;

use super::{
    RawId,
    digits::{YES, eight_digits, hex_u32, lanes},
    request::MAX_TEXT,
};

/// A `mining.submit`, numbers decoded, the rest as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// Worker name, UTF-8.
    pub user: Cow<'a, [u8]>,
    /// Job id.
    pub job: Cow<'a, [u8]>,
    /// Hex of the miner's extranonce2.
    pub extranonce2: Cow<'a, [u8]>,
    /// Header time.
    pub ntime: u32,
    /// Header nonce.
    pub nonce: u32,
    /// Sixth parameter: rolled bits or, from old firmware, the whole version.
    pub version: Option<u32>,
}

impl<'a> Submit<'a> {
    /// A submit and its id, if the line has the usual shape. `None` says nothing about the line.
    pub fn usual(line: &'a [u8]) -> Option<(RawId<'a>, Self)> {
        let mut text = Scanner(line.strip_prefix(b"{")?);
        let (mut id, mut submit, mut is_submit) = (None, None, false);
        loop {
            text.spaces();
            // Told apart by their second byte.
            match text.0.get(1)? {
                b'i' if id.is_none() => {
                    text.key(b"\"id\"")?;
                    id = Some(text.id()?);
                }
                b'p' if submit.is_none() => {
                    text.key(b"\"params\"")?;
                    submit = Some(text.params()?);
                }
                b'm' if !is_submit => {
                    text.key(b"\"method\"")?;
                    text.literal(b"\"mining.submit\"")?;
                    is_submit = true;
                }
                _ => return None,
            }
            text.spaces();
            match text.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        text.spaces();
        let is_whole = text.0.is_empty() && is_submit;
        if is_whole { Some((id?, submit?)) } else { None }
    }
}

/// What is left of a line.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline(always)]
    fn spaces(&mut self) {
        // None or one, nearly always.
        if let [b' ', rest @ ..] = self.0 {
            self.0 = rest;
        }
        if let [..=b' ', ..] = self.0 {
            self.more_spaces();
        }
    }

    #[cold]
    fn more_spaces(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    #[inline(always)]
    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    #[inline(always)]
    fn key(&mut self, key: &[u8]) -> Option<()> {
        self.literal(key)?;
        self.symbol(b':')
    }

    /// One byte, and the spaces around it.
    #[inline(always)]
    fn symbol(&mut self, symbol: u8) -> Option<()> {
        self.spaces();
        if self.next()? != symbol {
            return None;
        }
        self.spaces();
        Some(())
    }

    /// Takes so many bytes.
    #[inline(always)]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// What is between quotes: printable ASCII without escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<&'a [u8]> {
        self.literal(b"\"")?;
        let end = plain(self.0);
        let inner = self.take(end)?;
        if self.next()? == b'"' { Some(inner) } else { None }
    }

    /// As [`string`](Self::string), of eight characters as job ids are, and most of the time what miners count through.
    #[inline(always)]
    fn short(&mut self) -> Option<&'a [u8]> {
        if let Some((quoted, rest)) = self.0.split_first_chunk::<10>()
            && let [b'"', inner @ .., b'"'] = quoted
            && special(inner) == 0
        {
            self.0 = rest;
            return Some(inner);
        }
        self.string()
    }

    /// Verbatim.
    #[inline(always)]
    fn id(&mut self) -> Option<RawId<'a>> {
        let all = self.0;
        match all.first()? {
            b'"' => {
                self.string()?;
            }
            b'n' => self.0 = all.strip_prefix(b"null")?,
            // JSON has no leading zeros.
            b'0' => self.0 = &all[1..],
            b'1'..=b'9' => {
                while let [b'0'..=b'9', rest @ ..] = self.0 {
                    self.0 = rest;
                }
            }
            _ => return None,
        }
        Some(RawId::from_bytes(&all[..all.len() - self.0.len()]))
    }

    #[inline(always)]
    fn params(&mut self) -> Option<Submit<'a>> {
        self.symbol(b'[')?;
        let user = self.string().filter(|user| user.len() <= MAX_TEXT)?;
        self.symbol(b',')?;
        let job = self.short()?;
        self.symbol(b',')?;
        let extranonce2 = self.short()?;
        self.symbol(b',')?;
        let ntime = self.field()?;
        self.symbol(b',')?;
        let nonce = self.field()?;
        self.spaces();
        let version = match self.next()? {
            b']' => None,
            b',' => {
                self.spaces();
                let version = self.version()?;
                self.spaces();
                if self.next()? != b']' {
                    return None;
                }
                version
            }
            _ => return None,
        };
        let (user, job, extranonce2) = (user.into(), job.into(), extranonce2.into());
        Some(Submit { user, job, extranonce2, ntime, nonce, version })
    }

    /// Eight hex digits in quotes, as nearly all are, or fewer.
    #[inline(always)]
    fn field(&mut self) -> Option<u32> {
        if let Some((quoted, rest)) = self.0.split_first_chunk::<10>()
            && let [b'"', digits @ .., b'"'] = quoted
            && let Some(number) = eight_digits(digits)
        {
            self.0 = rest;
            return Some(number);
        }
        hex_u32(self.string()?)
    }

    #[inline(always)]
    fn version(&mut self) -> Option<Option<u32>> {
        let none: &[u8] = match self.0 {
            [b'n', ..] => b"null",
            [b'"', b'"', ..] => b"\"\"",
            _ => return self.field().map(Some),
        };
        self.literal(none)?;
        Some(None)
    }
}

/// How many bytes come before the first that is no plain character of a string.
#[inline(always)]
fn plain(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let special = special(word);
        if special != 0 {
            return 8 * at + special.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7f if !matches!(byte, b'"' | b'\\'));
    text.len() - rest.len() + rest.iter().take_while(|byte| is_plain(byte)).count()
}

/// The top bit of each byte that is no plain character of a string: a quote, an escape, a control, not ASCII. The first byte is the
/// lowest.
#[inline(always)]
fn special(text: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*text);
    let ascii = word & lanes(0x7f);
    // No sum carries into the next lane; its top bit is 0 in the lanes that are looked for.
    let no_quote = (ascii ^ lanes(b'"')) + lanes(0x7f);
    let no_escape = (ascii ^ lanes(b'\\')) + lanes(0x7f);
    let no_control = ascii + lanes(0x80 - 0x20);
    (word | !(no_quote & no_escape & no_control)) & YES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::{Frame, Request};

    /// What the JSON way says of a line.
    fn by_json(line: &[u8]) -> Option<(RawId<'_>, Submit<'_>)> {
        let frame = Frame::parse(line).ok()?;
        match Request::parse(&frame) {
            (id, Ok(Request::Submit(submit))) => Some((id, submit)),
            _ => None,
        }
    }

    /// Lines as firmware writes them.
    const USUAL: [&str; 9] = [
        // cgminer, bmminer, ESP-Miner, NerdMiner, cpuminer, bosminer, then spaces, a textual id, none.
        r#"{"params": ["farm.0001", "0000000a", "00000001", "6a000000", "0badcafe", "00400000"], "id": 4711, "method": "mining.submit"}"#,
        r#"{"params":["farm.0001","0000000a","00000001","6a000000","0badcafe",""],"id":12,"method":"mining.submit"}"#,
        r#"{"id": 9, "method": "mining.submit", "params": ["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq.bitaxe", "0000000a", "01000000", "6a000000", "0badcafe", "00c00000"]}"#,
        r#"{"id":7,"method":"mining.submit","params":["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq","0000000a","00000001","6a000000","badcaf"]}"#,
        r#"{"method": "mining.submit", "params": ["farm.0001", "0000000a", "00000001", "6a000000", "0badcafe"], "id":4}"#,
        r#"{"id":3,"method":"mining.submit","params":["farm.0001","0000000a","0000000000000001","6a000000","0BADCAFE","1FFFE000"]}"#,
        "{ \t\"id\" :\r0 , \"method\": \"mining.submit\" ,\"params\" : [ \"\" , \"\" ,\"zz\" , \"1\" , \"2\" , null ] } \r",
        r#"{"id":"a-1","method":"mining.submit","params":["u","j","00","1","2","0"]}"#,
        r#"{"id":null,"method":"mining.submit","params":["u","j","00","1","2"]}"#,
    ];

    #[test]
    fn what_firmware_sends_is_usual_and_means_what_json_says() {
        for line in USUAL {
            let usual = Submit::usual(line.as_bytes());
            assert!(usual.is_some(), "{line}");
            assert_eq!(usual, by_json(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn nothing_is_copied() {
        let line = USUAL[0].as_bytes();
        let (_, submit) = Submit::usual(line).expect("usual");
        for text in [submit.user, submit.job, submit.extranonce2] {
            assert!(matches!(text, Cow::Borrowed(text) if line.as_ptr_range().contains(&text.as_ptr())));
        }
    }

    #[test]
    fn a_usual_line_with_any_byte_changed_cut_or_doubled_means_what_json_says() {
        let agrees = |line: &[u8]| {
            if let Some(usual) = Submit::usual(line) {
                assert_eq!(Some(usual), by_json(line), "{}", line.escape_ascii());
            }
        };
        for line in USUAL.map(str::as_bytes) {
            for at in 0..line.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = line.to_vec();
                    changed[at] = byte;
                    agrees(&changed);
                }
                agrees(&line[..at]);
                agrees(&[&line[..at], &line[at + 1..]].concat());
                agrees(&[&line[..at + 1], &line[at..]].concat());
            }
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_json() {
        for line in [
            r#"{"id":1,"id":1,"method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00","1","2"],"params":["u","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining.submit","method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"id":01,"method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"id":1.0,"method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining\u002esubmit","params":["u","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining.submit","params":["\u0075","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining.submit","params":["é","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00",1,2]}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00","1"]}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00","1","2","3","4"]}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00","1","2"],}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00","1","2"]}{}"#,
            r#"{"id":1,"method":"mining.submit","params":["u","j","00","1",""]}"#,
            r#" {"id":1,"method":"mining.submit","params":["u","j","00","1","2"]}"#,
            r#"{"id":1,"method":"mining.ping","params":["u","j","00","1","2"]}"#,
        ] {
            assert_eq!(Submit::usual(line.as_bytes()), None, "{line}");
        }
        let long = "u".repeat(MAX_TEXT + 1);
        let line = format!(r#"{{"id":1,"method":"mining.submit","params":["{long}","j","00","1","2"]}}"#);
        assert_eq!(Submit::usual(line.as_bytes()), None);
        assert!(by_json(line.as_bytes()).is_some());
    }
}
