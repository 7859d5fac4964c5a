//! Server-sent events as they come over the wire, piece by piece (WHATWG HTML, 9.2.6). Bytes in, messages out.
//!
//! Knows the form; knows nothing of what is in a message. Comments and fields that nobody here needs are passed over.
//!
//! Limit: [`MAX_MESSAGE`] bytes of a message that is not whole yet.

/// Bytes of a message: an event is a kilobyte or two.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its kind; empty: an event as any other.
    pub event: String,
    /// Where to go on behind it.
    pub id: Option<String>,
    /// What it says.
    pub data: String,
}

/// What came and is not a whole message yet.
#[derive(Debug, Default)]
pub struct Messages {
    /// A line without its end.
    line: Vec<u8>,
    message: Message,
    has_data: bool,
}

impl Messages {
    /// More came. The messages that are whole now; `None` if one is longer than it may be.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Vec<Message>> {
        let mut whole = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.message.data.len() + part.len() > MAX_MESSAGE {
                return None;
            }
            self.line.extend_from_slice(part);
            if !part.ends_with(b"\n") {
                break;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            whole.extend(self.end_of_line(line.trim_end_matches(['\n', '\r'])));
        }
        Some(whole)
    }

    /// A line is whole; an empty one ends a message.
    fn end_of_line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.message.event = value.to_owned(),
            "id" => self.message.id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 2000\n\nevent: missed\ndata: {\"missed\":3}\n\n: still here\n\nid: 1-7\ndata: {\"words\":\"é\"}\n\n\
                          id: 1-8\r\ndata: a\r\ndata:b\r\n\r\nid: 1-9\n\ndata";

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let of = |event: &str, id: Option<&str>, data: &str| Message {
            event: event.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        let wanted = [
            of("missed", None, "{\"missed\":3}"),
            of("", Some("1-7"), "{\"words\":\"é\"}"),
            of("", Some("1-8"), "a\nb"),
        ];
        for size in 1..STREAM.len() {
            let mut messages = Messages::default();
            let parts = STREAM.as_bytes().chunks(size);
            let heard: Vec<Message> = parts.flat_map(|part| messages.push(part).expect("it is short")).collect();
            assert_eq!(heard, wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_without_an_end_is_no_message() {
        let mut messages = Messages::default();
        let piece = vec![b'x'; 1_000];
        let taken = (0..).take_while(|_| messages.push(&piece).is_some()).count();
        assert_eq!(taken, MAX_MESSAGE / 1_000);
        let mut lines = Messages::default();
        let taken =
            (0..10_000).take_while(|_| lines.push(b"data: 0123456789012345678901234567890123456789\n").is_some());
        assert!(taken.count() < 10_000, "many lines are no way around it");
    }
}
