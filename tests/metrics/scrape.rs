//! One page of `/metrics`, taken apart by code that shares nothing with what has written it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A line that is no comment.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What a scrape answers.
#[derive(Debug)]
pub struct Page {
    pub text: String,
    pub series: Vec<Series>,
    /// Type by family, of those that have a help as well.
    pub kinds: BTreeMap<String, String>,
}

impl Page {
    pub async fn of(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("UTF-8");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
        Self::parse(text)
    }

    fn parse(text: &str) -> Self {
        let (mut series, mut kinds, mut help) = (Vec::new(), BTreeMap::new(), String::new());
        // Not `lines()`: a carriage return is part of a line here.
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').filter(|(_, words)| !words.is_empty()).expect(line).0.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, help, "its help stands before it");
                assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} is there twice");
            } else {
                let one = parse(line).unwrap_or_else(|| panic!("not understood: {line:?}"));
                assert!(one.name.starts_with(&*help) && !help.is_empty(), "{line} stands under {help}");
                series.push(one);
            }
        }
        let mut seen = BTreeSet::new();
        for one in &series {
            assert!(seen.insert((&one.name, &one.labels)), "twice: {one:?}");
        }
        Self { text: text.to_owned(), series, kinds }
    }

    /// The value of the one series with these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |one: &&Series| {
            one.name == name && labels.iter().all(|(name, value)| one.labels.get(*name).is_some_and(|is| is == value))
        };
        let mut found = self.series.iter().filter(has);
        let value = found.next()?.value;
        assert!(found.next().is_none(), "{name}{labels:?} are several");
        Some(value)
    }
}

/// `name{label="value",…} number`, with `\\`, `\"` and `\n` in values.
fn parse(line: &str) -> Option<Series> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let mut chars = after.char_indices();
            let mut value = String::new();
            let end = loop {
                match chars.next()? {
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        _ => return None,
                    }),
                    (at, '"') => break at,
                    (_, char) => value.push(char),
                }
            };
            labels.insert(label.to_owned(), value).is_none().then_some(())?;
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = match rest.strip_prefix(' ')? {
        "+Inf" => f64::INFINITY,
        number => number.parse().ok()?,
    };
    Some(Series { name: name.to_owned(), labels, value })
}
