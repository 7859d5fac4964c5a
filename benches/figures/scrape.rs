//! One scrape of the proxy's metrics.

// Each bench that includes this file uses a part of it.
#![allow(dead_code)]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// The text that Prometheus would have read.
#[derive(Default)]
pub struct Scrape(String);

impl Scrape {
    /// Asks `http://address/metrics`.
    pub fn of(address: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Self(text))
    }

    /// The sum of all series of a name, whatever their labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|(_, value)| value).sum()
    }

    /// What a histogram took between an earlier scrape and this one.
    pub fn histogram_since(&self, earlier: &Self, name: &str) -> Histogram {
        let grown = |name: &str| self.sum(name) - earlier.sum(name);
        Histogram { count: grown(&format!("{name}_count")), sum_s: grown(&format!("{name}_sum")) }
    }

    /// Labels and value of every series of a name.
    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            Some((labels, value.parse().ok()?)).filter(|_| is_it)
        })
    }
}

/// A histogram's growth.
pub struct Histogram {
    /// Events.
    pub count: f64,
    /// Their sum, seconds.
    pub sum_s: f64,
}

impl Histogram {
    /// Mean in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.sum_s / self.count * 1e3
    }
}
