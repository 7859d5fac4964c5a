//! The one owner of the census: takes it when anybody needs it, and hands it to all.
//!
//! A census is deltas, told once; so only one may take it. Knows who wants it and how often; knows nothing of what is in it.
//!
//! ```text
//! the shortest period of all, or an Asker ──► Errands::census ──► Arc<Census> ──► each subscriber's channel
//!                                                                      └─ full: merged with what waits, sent with the next
//! ```
//!
//! | a subscriber | then |
//! |---|---|
//! | is slow | it gets the newest facts and all deltas in one later census; nobody waits for it, and it is said |
//! | is so slow that over [`MAX_ABSENT`](crate::router::MAX_ABSENT) connections that left wait for it | the oldest of these are forgotten, which is said |
//! | has ended | it is taken off the list |
//! | comes while it is taken ([`Door`]) | it hears the next one |
//!
//! Everybody hears every census, also those that were taken because another asked: deltas are the same whoever counts them.
//!
//! Limits: [`QUEUE`] censuses wait in a channel, one more is merged behind them. One that nobody subscribes to is not taken at all, so that
//! nothing is counted by connection then.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::router::{Census, Errands};

/// Censuses that wait for a subscriber before they are merged: each is the size of the farm.
const QUEUE: usize = 1;

/// Where no subscriber has a period: only who asks has it taken.
const NEVER: Duration = Duration::from_secs(86_400);

/// Subscribers that may wait to be let in.
const NEWCOMERS: usize = 4;

/// The owner, while subscribers are added.
#[derive(Debug)]
pub struct Counts {
    errands: Errands,
    period: Option<Duration>,
    now: Arc<Notify>,
    subscribers: Vec<Subscriber>,
    /// Who comes while it runs.
    door: Door,
    newcomers: mpsc::Receiver<Subscriber>,
}

/// Lets subscribers in while the census is taken. Clones are the same.
#[derive(Debug, Clone)]
pub struct Door {
    now: Arc<Notify>,
    to_owner: mpsc::Sender<Subscriber>,
}

/// One who wants the census.
#[derive(Debug)]
struct Subscriber {
    name: &'static str,
    parts: mpsc::Sender<Arc<Census>>,
    /// What it has not taken yet, all in one.
    waiting: Option<Census>,
    /// Censuses in a row that found it busy.
    late: u32,
}

/// A subscriber's end.
#[derive(Debug)]
pub struct Subscription {
    parts: mpsc::Receiver<Arc<Census>>,
    asker: Asker,
}

/// Has a census taken now, for everybody. Clones are the same.
#[derive(Debug, Clone)]
pub struct Asker(Arc<Notify>);

impl Counts {
    /// Of these miners; nobody wants it yet.
    pub fn new(errands: Errands) -> Self {
        let (to_owner, newcomers) = mpsc::channel(NEWCOMERS);
        let now: Arc<Notify> = Arc::default();
        let door = Door { now: now.clone(), to_owner };
        Self { errands, period: None, now, subscribers: Vec::new(), door, newcomers }
    }

    /// For who comes while it runs.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Somebody wants it, so often at least; with `None` only as often as it asks, or others have it. `name` is for the log.
    pub fn subscribe(&mut self, name: &'static str, every: Option<Duration>) -> Subscription {
        let (subscriber, subscription) = pair(name, &self.now);
        self.subscribers.push(subscriber);
        self.period = self.period.into_iter().chain(every).min();
        subscription
    }

    /// Whether anybody wants it.
    pub fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty()
    }

    /// Takes it until `stop`, the proxy's end, or until nobody wants it any more and nobody is left who could come.
    pub async fn run(self, stop: CancellationToken) {
        let Self { errands, period, now, mut subscribers, door, newcomers } = self;
        // Its own would wait for ever for whom it lets in.
        drop(door);
        let mut newcomers = Some(newcomers);
        let mut next = Instant::now();
        loop {
            let is_wanted = !subscribers.is_empty();
            if !is_wanted && newcomers.is_none() {
                break;
            }
            let comes = async {
                match &mut newcomers {
                    Some(newcomers) => newcomers.recv().await,
                    None => std::future::pending().await,
                }
            };
            select! {
                biased;
                () = stop.cancelled() => break,
                newcomer = comes => {
                    match newcomer {
                        Some(newcomer) => subscribers.push(newcomer),
                        None => newcomers = None,
                    }
                    continue;
                }
                () = now.notified(), if is_wanted => {}
                () = sleep_until(next), if is_wanted => {}
            }
            // Who asks while it is under way has the next one, which begins after the question.
            let Some(Some(census)) = stop.run_until_cancelled(errands.census()).await else { break };
            next = Instant::now() + period.unwrap_or(NEVER);
            let census = Arc::new(census);
            subscribers.retain_mut(|subscriber| subscriber.tell(&census));
        }
    }
}

fn pair(name: &'static str, now: &Arc<Notify>) -> (Subscriber, Subscription) {
    let (parts, taken) = mpsc::channel(QUEUE);
    let subscriber = Subscriber { name, parts, waiting: None, late: 0 };
    (subscriber, Subscription { parts: taken, asker: Asker(now.clone()) })
}

impl Door {
    /// Somebody wants it, as often as it asks or others have it, from the next one on. Hears nothing if it is taken no more.
    pub async fn subscribe(&self, name: &'static str) -> Subscription {
        let (subscriber, subscription) = pair(name, &self.now);
        // Where nobody takes it any more, the subscription says that it has ended.
        let _ = self.to_owner.send(subscriber).await;
        subscription
    }
}

impl Subscriber {
    /// Hands it over, or merges it with what waits; `false` if nobody is there any more.
    fn tell(&mut self, census: &Arc<Census>) -> bool {
        let part = match self.waiting.take() {
            None => census.clone(),
            Some(mut waiting) => {
                let forgotten = waiting.absorb(census);
                if forgotten > 0 {
                    warn!("{forgotten} connections that left are never told to {}, which is slow", self.name);
                }
                Arc::new(waiting)
            }
        };
        match self.parts.try_send(part) {
            Ok(()) => self.late = 0,
            Err(TrySendError::Full(part)) => {
                self.waiting = Some(Arc::unwrap_or_clone(part));
                self.late = self.late.saturating_add(1);
                // Said at 1, 2, 4, 8 …
                if self.late.is_power_of_two() {
                    warn!("{} is {} censuses late: it will have them in one", self.name, self.late);
                }
            }
            Err(TrySendError::Closed(_)) => return false,
        }
        true
    }
}

impl Subscription {
    /// Of nobody's miners: it never hears anything.
    pub fn nobody() -> Self {
        let (_, parts) = mpsc::channel(1);
        Self { parts, asker: Asker(Arc::default()) }
    }

    /// The next census; `None` when the proxy has ended.
    pub async fn next(&mut self) -> Option<Arc<Census>> {
        self.parts.recv().await
    }

    /// To have one taken at once.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }
}

impl Asker {
    /// A census is taken that begins after this; does not wait for it.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant as Moment;

    use super::*;
    use crate::router::{CensusPart, ConnectionId, Errand, Judgements, MinerReport, Settled};

    /// A proxy with one worker, whose miner finds a share before each census. What was counted in all, when it ends.
    fn proxy() -> (Errands, tokio::task::JoinHandle<u64>) {
        let (errands, mut to_do) = Errands::new(1);
        let running = tokio::spawn(async move {
            let began = Moment::now();
            let connection = ConnectionId { worker: 0, key: 1 };
            let mut taken = 0;
            while let Some(errand) = to_do.recv().await {
                let Errand::Census(answer) = errand else { continue };
                taken += 1;
                let settled = vec![(connection, Settled { accepted: 1, ..Settled::default() })];
                answer.send(CensusPart::Settled(settled)).await.unwrap();
                let shares = Judgements { found: 1, work: 2.0, rejects: [1; _] };
                let report =
                    MinerReport { shares, forwarded: 1, ..MinerReport::new(connection, [127, 0, 0, 1].into(), began) };
                answer.send(CensusPart::Miners(vec![report])).await.unwrap();
            }
            taken
        });
        (errands, running)
    }

    #[tokio::test]
    async fn everybody_has_every_share_once_and_nobody_waits_for_who_is_slow() {
        let (errands, running) = proxy();
        let mut counts = Counts::new(errands);
        let (mut quick, mut slow) = (counts.subscribe("quick", None), counts.subscribe("slow", None));
        let stop = CancellationToken::new();
        let owner = tokio::spawn(counts.run(stop.clone()));
        for turn in 0..20 {
            if turn > 0 {
                quick.asker().ask();
            }
            let census = quick.next().await.unwrap();
            assert_eq!(census.miners[0].shares.found, 1, "it waits for nobody, and misses nothing");
        }
        // The first waits in the channel; what came behind it is one.
        let mut heard = Vec::new();
        for _ in 0..2 {
            let census = slow.next().await.unwrap();
            let [miner] = &census.miners[..] else { panic!("{census:?}") };
            assert_eq!(census.settled[0].1.accepted, miner.forwarded, "as many as were sent on");
            let (work, refused) = (miner.shares.work, miner.shares.refused());
            assert_eq!((work, refused), (2.0 * miner.forwarded as f64, 12 * miner.forwarded));
            heard.push(miner.shares.found);
            quick.asker().ask();
            quick.next().await.unwrap();
        }
        assert_eq!(heard, [1, 20], "all that was found until it was heard");
        stop.cancel();
        owner.await.unwrap();
        assert_eq!(running.await.unwrap(), 22);
    }

    #[tokio::test]
    async fn the_shortest_period_is_everybodys_and_who_ends_takes_nobody_along() {
        let (errands, _running) = proxy();
        let mut counts = Counts::new(errands);
        let never = Duration::from_secs(86_400);
        let (mut rarely, mut often) = (counts.subscribe("r", Some(never)), counts.subscribe("o", Some(never / 2)));
        assert_eq!(counts.subscribe("asks", None).parts.len(), 0);
        assert_eq!(counts.period, Some(never / 2));
        counts.period = Some(Duration::from_millis(1));
        tokio::spawn(counts.run(CancellationToken::new()));
        for _ in 0..5 {
            rarely.next().await.unwrap();
            often.next().await.unwrap();
        }
        drop(often);
        for _ in 0..5 {
            rarely.next().await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_comes_while_it_is_taken_hears_the_next_one() {
        let (errands, _running) = proxy();
        let counts = Counts::new(errands);
        let (door, stop) = (counts.door(), CancellationToken::new());
        let owner = tokio::spawn(counts.run(stop.clone()));
        let mut first = door.subscribe("first").await;
        first.asker().ask();
        assert_eq!(first.next().await.unwrap().miners[0].shares.found, 1);
        drop(first);
        // Nobody is left, and somebody comes all the same.
        let mut second = door.subscribe("second").await;
        second.asker().ask();
        assert_eq!(second.next().await.unwrap().miners.len(), 1);
        let asker = second.asker();
        drop((second, door));
        asker.ask();
        owner.await.unwrap();
        assert!(!stop.is_cancelled(), "it ended as nobody is left who could come");
    }

    #[test]
    fn of_two_censuses_facts_are_the_later_and_deltas_are_of_both() {
        let now = Moment::now();
        let name = |text: &str| -> Arc<str> { text.into() };
        let report = |key, found, is_gone| MinerReport {
            shares: Judgements { found, ..Judgements::default() },
            others: [(name("b"), Judgements { found: 1, ..Judgements::default() })].into(),
            is_gone,
            ..MinerReport::new(ConnectionId { worker: 0, key }, [10, 0, 0, 1].into(), now)
        };
        let mut census =
            Census { miners: vec![report(1, 5, false), report(2, 3, true), report(3, 1, false)], ..Census::default() };
        let later = MinerReport { user: Some(name("a")), ..report(1, 2, true) };
        assert_eq!(census.absorb(&Census { miners: vec![later, report(4, 1, false)], ..Census::default() }), 0);
        let told = census.miners.iter().map(|miner| (miner.connection.key, miner.shares.found, miner.is_gone));
        assert_eq!(told.collect::<Vec<_>>(), [(1, 7, true), (2, 3, true), (3, 1, false), (4, 1, false)]);
        let first = &census.miners[0];
        assert_eq!((first.user.as_deref(), first.others[0].1.found, first.own().found), (Some("a"), 2, 5));
    }

    #[test]
    fn of_those_that_left_the_oldest_are_forgotten() {
        use crate::router::MAX_ABSENT;
        let left = |keys: std::ops::Range<u64>| Census {
            miners: keys
                .map(|key| MinerReport {
                    is_gone: true,
                    ..MinerReport::new(ConnectionId { worker: 0, key }, [10, 0, 0, 1].into(), Moment::now())
                })
                .collect(),
            ..Census::default()
        };
        let most = MAX_ABSENT as u64;
        let mut census = left(0..most);
        assert_eq!(census.absorb(&left(most..most + 10)), 10);
        assert_eq!((census.miners.len(), census.miners[0].connection.key), (MAX_ABSENT, 10));
    }
}
