//! `http_json`: asks a web server for a JSON document, again and again, and not more often than it likes.
//!
//! | it answers | we do |
//! |---|---|
//! | 200 | take the value; ask again after `poll`, or when the present price ends |
//! | 304 | what it said last is still what it says |
//! | 429, 503 with `Retry-After` | leave that address alone as long as it says, a day at the most |
//! | anything else, or nothing | the next address; twice as long as before, up to [`LONGEST_BACKOFF`] |

use std::time::Duration;

use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use jiff::{Timestamp, fmt::rfc2822};
use tokio::time::{Instant, sleep};

use super::{Feed, dated, jittered, text};
use crate::{
    config::{HttpSource, HttpUrl},
    http::{Answer, HttpClient, HttpError},
    profit::{
        Unit, extract,
        signal::{Observation, Refusal, When},
    },
    tls::Shown,
};

/// The longest wait after failures, unless `poll` is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(900);

/// The longest that a server may ask us to stay away.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// How long after the end of a price we ask for the next: servers' clocks are not ours.
const AFTER_THE_END: Duration = Duration::from_secs(1);

/// Asks until it is dropped.
pub async fn run(source: HttpSource, unit: Unit, feed: Feed, shown: Shown) {
    let tls = source.urls.iter().any(|url| url.expose().scheme() == "https");
    let pin = source.pin;
    // Roots are read from disk.
    let client = tokio::task::spawn_blocking(move || HttpClient::noting(tls, pin, shown)).await;
    let client = match client {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return feed.refuse(Refusal::Failed(error.to_string())).await,
        Err(_) => return,
    };
    let mut asked = Asked::new(source, unit);
    loop {
        let said = asked.ask(&client).await;
        let wait = asked.next_wait(Timestamp::now(), Instant::now(), &said);
        // The book keeps a refusal for people to see, and counts it.
        let _ = feed.say(said).await;
        sleep(wait).await;
    }
}

/// What is remembered between two questions.
struct Asked {
    source: HttpSource,
    unit: Unit,
    /// Which address is asked.
    at: usize,
    /// Questions without a good answer, in a row.
    failures: u32,
    /// Until when each server wants us to stay away.
    away: Vec<Option<Instant>>,
    /// The last good answer: what it said, and the headers that ask whether it has changed.
    last: Option<(Vec<Observation>, HeaderMap)>,
}

impl Asked {
    fn new(source: HttpSource, unit: Unit) -> Self {
        let away = vec![None; source.urls.len()];
        Self { source, unit, at: 0, failures: 0, away, last: None }
    }

    async fn ask(&mut self, client: &HttpClient) -> Result<Vec<Observation>, Refusal> {
        let url = &self.source.urls[self.at];
        let headers = self.headers();
        // What it says was so then, or later: an answer may be long on its way.
        let asked_at = Timestamp::now();
        let answer = client.get(url.expose(), &headers, self.source.timeout).await;
        self.away[self.at] = None;
        let said = answer.map_err(|error| refusal(url, &error)).and_then(|answer| self.read(&answer));
        if said.is_ok() {
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
            // What one server has is not what the next has.
            if self.source.urls.len() > 1 {
                self.at = self.next_address(Instant::now());
                self.last = None;
            }
        }
        said.map(|said| dated(said, Some(asked_at)))
    }

    /// The next address that does not want to be left alone; where all do, the one that wants it least long.
    fn next_address(&self, tick: Instant) -> usize {
        let count = self.source.urls.len();
        let others = (1..=count).map(|step| (self.at + step) % count);
        // The first of equals: `None`, which is nobody's wish, comes before any time.
        others.min_by_key(|address| self.away[*address].filter(|until| *until > tick)).unwrap_or_default()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = self.last.as_ref().map_or_else(HeaderMap::new, |(_, conditions)| conditions.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("hashgate/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &self.source.headers {
            // Both were checked with the config.
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value.expose())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }

    fn read(&mut self, answer: &Answer) -> Result<Vec<Observation>, Refusal> {
        let url = &self.source.urls[self.at];
        match answer.status {
            StatusCode::OK => {
                let about = |refusal| match refusal {
                    Refusal::Unreadable(what) => Refusal::Unreadable(format!("{url}: {what}")),
                    other => other,
                };
                let said =
                    text(&answer.body).and_then(|text| extract(text, &self.source.picker, self.unit)).map_err(about)?;
                self.last = Some((said.clone(), conditions(&answer.headers)));
                Ok(said)
            }
            StatusCode::NOT_MODIFIED if self.last.is_some() => {
                Ok(self.last.as_ref().map(|(said, _)| said.clone()).unwrap_or_default())
            }
            status => {
                let wait = retry_after(&answer.headers, Timestamp::now());
                self.away[self.at] = wait.map(|wait| Instant::now() + wait);
                Err(match status {
                    StatusCode::TOO_MANY_REQUESTS => {
                        Refusal::RateLimited(format!("{url} answers {status}: it is asked too often"))
                    }
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        Refusal::Failed(format!("{url} answers {status}: look at headers and the variables in them"))
                    }
                    _ => Refusal::Failed(format!("{url} answers {status}")),
                })
            }
        }
    }

    /// How long until the next question.
    fn next_wait(&self, now: Timestamp, tick: Instant, said: &Result<Vec<Observation>, Refusal>) -> Duration {
        let poll = self.source.poll;
        match said {
            Ok(observations) => {
                let ends = observations.iter().filter_map(|observation| match observation.when {
                    When::During { from, to } if from <= now && now < to => {
                        Duration::try_from(to.duration_since(now)).ok()
                    }
                    _ => None,
                });
                let end = ends.min().map(|end| end.saturating_add(AFTER_THE_END));
                end.filter(|end| *end < poll).unwrap_or_else(|| jittered(poll))
            }
            Err(_) => {
                // The other address is asked at once; when all have failed, it takes longer and longer.
                let addresses = u32::try_from(self.source.urls.len()).unwrap_or(1);
                let (rounds, asked) = (self.failures / addresses, self.failures % addresses);
                let backoff = poll.saturating_mul(1 << rounds.min(10)).min(LONGEST_BACKOFF.max(poll));
                let wait = if asked > 0 { Duration::from_secs(1) } else { jittered(backoff) };
                let away = self.away[self.at].map(|until| until.saturating_duration_since(tick));
                wait.max(away.unwrap_or_default())
            }
        }
    }
}

/// The headers that ask whether an answer has changed since.
fn conditions(answered: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (theirs, ours) in [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)] {
        if let Some(value) = answered.get(theirs) {
            headers.insert(ours, value.clone());
        }
    }
    headers
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

fn refusal(url: &HttpUrl, error: &HttpError) -> Refusal {
    let words = format!("{url}: {error}");
    match error {
        HttpError::Setup(_) => Refusal::Failed(words),
        HttpError::Connection(_) | HttpError::Timeout(_) => Refusal::Unreachable(words),
        HttpError::Redirect(_) => Refusal::Redirect(words),
        HttpError::TooLarge(most) => Refusal::TooLarge(*most),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::config::{Config, ProcessEnv, SourceKind};

    fn asked(poll: u64, urls: &str) -> Asked {
        let text = format!(
            "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[[signal]]\nunit = \"USD/MWh\"\n\
             kind = \"http_json\"\nurl = {urls}\nvalue = \"/p\"\npoll = \"{poll}s\"\n"
        );
        let (config, _) = Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap();
        let source = config.signals[0].sources[0].clone();
        let SourceKind::HttpJson(http) = source.kind else { panic!() };
        Asked::new(*http, source.unit)
    }

    fn seconds(wait: Duration) -> u64 {
        wait.as_secs()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_a_day() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, now).map(seconds)
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Thu, 01 Jan 2026 00:05:00 GMT"), Some(300));
        assert_eq!(after("Wed, 01 Jan 2025 00:05:00 GMT"), Some(0));
        assert_eq!(after("99999999999"), Some(86_400));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_price_that_ends_before_the_next_poll_is_asked_for_at_its_end() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let ends_in = |end: i64| {
            let from = now.checked_sub(SignedDuration::from_secs(100)).unwrap();
            let to = now.checked_add(SignedDuration::from_secs(end)).unwrap();
            Ok(vec![Observation { value: 1.0, when: When::During { from, to } }])
        };
        let wait = |end| seconds(asked(300, "\"http://127.0.0.1/\"").next_wait(now, Instant::now(), &ends_in(end)));
        assert_eq!(wait(30), 31);
        assert!((270..=330).contains(&wait(900)));
    }

    #[test]
    fn failures_are_asked_after_more_and_more_rarely_but_the_other_address_at_once() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let tick = Instant::now();
        let failed = || Err(Refusal::Nothing);
        let mut one = asked(60, "\"http://127.0.0.1/\"");
        for (failures, at_least, at_most) in
            [(1, 108, 132), (2, 216, 264), (3, 432, 528), (4, 810, 990), (40, 810, 990)]
        {
            one.failures = failures;
            assert!((at_least..=at_most).contains(&seconds(one.next_wait(now, tick, &failed()))), "{failures}");
        }
        one.away[0] = Some(tick + Duration::from_secs(5000));
        assert_eq!(seconds(one.next_wait(now, tick, &failed())), 5000);

        let mut two = asked(60, "[\"http://127.0.0.1/\", \"http://127.0.0.2/\"]");
        (two.failures, two.at) = (1, 1);
        assert_eq!(seconds(two.next_wait(now, tick, &failed())), 1);
        (two.failures, two.at) = (2, 0);
        assert!((108..=132).contains(&seconds(two.next_wait(now, tick, &failed()))));
    }

    #[test]
    fn a_server_that_wants_a_pause_does_not_keep_us_from_the_other() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let tick = Instant::now();
        let failed = || Err(Refusal::Nothing);
        let mut two = asked(60, "[\"http://127.0.0.1/\", \"http://127.0.0.2/\"]");
        two.away[0] = Some(tick + Duration::from_secs(86_400));
        (two.failures, two.at) = (1, two.next_address(tick));
        assert_eq!((two.at, seconds(two.next_wait(now, tick, &failed()))), (1, 1));
        // The other fails too: it is asked again, and the first is left alone.
        (two.failures, two.at) = (2, two.next_address(tick));
        assert_eq!(two.at, 1);
        assert!((108..=132).contains(&seconds(two.next_wait(now, tick, &failed()))));
        // Both want a pause: the shorter one is kept.
        two.away[1] = Some(tick + Duration::from_secs(5000));
        (two.failures, two.at) = (4, two.next_address(tick));
        assert_eq!((two.at, seconds(two.next_wait(now, tick, &failed()))), (1, 5000));
        // A pause that is over is none.
        assert_eq!(two.next_address(tick + Duration::from_secs(90_000)), 0);
    }
}
