//! A worker's connections over real sockets, one turn after the other; the router's part is played here.

use std::net::Ipv4Addr;

use mio::Poll;
use proptest::prelude::*;

use super::*;
use crate::{
    downstream::{Leased, Parked, session::tests::settings},
    metrics::{Books, Totals},
    router::{ExtranonceLease, LeaseBook, Released},
    stratum::{VersionDialect, tests::notify_bf},
    work::{Difficulty, Job, JobIds},
};

const POOL: UpstreamId = UpstreamId(1);

/// Where a miner's route leads that is looked up again.
const OTHER: UpstreamId = UpstreamId(2);

/// Jobs that all miners have: more than a round hashes together.
const JOBS: usize = 6;

/// The limit on a line, as it is by default.
const LINE: usize = 16 * 1024;

/// A worker and its miners.
struct Farm {
    hall: Hall,
    gate: Arc<Gate>,
    books: Books,
    settings: Arc<ListenerSettings>,
    door: std::net::TcpListener,
    from_worker: mpsc::Receiver<ToRouter>,
    to_pool: mpsc::Receiver<Outgoing>,
    leases: LeaseBook<Parked>,
    way_back: mpsc::UnboundedSender<Released<Parked>>,
    /// Held open.
    _released: mpsc::UnboundedReceiver<Released<Parked>>,
    _poll: Poll,
}

/// A difficulty that one hash in so many meets.
fn one_in(hashes: f64) -> Difficulty {
    Difficulty::new(hashes / HASHES_PER_DIFFICULTY).expect("above 0")
}

impl Farm {
    /// One hash in a few is a share here.
    fn new() -> Self {
        let settings = settings(|listener| {
            (listener.vardiff.start, listener.vardiff.min) = (one_in(2.0), one_in(2.0));
        });
        let (poll, books) = (Poll::new().expect("a poll"), Books::new(1, 1, 1));
        let (to_router, from_worker) = mpsc::channel(1000);
        let registry = poll.registry().try_clone().expect("a registry");
        let mut hall = Hall::new(0, vec![settings.clone()], to_router, books.worker(0), registry);
        let layout = Layout::fitting(8, 4).expect("eight bytes are enough");
        hall.handle(ToWorker::Offer { listener: 0, offer: Offer { layout, version_mask: 0xe000 } });
        let (shares, to_pool) = mpsc::channel(10_000);
        hall.handle(ToWorker::Up { upstream: POOL, shares });
        let (way_back, released) = mpsc::unbounded_channel();
        let door = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        Self {
            hall,
            gate: Gate::new(100, 100),
            books,
            settings,
            door,
            from_worker,
            to_pool,
            leases: LeaseBook::new(100),
            way_back,
            _released: released,
            _poll: poll,
        }
    }

    /// With so many miners, in the slots from 0 on, that have all jobs, in order `00000000`, `00000001`, and so on.
    fn mining(miners: usize) -> (Self, Vec<std::net::TcpStream>) {
        let mut farm = Self::new();
        let ids = Arc::new(JobIds::starting_at(0));
        farm.sends_job(0, &ids);
        let sockets = (0..miners).map(|_| farm.connect()).collect();
        for miner in 0..miners {
            farm.reads(miner, &line(1, "mining.subscribe", "[]"));
            farm.reads(miner, &line(2, "mining.authorize", r#"["farm.1","x"]"#));
        }
        for number in 1..JOBS {
            farm.sends_job(number, &ids);
        }
        (farm, sockets)
    }

    fn sends_job(&mut self, number: usize, ids: &Arc<JobIds>) {
        let mut notify = notify_bf();
        (notify.coinb1[4], notify.clean) = (number as u8, false);
        let job = Job::new(POOL, notify, &[8, 0, 0, 2], one_in(4.0), 0xe000, VersionDialect::Bip310);
        let split = Layout::fitting(8, 4).expect("enough").split(0);
        let series = Arc::new(WorkSeries::new(Arc::new(job.expect("a job")), ids.clone(), split));
        self.hall.handle(ToWorker::Job { series, came: self.hall.now });
    }

    fn connect(&mut self) -> std::net::TcpStream {
        let far = std::net::TcpStream::connect(self.door.local_addr().expect("an address")).expect("connects");
        far.set_read_timeout(Some(Duration::from_secs(20))).expect("for a test that fails");
        let (near, peer) = self.door.accept().expect("it waits");
        near.set_nonblocking(true).expect("a socket");
        self.hall.take(&self.gate, &self.settings, TcpStream::from_std(near), peer);
        far
    }

    /// Bytes of one miner are read, at the end of a turn, and the router does what is asked for.
    fn reads(&mut self, miner: usize, bytes: &[u8]) {
        self.hall.feed(miner, bytes);
        self.hall.judge_round();
        self.routes();
    }

    /// The router's part.
    fn routes(&mut self) {
        while let Ok(message) = self.from_worker.try_recv() {
            match message {
                ToRouter::Lease { connection, resume, .. } => {
                    let fresh = crate::router::SessionId::new(self.leases.counts().0 as u32, [0; 12]);
                    let layout = Layout::fitting(8, 4).expect("enough");
                    let grant = self.leases.grant(layout, resume, fresh).expect("ids are free");
                    let lease = ExtranonceLease::new(grant.terms, self.way_back.clone());
                    let lease = Ok(Box::new(Leased { lease, resumed: grant.resumed }));
                    self.hall.handle(ToWorker::Leased { key: connection.key, lease });
                }
                ToRouter::Attach { connection, .. } => {
                    let berth = Berth { route: 0, lane: LaneId(0), rolls: false };
                    let key = connection.key;
                    self.hall.handle(ToWorker::Attached { key, berth, remembered: None, upstream: Some(POOL) });
                }
                ToRouter::Reroute { connection, .. } => {
                    let berth = Berth { route: 1, lane: LaneId(0), rolls: false };
                    let (upstream, key) = (Some(OTHER), connection.key);
                    self.hall.handle(ToWorker::Rerouted { key, berth, upstream, pace: None });
                }
                ToRouter::Remember { .. } => {}
            }
        }
    }

    /// Ends all connections: what each miner heard since, what the pool saw, by connection, and what was counted.
    fn ends(mut self, sockets: Vec<std::net::TcpStream>) -> (Vec<String>, Vec<Vec<String>>, Totals) {
        self.hall.remove_ended();
        let totals = self.books.totals();
        let Self { hall, mut to_pool, .. } = self;
        drop(hall);
        let mut seen = vec![Vec::new(); sockets.len()];
        while let Ok(Outgoing { share, origin, .. }) = to_pool.try_recv() {
            seen[(origin.connection & u64::from(u32::MAX)) as usize].push(format!("{share:?}"));
        }
        (sockets.into_iter().map(heard).collect(), seen, totals)
    }
}

fn line(id: u32, method: &str, params: &str) -> Vec<u8> {
    format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n").into_bytes()
}

fn submit(id: u32, job: u32, extranonce2: u8, nonce: u32) -> Vec<u8> {
    line(id, "mining.submit", &format!(r#"["farm.1","{job:08x}","000000{extranonce2:02x}","504e86b9","{nonce:08x}"]"#))
}

/// All that came until the end.
fn heard(mut socket: std::net::TcpStream) -> String {
    let mut all = String::new();
    socket.read_to_string(&mut all).expect("an orderly end");
    all
}

/// The ids that were answered, in order.
fn answered(heard: &str) -> Vec<u64> {
    let messages = heard.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    messages.filter(|message| message["method"].is_null()).filter_map(|message| message["id"].as_u64()).collect()
}

#[test]
fn a_miner_that_mixes_shares_and_requests_is_answered_in_order_and_alone() {
    let (mut farm, sockets) = Farm::mining(2);
    // The first one's share waits when the second one's lines make the round be judged.
    farm.hall.feed(0, &submit(10, 0, 0, 1));
    let mixed = [line(20, "mining.ping", "[]"), submit(21, 0, 0, 2), line(22, "mining.authorize", r#"["farm.2","x"]"#)];
    farm.hall.feed(1, &[&mixed[..], &[submit(23, 1, 0, 3), line(24, "mining.ping", "[]")]].concat().concat());
    farm.hall.judge_round();
    let (heard, ..) = farm.ends(sockets);
    assert_eq!(answered(&heard[0]), [1, 2, 10]);
    assert_eq!(answered(&heard[1]), [1, 2, 20, 21, 22, 23, 24]);
}

#[test]
fn shares_of_several_miners_in_one_turn_count_and_go_to_the_pool_once() {
    let (mut farm, sockets) = Farm::mining(3);
    for number in 0..90 {
        // Each twice, for jobs of which a round hashes only some together.
        let share = submit(number, number % JOBS as u32, 0, number / 2);
        farm.hall.feed(number as usize % 3, &[share.clone(), share].concat());
    }
    farm.hall.judge_round();
    let (_, seen, totals) = farm.ends(sockets);
    let rejected = |label| totals.rejected.iter().find(|(name, _)| *name == label).expect("a reject").1;
    assert!(totals.accepted > 0 && seen.iter().all(|shares| !shares.is_empty()), "{totals:?}");
    assert_eq!(totals.accepted + rejected("duplicate") + rejected("low_difficulty"), 180);
    assert!(rejected("duplicate") >= totals.accepted, "of each that counts, its copy: {totals:?}");
    let mut all = seen.concat();
    all.sort_unstable();
    assert!(all.windows(2).all(|two| two[0] != two[1]), "a duplicate went up: {all:#?}");
}

#[test]
fn what_a_miner_asked_for_before_its_share_is_asked_for_it_and_no_other() {
    let mut farm = Farm::new();
    let sockets: Vec<_> = (0..2).map(|_| farm.connect()).collect();
    let refused = submit(10, 0, 0, 1);
    farm.hall.feed(0, &refused);
    // It authorizes, submits too early, and subscribes: three replies and a wish for a lease.
    let eager = [line(1, "mining.authorize", r#"["farm.1","x"]"#), refused, line(2, "mining.subscribe", "[]")].concat();
    farm.hall.feed(1, &eager);
    farm.hall.judge_round();
    farm.routes();
    assert!(farm.hall.slots[0].session.lease().is_none() && farm.hall.slots[1].session.lease().is_some());
    let (heard, ..) = farm.ends(sockets);
    assert_eq!((answered(&heard[0]), answered(&heard[1])), (vec![10], vec![1, 10, 2]));
}

#[test]
fn a_miner_that_we_disconnect_reads_all_up_to_its_last_line() {
    let (mut farm, sockets) = Farm::mining(2);
    farm.hall.feed(0, &submit(10, 0, 0, 1));
    let last = [line(20, "mining.ping", "[]"), submit(21, 0, 0, 2), vec![b'x'; LINE + 1]].concat();
    farm.hall.feed(1, &last);
    farm.hall.judge_round();
    farm.hall.remove_ended();
    assert_eq!((farm.hall.slots.len(), farm.hall.lingering.0.len()), (1, 1));
    let (heard, _, totals) = farm.ends(sockets);
    assert_eq!(answered(&heard[0]), [1, 2, 10]);
    assert_eq!(answered(&heard[1]), [1, 2, 20, 21]);
    assert!(heard[1].ends_with("[20,\"line of more than 16384 bytes\",null]}\n"), "{}", heard[1]);
    assert!(totals.closed.contains(&("line_too_long", 1)), "{:?}", totals.closed);
}

#[test]
fn a_share_with_the_end_of_the_stream_right_behind_it_is_judged() {
    let (mut farm, mut sockets) = Farm::mining(1);
    sockets[0].write_all(&[submit(10, 0, 0, 1), submit(11, 0, 0, 1)].concat()).expect("sends");
    sockets[0].shutdown(Shutdown::Write).expect("half closed");
    // As the kernel says it: both in one.
    let slot = &mut farm.hall.slots[0];
    (slot.is_readable, slot.has_hung_up) = (true, true);
    farm.hall.read(0);
    farm.hall.judge_round();
    let (heard, _, totals) = farm.ends(sockets);
    assert_eq!((answered(&heard[0]), totals.left), (vec![1, 2, 10, 11], 1));
}

#[test]
fn a_flood_is_read_as_often_in_each_turn() {
    let (mut farm, mut sockets) = Farm::mining(1);
    let mut heard = Vec::new();
    // Lines as long as the buffer, so that answers count reads.
    farm.hall.buffer = vec![0; 128].into();
    let ping = format!("{:<127}\n", String::from_utf8_lossy(&line(3, "mining.ping", "[]")).trim_end());
    sockets[0].write_all(ping.repeat(200).as_bytes()).expect("sends");
    sockets[0].set_nonblocking(true).expect("a socket");
    let mut pongs = Vec::new();
    for _ in 0..6 {
        // The kernel says in each turn that more has come.
        farm.hall.slots[0].is_readable = true;
        farm.hall.read(0);
        farm.hall.read_on();
        farm.hall.judge_round();
        let _ = sockets[0].read_to_end(&mut heard);
        assert_eq!(farm.hall.unread.len(), 1);
        pongs.push(String::from_utf8_lossy(&heard).matches("pong").count());
    }
    let of_each_turn: Vec<_> = pongs.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(of_each_turn, [READS_PER_TURN; 5]);
}

#[test]
fn a_flood_of_shares_without_a_hash_is_answered_before_it_is_all_read() {
    let (mut farm, mut sockets) = Farm::mining(1);
    let unknown: Vec<u8> = (0..1000).flat_map(|number| submit(number, 99, 0, number)).collect();
    farm.hall.feed(0, &unknown);
    sockets[0].set_nonblocking(true).expect("a socket");
    let mut heard = Vec::new();
    let _ = sockets[0].read_to_end(&mut heard);
    let answers = String::from_utf8_lossy(&heard).matches("Job not found").count();
    assert!(answers >= 700, "{answers} answers before the end of the turn");
}

/// Each line that a miner may send; few values each, so that duplicates and repeated extranonces are frequent.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0..JOBS as u32 + 1, 0u8..2, 0u32..12).prop_map(|(job, extranonce2, nonce)| {
            submit(100 + nonce, job, extranonce2, nonce)
        }),
        1 => Just(line(7, "mining.submit", r#"["farm.1","zz","00","504e86b9","zz"]"#)),
        1 => Just(line(8, "mining.submit", r#"["nobody","00000000","00000000","504e86b9","00000001"]"#)),
        1 => Just(line(9, "mining.submit", r#"["farm.1","00000000","00000000","504e86b9","00000001","00002000"]"#)),
        1 => Just(line(10, "mining.ping", "[]")),
        1 => Just(line(11, "mining.configure", r#"[["version-rolling"],{"version-rolling.mask":"00006000"}]"#)),
        1 => Just(b"no JSON\n".to_vec()),
    ]
}

const MINERS: usize = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shares_of_a_turn_are_answered_as_if_each_line_came_alone(
        turns in proptest::collection::vec(
            proptest::collection::vec((0..MINERS, proptest::collection::vec(any_line(), 1..20)), 1..8),
            1..4,
        ),
    ) {
        let (mut together, sockets_together) = Farm::mining(MINERS);
        let (mut alone, sockets_alone) = Farm::mining(MINERS);
        for turn in &turns {
            for (miner, lines) in turn {
                if together.hall.slots[*miner].ends.is_none() {
                    together.hall.feed(*miner, &lines.concat());
                }
                for line in lines {
                    if alone.hall.slots[*miner].ends.is_none() {
                        alone.hall.feed(*miner, line);
                        alone.hall.judge_round();
                    }
                }
            }
            together.hall.judge_round();
            together.routes();
            alone.routes();
        }
        let (together, alone) = (together.ends(sockets_together), alone.ends(sockets_alone));
        prop_assert_eq!(&together.0, &alone.0, "what the miners hear");
        prop_assert_eq!(&together.1, &alone.1, "what the pool sees");
        prop_assert_eq!((together.2.accepted, &together.2.rejected), (alone.2.accepted, &alone.2.rejected));
    }
}
