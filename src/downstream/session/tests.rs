//! Conversations with one miner, played from text in virtual time.
//!
//! ```text
//! > line      the miner says this; {share 1} becomes job id, extranonce2, ntime and nonce of a share for notify 1
//! < line      it hears this next; notifications are short: `notify 2 clean`, `set_difficulty 4`
//! * effect    what else happens: `for A: share`, `close: pre_auth_timeout`
//! ! event     the router or a pool does this
//! @ time      so much time passes
//! ```
//!
//! Everything that is heard or happens must be written down, in order: what comes unannounced fails the test, and so does a job
//! whose id or headers were sent before. The router's part is played here: leases come from a real [`LeaseBook`], routes lead to
//! the pool that `Talk::route` names. A hash is found for each `{…}`; the classes are those of [`range`].

mod handshake;
mod matrix;
mod shares;
mod work;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::*;
use crate::{
    downstream::vardiff::VardiffSettings,
    router::{LeaseBook, Released},
    stratum::{Lines, Notify, VersionDialect, tests::notify_bf},
    work::{Job, JobIds, Work},
};

/// What the session's caller ticks at.
const TICK: Duration = Duration::from_millis(250);

/// The difficulty of the miners here: a share in 17 hashes. Start and floor at once, so that vardiff leaves it alone.
const EASY: f64 = 4e-9;

/// The difficulty of the pools here: a share in 258 hashes.
const POOL: f64 = 6e-8;

/// The network's target here: a block in 4096 hashes.
const NBITS: u32 = 0x1f0f_ffff;

const MASK: u32 = 0x1fff_e000;

/// The miner's user name in all conversations.
const USER: &str = "farm.1";

/// A pool connection.
struct PoolSide {
    upstream: UpstreamId,
    difficulty: f64,
    mask: u32,
    notify: Notify,
    work: Option<(Arc<WorkSeries>, Instant)>,
    /// `None` when it is gone.
    fate: Option<Fate>,
}

/// One miner's conversation, and everybody else in it.
struct Talk {
    settings: Arc<ListenerSettings>,
    session: Session,
    io: Io,
    now: Instant,
    offer: Offer,
    /// Bytes of the pools' extranonce2.
    pool_size: usize,
    leases: LeaseBook<Parked>,
    way_back: mpsc::UnboundedSender<Released<Parked>>,
    released: mpsc::UnboundedReceiver<Released<Parked>>,
    sessions: u32,
    ids: Arc<JobIds>,
    pools: BTreeMap<char, PoolSide>,
    /// Where its route leads; `None`: to no live pool.
    route: Option<char>,
    remembered: Option<Difficulty>,
    /// Leases are refused.
    exhausted: bool,
    /// What was heard or happened, and not yet written down.
    unsaid: VecDeque<String>,
    notifies: Vec<Arc<Work>>,
    /// What each lease was sent: job ids, and what makes a header.
    sent: HashSet<(Extranonce, String)>,
    nonce: u32,
    last_share: String,
    tickets: VecDeque<u32>,
    judged: Vec<Result<ValidShare, Reject>>,
    submitted: Vec<PoolShare>,
}

fn difficulty(value: f64) -> Difficulty {
    Difficulty::new(value).expect("above 0")
}

/// The listener of these conversations.
fn listener() -> config::Listener {
    config::Listener {
        name: "farm".into(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        version_mask: MASK,
        extranonce2_size: 4,
        keep_alive: Duration::from_secs(45),
        answer: config::Answer::Proxy,
        vardiff: config::Vardiff { start: difficulty(EASY), min: difficulty(EASY), max: None, shares_per_minute: 18.0 },
        layout_wait: Duration::from_secs(10),
    }
}

fn limits() -> config::Limits {
    config::Limits {
        connections: 10,
        connections_per_address: 10,
        accepts_per_second: 10,
        line_bytes: 16 * 1024,
        pre_auth_timeout: Duration::from_secs(20),
        unacked_timeout: Duration::from_secs(60),
        send_buffer_bytes: 64 * 1024,
        workers_per_connection: 3,
    }
}

/// That listener, changed.
pub(in crate::downstream) fn settings(change: impl FnOnce(&mut config::Listener)) -> Arc<ListenerSettings> {
    let mut listener = listener();
    change(&mut listener);
    let config::Vardiff { min, max, shares_per_minute, .. } = listener.vardiff;
    let vardiff = Arc::new(VardiffSettings { shares_per_minute, min, max });
    Arc::new(ListenerSettings { index: 0, listener, limits: limits(), vardiff })
}

/// The difficulties of hashes of a class, from and below.
fn range(class: &str) -> (f64, f64) {
    match class {
        "low" => (0.0, EASY),
        "share" => (EASY, POOL),
        "pool" => (POOL, 9.53e-7),
        "block" => (9.54e-7, f64::INFINITY),
        explicit => {
            let (from, below) = explicit.split_once("..").unwrap_or_else(|| panic!("{explicit:?} is no class"));
            (from.parse().expect("a number"), below.parse().expect("a number"))
        }
    }
}

impl Talk {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// With another listener.
    fn with(change: impl FnOnce(&mut config::Listener)) -> Self {
        let settings = settings(change);
        let (way_back, released) = mpsc::unbounded_channel();
        let now = Instant::now();
        let layout = Layout::fitting(8, 4).expect("eight bytes are enough");
        let offer = Offer { layout, version_mask: settings.listener.version_mask };
        let mut talk = Self {
            session: Session::new(settings.clone(), Some(offer), now),
            settings,
            io: Io::default(),
            now,
            offer,
            pool_size: 8,
            leases: LeaseBook::new(100),
            way_back,
            released,
            sessions: 0,
            ids: Arc::new(JobIds::starting_at(1)),
            pools: BTreeMap::new(),
            route: Some('A'),
            remembered: None,
            exhausted: false,
            unsaid: VecDeque::new(),
            notifies: Vec::new(),
            sent: HashSet::new(),
            nonce: 0,
            last_share: String::new(),
            tickets: VecDeque::new(),
            judged: Vec::new(),
            submitted: Vec::new(),
        };
        for (name, number) in [('A', 1), ('B', 2)] {
            let mut notify = notify_bf();
            notify.version = 0x2000_0000;
            notify.nbits = NBITS;
            notify.prevhash[0] = number;
            let upstream = UpstreamId(number.into());
            let fate = Some(Fate { is_lost: false, cleaned: None });
            talk.pools.insert(name, PoolSide { upstream, difficulty: POOL, mask: MASK, notify, work: None, fate });
            talk.make_job(name, true);
        }
        talk
    }

    /// A miner that has its first work: `notify 1`.
    fn mining() -> Self {
        Self::mining_with(|_| {})
    }

    fn mining_with(change: impl FnOnce(&mut config::Listener)) -> Self {
        let mut talk = Self::with(change);
        talk.play(
            r#"
            > {"id":1,"method":"mining.subscribe","params":[]}
            < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
            > {"id":2,"method":"mining.authorize","params":["farm.1","x"]}
            < {"id":2,"result":true,"error":null}
            < set_difficulty 0.000000004
            < notify 1 clean
            "#,
        );
        talk
    }

    fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
            if !matches!(kind, "<" | "*") {
                self.expect_silence(line);
            }
            match kind {
                ">" => {
                    let text = self.fill_in(text);
                    self.says(text.as_bytes());
                }
                "!" => self.happens(text),
                "@" => self.passes(humantime::parse_duration(text).expect("a duration")),
                "<" | "*" => {
                    let next = self.unsaid.pop_front();
                    assert_eq!(next.as_deref(), Some(line), "then came {:#?}", self.unsaid);
                }
                _ => panic!("{line:?} begins with none of > < * ! @"),
            }
        }
        self.expect_silence("the end");
    }

    fn expect_silence(&self, before: &str) {
        assert!(self.unsaid.is_empty(), "before {before}, unannounced: {:#?}", self.unsaid);
    }

    /// The bytes go through the framing, as they would from a socket.
    fn says(&mut self, line: &[u8]) {
        let bytes = [line, b"\n"].concat();
        let (mut lines, mut input) = (Lines::new(self.settings.limits.line_bytes), &bytes[..]);
        let line = lines.next(&mut input).expect("within the limit").expect("a whole line");
        self.session.handle_line(self.now, line, &mut self.io);
        self.settle();
    }

    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        let is_closed = |talk: &Self| talk.unsaid.iter().any(|said| said.starts_with("* close"));
        while self.now < until && !is_closed(self) {
            self.now = (self.now + TICK).min(until);
            if self.now >= self.session.next_timeout() {
                self.session.handle_timeout(self.now, &mut self.io);
                self.settle();
            }
        }
    }

    /// Hears what was written, then does what is wanted, as long as something is.
    fn settle(&mut self) {
        loop {
            let out = std::mem::take(&mut self.io.out);
            for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.hears(line);
            }
            let effects = std::mem::take(&mut self.io.effects);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carries_out(effect);
            }
        }
    }

    fn hears(&mut self, line: &[u8]) {
        let message: Value = serde_json::from_slice(line).expect("we write JSON");
        let params = |at: usize| message["params"][at].as_str().unwrap_or_default().to_owned();
        let said = match message["method"].as_str() {
            None => {
                let text = String::from_utf8_lossy(line).into_owned();
                match self.session.lease() {
                    Some(terms) => text.replace(&terms.session.to_string(), "SESSION"),
                    None => text,
                }
            }
            Some("mining.notify") => {
                let id = JobId::parse(&params(0)).expect("an id of ours");
                let work = self.session.window.get(id).expect("a job is in the window when it is sent").work.clone();
                let lease = self.session.lease().expect("it has subscribed").id;
                assert!(self.sent.insert((lease, id.to_string())), "job id {id} again");
                let headers = format!("{} {} {} {}", params(1), params(2), params(3), params(7));
                assert!(self.sent.insert((lease, headers)), "job {id} repeats the headers of another");
                self.notifies.push(work);
                let clean = if message["params"][8] == true { " clean" } else { "" };
                format!("notify {}{clean}", self.notifies.len())
            }
            Some(method) => {
                let values = message["params"].as_array().expect("an array");
                let values: Vec<String> =
                    values.iter().map(|value| value.as_str().map_or(value.to_string(), str::to_owned)).collect();
                match &message["params"][0] {
                    // Not through serde, which would write an exponent.
                    Value::Number(_) if method == "mining.set_difficulty" => {
                        let text = String::from_utf8_lossy(line);
                        let at = text.find("[").expect("params") + 1;
                        format!("set_difficulty {}", &text[at..text.len() - 2])
                    }
                    _ => format!("{} {}", method.trim_start_matches("mining."), values.join(" ")),
                }
            }
        };
        self.unsaid.push_back(format!("< {said}"));
    }

    fn carries_out(&mut self, effect: Effect) {
        let said = match effect {
            Effect::WantOffer => "wants the offer".to_owned(),
            Effect::WantLease { resume } => {
                self.sessions += 1;
                let lease = if self.exhausted {
                    Err("no extranonce is free")
                } else {
                    let fresh = SessionId::new(self.sessions, [0; 12]);
                    let grant = self.leases.grant(self.offer.layout, resume, fresh).expect("ids are free");
                    let lease = ExtranonceLease::new(grant.terms, self.way_back.clone());
                    Ok(Leased { lease, resumed: grant.resumed })
                };
                let lease = match lease {
                    Ok(Leased { lease, .. }) if !self.session.is_waiting() => {
                        return self.session.handle_new_lease(self.now, lease, &mut self.io);
                    }
                    lease => lease,
                };
                let fate = |upstream| self.pools.values().find(|pool| pool.upstream == upstream)?.fate;
                return self.session.handle_lease(self.now, lease, fate, &mut self.io);
            }
            Effect::WantRoute { .. } => {
                let live = self
                    .route
                    .map(|pool| &self.pools[&pool])
                    .filter(|pool| !pool.fate.is_some_and(|fate| fate.is_lost));
                let work = live.and_then(|pool| pool.work.clone());
                let attached = Attached { remembered: self.remembered, work };
                return self.session.handle_attached(self.now, &attached, &mut self.io);
            }
            Effect::Judged { verdict, .. } => return self.judged.push(verdict),
            Effect::Retargeted => return,
            Effect::Submit { share, user, ticket } => {
                let pool = self.pools.iter().find(|(_, pool)| pool.upstream == share.upstream()).expect("a pool").0;
                let what = if share.is_block() { "block" } else { "share" };
                let by = if &*user == USER { String::new() } else { format!(" by {user}") };
                if ticket != 0 {
                    self.tickets.push_back(ticket);
                }
                let awaited = if ticket == 0 { "" } else { ", awaited" };
                let said = format!("for {pool}: {what}{by}{awaited}");
                self.submitted.push(share);
                said
            }
            Effect::Close(reason) => format!("close: {}", reason.label()),
        };
        self.unsaid.push_back(format!("* {said}"));
    }

    fn make_job(&mut self, pool: char, clean: bool) {
        let side = self.pools.get_mut(&pool).expect("A or B");
        side.notify.clean = clean;
        side.notify.coinb1[4] += 1;
        let dialect = VersionDialect::Bip310;
        let (asked, extranonce1) = (difficulty(side.difficulty), [8, 0, 0, 2]);
        let job = Job::new(side.upstream, side.notify.clone(), &extranonce1, asked, side.mask, dialect);
        let job = Arc::new(job.expect("a job"));
        if let (Some(fate), true) = (&mut side.fate, clean) {
            fate.cleaned = Some(self.now);
        }
        let salt = self.pool_size - self.offer.layout.space();
        side.work = Some((Arc::new(WorkSeries::new(job, self.ids.clone(), self.offer.layout.split(salt))), self.now));
    }

    fn happens(&mut self, event: &str) {
        let words: Vec<&str> = event.split(' ').collect();
        let pool = words[0].chars().next().expect("a word");
        let upstream = self.pools.get(&pool).map(|side| side.upstream);
        match *words {
            [_, "sends", "a", what @ ("job" | "block")] => {
                self.make_job(pool, what == "block");
                let (series, came) = self.pools[&pool].work.clone().expect("made above");
                self.session.handle_job(self.now, &series, came, &mut self.io);
            }
            [_, "takes", "over"] => {
                self.route = Some(pool);
                let (series, came) = self.pools[&pool].work.clone().expect("each pool has work");
                self.session.handle_bound(self.now, &series, came, &mut self.io);
            }
            [_, "is", "lost"] => {
                self.side(pool).fate.as_mut().expect("not gone").is_lost = true;
                self.session.handle_lost(upstream.expect("A or B"), true);
                self.session.handle_unbound();
            }
            [_, "is", "gone"] => {
                self.side(pool).fate = None;
                self.session.handle_lost(upstream.expect("A or B"), false);
                self.session.handle_unbound();
            }
            [_, "resumes"] => {
                self.side(pool).fate.as_mut().expect("not gone").is_lost = false;
                self.session.handle_resumed(upstream.expect("A or B"));
            }
            [_, "asks", value] => self.side(pool).difficulty = value.parse().expect("a number"),
            [_, "grants", mask] => self.side(pool).mask = u32::from_str_radix(mask, 16).expect("hex"),
            [_, "says", "yes"] => self.says_of_share(Ok(())),
            [_, "says", code, ref text @ ..] => {
                let code = code.parse().expect("a code");
                self.says_of_share(Err(PoolError { code, message: text.join(" ") }));
            }
            ["it", "reconnects"] => self.reconnects(),
            // Its pool is replaced by one with so small an extranonce2, which has a job.
            ["the", "pools", "leave", size] => {
                self.pool_size = size.parse().expect("a number");
                self.offer.layout = Layout::fitting(self.pool_size, 4).expect("enough");
                self.make_job('A', true);
                self.session.handle_relayout(self.offer.layout, &mut self.io);
            }
            ["the", "offer", "is", "known"] => self.session.handle_offer(self.now, self.offer, &mut self.io),
            _ => panic!("{event:?} is nothing that happens"),
        }
        self.settle();
    }

    fn side(&mut self, pool: char) -> &mut PoolSide {
        self.pools.get_mut(&pool).expect("A or B")
    }

    /// The pool answers the oldest share that waits.
    fn says_of_share(&mut self, word: Result<(), PoolError>) {
        let ticket = self.tickets.pop_front().expect("a share waits");
        self.session.handle_pool_word(ticket, word, &mut self.io);
    }

    /// The connection ends and the miner comes back, as a new connection.
    fn reconnects(&mut self) {
        let fresh = Session::new(self.settings.clone(), Some(self.offer), self.now);
        std::mem::replace(&mut self.session, fresh).park(self.now);
        while let Ok(released) = self.released.try_recv() {
            self.leases.release(self.now, released);
        }
    }

    /// Replaces `{class job}` by a share, `{again}` by the last one, `{session}` by the first session's id.
    fn fill_in(&mut self, text: &str) -> String {
        let text = text.replace("{session}", &SessionId::new(1, [0; 12]).to_string());
        let is_share = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        let Some((at, end)) = text
            .match_indices('{')
            .find(|(at, _)| is_share(&text[at + 1..]))
            .map(|(at, _)| (at, at + text[at..].find('}').expect("a closing brace")))
        else {
            return text;
        };
        let words: Vec<&str> = text[at + 1..end].split(' ').collect();
        let share = match *words {
            ["again"] => self.last_share.clone(),
            [class, job] => self.find(class, job, None),
            [class, job, version] => self.find(class, job, version.split_once('=')),
            _ => panic!("{words:?} is no share"),
        };
        self.last_share.clone_from(&share);
        format!("{}{share}{}", &text[..at], &text[end + 1..])
    }

    /// Searches a nonce that was not used before. `version`: `bits` or `full`, and its hex.
    fn find(&mut self, class: &str, job: &str, version: Option<(&str, &str)>) -> String {
        let work = &self.notifies[job.parse::<usize>().expect("the number of a notify") - 1];
        let lease = self.session.lease().expect("it has subscribed").id;
        let extranonce2 = Extranonce::from_number(0, work.extranonce2_size.into());
        let (from, below) = range(class);
        let hashed = match version {
            None => work.version,
            Some(("bits", hex)) => work.version | u32::from_str_radix(hex, 16).expect("hex"),
            Some((_, hex)) => u32::from_str_radix(hex, 16).expect("hex"),
        };
        loop {
            self.nonce += 1;
            let hash = work.hash(&lease, &extranonce2, work.ntime, self.nonce, hashed);
            if (from..below).contains(&hash.difficulty().get()) {
                let sixth = version.map_or(String::new(), |(_, hex)| format!(",\"{hex}\""));
                return format!(r#""{}","{extranonce2}","{:08x}","{:08x}"{sixth}"#, work.id, work.ntime, self.nonce);
            }
        }
    }
}
