//! Framing: one JSON object per `\n`, `\r` stripped, at most so many bytes.
//!
//! A connection costs a buffer only while it has sent part of a line: whole lines are taken from the read buffer where they lie.

use memchr::memchr;

/// The peer sent more bytes without a line end than one line may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line of more than {limit} bytes")]
pub struct LineTooLong {
    /// The limit that was in force, in bytes.
    pub limit: usize,
}

/// Splits what is read from a socket into lines.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    limit: usize,
}

impl Lines {
    /// `limit`: bytes of the longest line, without its end.
    pub fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit }
    }

    /// Another limit, from the next line on that is not whole yet.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes the next line out of `input`, which must hold all that was read and not yet taken.
    ///
    /// `Ok(None)`: `input` is used up, and what is left of it is kept for the next call. The line is lent until the next call.
    /// Empty lines are passed over.
    ///
    /// # Errors
    /// [`LineTooLong`]; the stream can't be followed any further.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<&'a [u8]>, LineTooLong> {
        // A line that was completed by the last call is done with.
        if self.partial.last() == Some(&b'\n') {
            self.partial = Vec::new();
        }
        loop {
            let Some(end) = memchr(b'\n', input) else {
                if self.partial.len() + input.len() > self.limit {
                    return Err(LineTooLong { limit: self.limit });
                }
                self.partial.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            let (line, rest) = input.split_at(end + 1);
            *input = rest;
            if self.partial.len() + end > self.limit {
                return Err(LineTooLong { limit: self.limit });
            }
            if self.partial.is_empty() {
                let line = line.trim_ascii();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            } else {
                self.partial.extend_from_slice(line);
                if !self.partial.trim_ascii().is_empty() {
                    return Ok(Some(self.partial.trim_ascii()));
                }
                self.partial = Vec::new();
            }
        }
    }

    /// Bytes of an unfinished line.
    pub fn pending(&self) -> usize {
        self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(chunks: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut lines = Lines::new(limit);
        let mut all = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(line) = lines.next(&mut input)? {
                all.push(line.to_vec());
            }
            assert!(input.is_empty());
        }
        Ok(all)
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_empty_ones_do_not_count() {
        let lines = collect(&[b"a\r\n\n\r\nb", b"c\n", b"d"], 10).unwrap();
        assert_eq!(lines, [b"a".to_vec(), b"bc".to_vec()]);
    }

    #[test]
    fn a_line_over_the_limit_is_an_error_whether_it_ends_or_not() {
        assert_eq!(collect(&[b"12345\n"], 4), Err(LineTooLong { limit: 4 }));
        assert_eq!(collect(&[b"123", b"45"], 4), Err(LineTooLong { limit: 4 }));
        assert_eq!(collect(&[b"123", b"45\n"], 4), Err(LineTooLong { limit: 4 }));
        assert_eq!(collect(&[b"12", b"34\n"], 4).unwrap(), [b"1234".to_vec()]);
    }

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let mut lines = Lines::new(100);
        for chunk in [&b"{\"id\":"[..], &b"1}\n"[..], &b"x\n"[..]] {
            let mut input = chunk;
            while lines.next(&mut input).unwrap().is_some() {}
        }
        assert_eq!((lines.pending(), lines.partial.capacity()), (0, 0));
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_makes_no_difference(text in "[ab\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let whole = collect(&[bytes], 100).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(collect(&chunks, 100).unwrap(), whole);
        }
    }
}
