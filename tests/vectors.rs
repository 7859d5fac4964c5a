//! Real shares and blocks come out as what they are, and with one field changed they don't.
//!
//! `tests/data/shares.json` holds them in the form in which they cross the wire. The proxy's own extranonce takes nothing from
//! them: a vector's extranonce2 is what the pool is told, and each is played with every division of it into salt, lease id and
//! the miner's part. The simulated pool, which has its own share check, is the referee.
//!
//! | in the file | played as |
//! |---|---|
//! | `vectors`, of kind `share` and `block` | accepted just below its difficulty, refused just above, a duplicate the second time |
//! | `vectors`, of kind `header` | hash and target only |
//! | `derived`, BIP 310 | one field of a vector changed; the verdict is the first that fails, `hash_alone` what the hash would say |
//! | `derived` of dialect `or`, `xor` | how such a pool judges, and what we send it for the same header |

use std::sync::Arc;

use hashgate::{
    hash::header_hash,
    sim::pool as referee,
    stratum::{Frame, Notify, Request, VersionDialect},
    work::{
        BlockHash, Difficulty, Extranonce, Job, JobId, JobIds, JobWindow, Judge, LiveJob, PoolShare, Reject, Split,
        Submission, SubmittedVersion, Target, Terms, UpstreamId, Work, WorkSeries,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the file must hold, so that no row is lost on the way.
const VECTORS: usize = 13;
const DERIVED: usize = 70;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
    derived: Vec<Derived>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Vector {
    Share(Mined),
    Block(Mined),
    Header(HeaderOnly),
}

/// A share with the job it was found for.
#[derive(Clone, Deserialize)]
struct Mined {
    name: String,
    extranonce1: String,
    extranonce2_size: usize,
    notify: Value,
    submit: Vec<String>,
    #[serde(default)]
    version_mask: Option<String>,
    #[serde(default)]
    dialect: Dialect,
    full_version: String,
    header: String,
    hash: String,
    share_difficulty: f64,
    meets_nbits: bool,
}

#[derive(Deserialize)]
struct HeaderOnly {
    version: String,
    prevhash: String,
    merkle_root: String,
    ntime: String,
    nbits: String,
    nonce: String,
    header: String,
    hash: String,
    share_difficulty: f64,
    meets_nbits: bool,
}

/// A vector with one field changed.
#[derive(Deserialize)]
struct Derived {
    base: String,
    name: String,
    set: Map<String, Value>,
    #[serde(default)]
    dialect: Dialect,
    expect: Expect,
    hash_alone: Option<Expect>,
    /// In force; without it any that the vector meets.
    difficulty: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dialect {
    #[default]
    Bip310,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expect {
    Accept,
    Duplicate,
    #[serde(rename = "reject-params")]
    Params,
    #[serde(rename = "reject-ntime")]
    Ntime,
    #[serde(rename = "reject-version-mask")]
    VersionMask,
    #[serde(rename = "reject-low-diff")]
    LowDifficulty,
}

impl Expect {
    fn of_ours(verdict: Result<(), Reject>) -> Self {
        match verdict {
            Ok(()) => Self::Accept,
            Err(Reject::Malformed(_) | Reject::Extranonce2Length) => Self::Params,
            Err(Reject::Ntime) => Self::Ntime,
            Err(Reject::VersionBits) => Self::VersionMask,
            Err(Reject::Duplicate) => Self::Duplicate,
            Err(Reject::LowDifficulty) => Self::LowDifficulty,
            Err(other) => panic!("no vector can come out as {other:?}"),
        }
    }

    fn of_referee(verdict: Result<referee::Accepted, referee::Reject>) -> Self {
        match verdict {
            Ok(_) => Self::Accept,
            Err(referee::Reject::Params(_)) => Self::Params,
            Err(referee::Reject::Ntime) => Self::Ntime,
            Err(referee::Reject::VersionBits) => Self::VersionMask,
            Err(referee::Reject::Duplicate) => Self::Duplicate,
            Err(referee::Reject::LowDifficulty) => Self::LowDifficulty,
            Err(other) => panic!("no vector can come out as {other:?}"),
        }
    }
}

impl Dialect {
    fn ours(self) -> VersionDialect {
        match self {
            Self::Bip310 => VersionDialect::Bip310,
            Self::Or => VersionDialect::Or,
            Self::Xor => VersionDialect::Xor,
        }
    }

    fn referee(self) -> referee::VersionDialect {
        match self {
            Self::Bip310 => referee::VersionDialect::Bip310,
            Self::Or => referee::VersionDialect::Or,
            Self::Xor => referee::VersionDialect::Xor,
        }
    }
}

fn file() -> File {
    serde_json::from_str(include_str!("data/shares.json")).expect("tests/data/shares.json has the form described here")
}

fn mined(file: &File) -> Vec<&Mined> {
    let mined = file.vectors.iter().filter_map(|vector| match vector {
        Vector::Share(mined) | Vector::Block(mined) => Some(mined),
        Vector::Header(_) => None,
    });
    mined.collect()
}

fn hex_u32(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// As people write it: most significant byte first.
fn display(hash: &BlockHash) -> String {
    hex::encode(hash.0.iter().rev().copied().collect::<Vec<_>>())
}

impl Mined {
    fn notify(&self) -> Notify {
        Notify::parse(&self.notify.to_string()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn mask(&self) -> u32 {
        self.version_mask.as_deref().map_or(0, hex_u32)
    }

    /// What a miner below us would have sent for it: as to a BIP 310 server whose job has no bit set inside the mask.
    fn submit_from_below(&self) -> Vec<String> {
        let mut submit = self.submit.clone();
        if let (Some(bits), true) = (submit.get_mut(5), self.dialect != Dialect::Bip310) {
            *bits = format!("{:08x}", hex_u32(&self.full_version) & self.mask());
        }
        submit
    }

    fn with(&self, set: &Map<String, Value>) -> Self {
        let mut changed = self.clone();
        for (field, value) in set {
            let text = || value.as_str().expect("all but the branches are text").to_owned();
            match field.split_once('.') {
                Some(("notify", at)) => changed.notify[at.parse::<usize>().expect("a position")] = value.clone(),
                Some(("submit", at)) => changed.submit[at.parse::<usize>().expect("a position")] = text(),
                None if field == "extranonce1" => changed.extranonce1 = text(),
                _ => panic!("{field} is no field of a vector"),
            }
        }
        changed
    }

    /// Every way to divide the pool's extranonce2 that leaves the miner something.
    fn divisions(&self) -> Vec<Division> {
        let salts = if self.extranonce2_size >= 8 { 0..=1 } else { 0..=0 };
        salts
            .flat_map(|salt| (0..=3usize).map(move |id| Division { salt, id }))
            .filter(|division| division.salt + division.id < self.extranonce2_size)
            .collect()
    }
}

/// How many bytes of the pool's extranonce2 are not the miner's.
#[derive(Clone, Copy, Debug)]
struct Division {
    salt: usize,
    id: usize,
}

/// A miner that got a vector's job from us.
struct Miner {
    window: JobWindow,
    judge: Judge,
    work: Arc<Work>,
    division: Division,
}

impl Miner {
    fn at(mined: &Mined, difficulty: f64, division: Division) -> Self {
        let extranonce1 = hex::decode(&mined.extranonce1).expect("hex");
        let difficulty = Difficulty::new(difficulty).expect("above 0");
        let dialect = VersionDialect::Bip310;
        let job = Job::new(UpstreamId(1), mined.notify(), &extranonce1, difficulty, mined.mask(), dialect);
        let job = Arc::new(job.unwrap_or_else(|error| panic!("{}: {error}", mined.name)));
        let Division { salt, id } = division;
        // The salt of a work is its number.
        let pool_extranonce2 = hex::decode(&mined.submit[2]).expect("hex");
        let number = pool_extranonce2[..salt].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let size = (mined.extranonce2_size - salt - id) as u8;
        let series =
            WorkSeries::new(job, Arc::new(JobIds::starting_at(0xaa55)), Split { salt, lease: id, extranonce2: size });
        let terms = Terms::of(difficulty);
        let lease = Extranonce::new(&pool_extranonce2[salt..salt + id]).expect("short");
        let (_, work) = series.at_least(number, 0).expect("one byte counts less works than a job has");
        let mut window = JobWindow::default();
        window.push(LiveJob::new(work.clone(), terms.clone()));
        let judge = Judge { lease, version_mask: mined.mask(), difficulty, target: terms.target };
        Self { window, judge, work, division }
    }

    /// A submit as the session handles it: read from its line, then judged.
    fn submit(&mut self, params: &[String]) -> (Result<(), Reject>, Option<PoolShare>) {
        let mut params = params.to_vec();
        params[1] = self.work.id.to_string();
        params[2].drain(..2 * (self.division.salt + self.division.id));
        let line = json!({"id": 4, "method": "mining.submit", "params": params}).to_string();
        let frame = Frame::parse(line.as_bytes()).expect("a line of JSON");
        let submit = match Request::parse(&frame).1 {
            Ok(Request::Submit(submit)) => submit,
            Ok(other) => panic!("{other:?} is no submit"),
            Err(error) => return (Err(Reject::Malformed(error.0)), None),
        };
        let submission = Submission {
            job: JobId::parse(&submit.job),
            extranonce2: Extranonce::from_hex(&submit.extranonce2).expect("hex"),
            ntime: submit.ntime,
            nonce: submit.nonce,
            version: submit.version.map_or(SubmittedVersion::Unrolled, SubmittedVersion::Bits),
        };
        let judged = self.judge.judge(&mut self.window, &submission);
        (judged.verdict.map(|_| ()), judged.pool_share)
    }

    /// The hash alone, whatever an earlier check says.
    fn hash_of(&self, params: &[String]) -> BlockHash {
        let own = &params[2][2 * (self.division.salt + self.division.id)..];
        let extranonce2 = Extranonce::from_hex(own).expect("hex");
        let bits = params.get(5).map_or(0, |bits| hex_u32(bits));
        self.work.hash(
            &self.judge.lease,
            &extranonce2,
            hex_u32(&params[3]),
            hex_u32(&params[4]),
            self.work.version | bits,
        )
    }
}

/// The simulated pool's own check, with the vector's job as its own.
struct Referee {
    issued: referee::IssuedJob,
    rules: referee::VersionRules,
}

impl Referee {
    fn of(mined: &Mined, difficulty: f64, dialect: Dialect) -> Self {
        let Notify { prevhash, coinb1, coinb2, branches, version, nbits, ntime, .. } = mined.notify();
        let parts = referee::JobParts {
            id: "b".to_owned(),
            prevhash,
            coinb1: coinb1.into_vec(),
            coinb2: coinb2.into_vec(),
            branches: branches.into_vec(),
            version,
            nbits,
            ntime,
        };
        let difficulty = Arc::new(referee::ShareDifficulty::new(difficulty).expect("within the referee's range"));
        let extranonce1 = hex::decode(&mined.extranonce1).expect("hex");
        let job = Arc::new(referee::Job::new(1, 1, parts));
        Self {
            issued: referee::IssuedJob::new(job, difficulty, &extranonce1, mined.extranonce2_size),
            rules: referee::VersionRules { mask: mined.mask(), dialect: dialect.referee() },
        }
    }

    fn judge(&self, submit: &[String]) -> Result<referee::Accepted, referee::Reject> {
        let share = referee::ShareFields {
            extranonce2: &submit[2],
            ntime: &submit[3],
            nonce: &submit[4],
            version_bits: submit.get(5).map(String::as_str),
        };
        self.issued.judge(share, self.rules)
    }
}

#[test]
fn nothing_is_missing_from_the_file() {
    let file = file();
    assert_eq!((file.vectors.len(), file.derived.len()), (VECTORS, DERIVED));
    assert_eq!(mined(&file).len(), VECTORS - 1, "one is a bare header");
    let by_dialect = |dialect| file.derived.iter().filter(|row| row.dialect == dialect).count();
    assert_eq!([Dialect::Bip310, Dialect::Or, Dialect::Xor].map(by_dialect), [61, 3, 6]);
}

#[test]
fn a_real_share_is_worth_what_it_was_worth() {
    for mined in mined(&file()) {
        let Mined { name, share_difficulty, meets_nbits, .. } = mined;
        for division in mined.divisions() {
            let params = mined.submit_from_below();
            let (verdict, share) = Miner::at(mined, share_difficulty * (1.0 + 1e-12), division).submit(&params);
            assert_eq!(verdict, Err(Reject::LowDifficulty), "{name} {division:?}: just above its difficulty");
            assert_eq!(share.is_some(), *meets_nbits, "{name} {division:?}: a block goes up all the same");

            let mut miner = Miner::at(mined, share_difficulty * (1.0 - 1e-12), division);
            let (verdict, share) = miner.submit(&params);
            assert_eq!(verdict, Ok(()), "{name} {division:?}: just below its difficulty");
            let share = share.unwrap_or_else(|| panic!("{name} {division:?}: the pool should see it"));
            assert_eq!(display(share.hash()), mined.hash, "{name} {division:?}");
            assert_eq!(share.is_block(), *meets_nbits, "{name} {division:?}");
            assert_eq!(share.version(), hex_u32(&mined.full_version), "{name} {division:?}");
            assert_eq!(share.extranonce2().to_string(), mined.submit[2], "{name} {division:?}: as the pool knows it");

            let (verdict, share) = miner.submit(&params);
            assert_eq!((verdict, share.is_some()), (Err(Reject::Duplicate), false), "{name} {division:?}: again");
        }
    }
}

#[test]
fn a_real_header_hashes_to_its_hash() {
    for vector in file().vectors {
        let (header, hash, difficulty) = match &vector {
            Vector::Share(mined) | Vector::Block(mined) => (&mined.header, &mined.hash, mined.share_difficulty),
            Vector::Header(alone) => (&alone.header, &alone.hash, alone.share_difficulty),
        };
        let header: [u8; 80] = hex::decode(header).unwrap().try_into().expect("80 bytes");
        let computed = BlockHash(header_hash(&header));
        assert_eq!(&display(&computed), hash);
        let relative = computed.difficulty().get() / difficulty;
        assert!((relative - 1.0).abs() < 1e-12, "{hash}: {} is not {difficulty}", computed.difficulty());

        if let Vector::Header(alone) = &vector {
            let little_endian = |text: &String| hex_u32(text).to_le_bytes();
            let mut prevhash = hex::decode(&alone.prevhash).unwrap();
            prevhash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
            let merkle_root = hex::decode(&alone.merkle_root).unwrap();
            let parts: [&[u8]; 6] = [
                &little_endian(&alone.version),
                &prevhash,
                &merkle_root,
                &little_endian(&alone.ntime),
                &little_endian(&alone.nbits),
                &little_endian(&alone.nonce),
            ];
            assert_eq!(parts.concat(), header, "fields of the wire make the header");
            let network = Target::from_compact(hex_u32(&alone.nbits)).expect("a target");
            assert_eq!(network.is_met_by(&computed), alone.meets_nbits);
        }
    }
}

#[test]
fn one_changed_field_changes_the_verdict() {
    let file = file();
    let bases = mined(&file);
    let mut played = 0;
    for row in file.derived.iter().filter(|row| row.dialect == Dialect::Bip310) {
        let base = bases.iter().find(|mined| mined.name == row.base).expect(&row.base);
        let changed = base.with(&row.set);
        let difficulty = row.difficulty.unwrap_or(1.0);
        for division in base.divisions() {
            let what = format!("{}: {} {division:?}", row.base, row.name);
            let mut miner = Miner::at(&changed, difficulty, division);
            if row.expect == Expect::Duplicate {
                assert_eq!(miner.submit(&base.submit).0, Ok(()), "{what}: the first time");
            }
            let (verdict, share) = miner.submit(&changed.submit);
            assert_eq!(Expect::of_ours(verdict), row.expect, "{what}");
            assert_eq!(share.is_some(), row.expect == Expect::Accept, "{what}: what the pool sees");
            if let Some(hash_alone) = row.hash_alone {
                assert_eq!(hash_alone, Expect::LowDifficulty, "{what}: the only one in the file");
                assert!(!miner.judge.target.is_met_by(&miner.hash_of(&changed.submit)), "{what}: the hash alone");
            }
        }
        played += 1;
    }
    assert_eq!(played, 61);
}

#[test]
fn the_referee_agrees_on_every_row() {
    let file = file();
    let bases = mined(&file);
    for mined in &bases {
        let just_below = (mined.share_difficulty * (1.0 - 1e-12)).min(referee::MAX_DIFFICULTY);
        let accepted = Referee::of(mined, just_below, mined.dialect).judge(&mined.submit);
        let accepted = accepted.unwrap_or_else(|reject| panic!("{}: {reject:?}", mined.name));
        assert_eq!((display(&BlockHash(accepted.hash)), accepted.is_block), (mined.hash.clone(), mined.meets_nbits));
    }
    for row in &file.derived {
        let base = bases.iter().find(|mined| mined.name == row.base).expect(&row.base);
        let changed = base.with(&row.set);
        let referee = Referee::of(&changed, row.difficulty.unwrap_or(1.0), row.dialect);
        if row.expect == Expect::Duplicate {
            assert!(referee.judge(&base.submit).is_ok(), "{}: {}", row.base, row.name);
        }
        assert_eq!(Expect::of_referee(referee.judge(&changed.submit)), row.expect, "{}: {}", row.base, row.name);
    }
}

/// A miner below us hashed the vector's header, and its pool merges bits in its own way: what we send makes the pool hash the same.
#[test]
fn every_dialect_is_told_the_same_header() {
    let file = file();
    let bases = mined(&file);
    let mut played = 0;
    let rows = file.derived.iter().filter(|row| row.set.contains_key("notify.5"));
    let jobs = rows.map(|row| {
        let base = bases.iter().find(|mined| mined.name == row.base).expect(&row.base);
        (base.with(&row.set), row.dialect, &*row.name)
    });
    let own_dialect = bases.iter().filter(|mined| mined.dialect != Dialect::Bip310);
    for (job, dialect, name) in jobs.chain(own_dialect.map(|mined| ((*mined).clone(), mined.dialect, "as it is"))) {
        let what = format!("{}: {name}, {dialect:?}", job.name);
        let full = hex_u32(&job.full_version);
        let bits = dialect.ours().submit_bits(full, job.notify().version, job.mask());
        let mut submit = job.submit.clone();
        submit[5] = format!("{bits:08x}");
        let difficulty = job.share_difficulty.min(referee::MAX_DIFFICULTY) * (1.0 - 1e-12);
        let accepted = Referee::of(&job, difficulty, dialect).judge(&submit);
        let accepted = accepted.unwrap_or_else(|reject| panic!("{what}: {reject:?}"));
        assert_eq!(display(&BlockHash(accepted.hash)), job.hash, "{what}");
        assert_eq!(bits & !job.mask(), 0, "{what}: nothing outside the mask");
        played += 1;
    }
    assert_eq!(played, 16, "five rows for each of three vectors, and btcpool's own");
}

/// A pool that ORs can't be told that a bit of its own version is off: its jobs are not for rolling.
#[test]
fn an_or_pool_with_bits_inside_the_mask_is_not_rolled_on() {
    let file = file();
    let mut played = 0;
    for row in file.derived.iter().filter(|row| row.dialect == Dialect::Or) {
        let base = mined(&file).into_iter().find(|mined| mined.name == row.base).expect(&row.base);
        let changed = base.with(&row.set);
        let job = |mined: &Mined| {
            Job::new(UpstreamId(1), mined.notify(), &[], Difficulty::ONE, mined.mask(), VersionDialect::Or).unwrap()
        };
        assert_eq!((job(base).version_mask, job(&changed).version_mask), (base.mask(), 0), "{}", row.name);
        played += 1;
    }
    assert_eq!(played, 3);
}
