//! Firmware profiles: what each kind of miner says, in which order, and what it can't bear.
//!
//! Everything here is data. [`Session`](super::session::Session) reads it and has no `if` on a firmware's name, so a
//! new firmware is a new constant. A profile says what the *firmware* does; what the *owner* chose (user, password,
//! hashrate) is in [`MinerSettings`](super::MinerSettings).
//!
//! | profile     | handshake (`+` pipelined)                                | rolls version        | difficulty from |
//! |-------------|----------------------------------------------------------|----------------------|-----------------|
//! | `cgminer`   | configure, subscribe, authorize                          | fixed sub-masks      | next notify     |
//! | `bmminer`   | configure, subscribe, authorize, extranonce              | sub-masks            | next notify     |
//! | `bmminer-legacy` | subscribe, multi_version, authorize                 | full version         | next notify     |
//! | `antminer-s21` | configure, subscribe, authorize, extranonce           | whole mask           | next notify     |
//! | `bitaxe`    | configure + subscribe + authorize, suggest               | xor with the job's   | next notify     |
//! | `nerdqaxe`  | subscribe, configure, authorize, suggest, extranonce     | xor with the job's   | next notify     |
//! | `nerdminer` | subscribe, authorize, suggest (again every 30 s)         | no                   | at once         |
//! | `whatsminer`| configure, subscribe, authorize                          | whole mask           | next notify     |
//! | `avalon`    | configure, subscribe, authorize                          | fixed sub-masks      | next notify     |
//! | `bosminer`, `luxminer` | configure, subscribe, authorize               | whole mask           | next notify     |
//! | `cpuminer`  | subscribe, authorize                                     | no                   | next notify     |
//! | `nicehash`  | subscribe, authorize, extranonce                         | no                   | next notify     |
//! | `mrr-s21`   | subscribe, authorize                                     | unasked, whole mask  | next notify     |
//! | `ckproxy`, `btcagent` | configure, subscribe, authorize × workers      | whole mask           | next notify     |
//!
//! Sources: cgminer `util.c`, bmminer, ESP-Miner `stratum_api.c`, NerdQAxe+, NerdMiner `stratum.cpp`, cpuminer
//! `util.c`, datum_gateway #214 (S21 through MiningRigRentals), braiins farm-proxy, NiceHash's pool requirements.

use std::time::Duration;

/// Mask that BIP 320 reserves for rolling; what firmware assumes where it never asked.
pub const BIP320_MASK: u32 = 0x1fff_e000;

/// One request of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `mining.configure` (BIP 310).
    Configure,
    /// `mining.subscribe`.
    Subscribe,
    /// `mining.authorize`, once per worker.
    Authorize,
    /// `mining.suggest_difficulty`.
    SuggestDifficulty,
    /// `mining.extranonce.subscribe`.
    ExtranonceSubscribe,
    /// `mining.multi_version`, Bitmain's way before BIP 310.
    MultiVersion,
}

/// Parameters of `mining.subscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeForm {
    /// `[ua]`, and `[ua, session]` after a reconnect; falls back to `[]` when that is refused.
    AgentAndSession,
    /// `[ua]`, always.
    Agent,
    /// `[ua, null, "host:port", null]`.
    AgentAndHost,
    /// `[ua, timestamp, hmac]`; the hmac is opaque to servers other than its own.
    AgentTimestampHmac,
}

/// Parameters of `mining.configure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigureForm {
    /// The mask asked for.
    pub mask: u32,
    /// How `version-rolling.min-bit-count` is written.
    pub min_bit_count: MinBitCount,
}

/// How `version-rolling.min-bit-count` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinBitCount {
    /// Not at all.
    Absent,
    /// As a JSON number.
    Number(u8),
    /// As a JSON string.
    Text(u8),
}

/// How a machine varies the version, and what it submits as the sixth parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolling {
    /// Five parameters, the job's version.
    None,
    /// A few fixed patterns inside the negotiated mask; submits the bits (BIP 310).
    SubMasks(u32),
    /// Any pattern of the negotiated mask; submits the bits (BIP 310).
    WholeMask,
    /// Any pattern of the negotiated mask; submits `rolled ^ job version`.
    XorWithJob,
    /// A few fixed patterns of [`BIP320_MASK`] after `mining.multi_version [n]`; submits the full version.
    FullVersion(u32),
    /// Rolls [`BIP320_MASK`] and submits bits although nothing was negotiated.
    Unasked,
}

/// When a new difficulty takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifficultyTiming {
    /// With the next `mining.notify`.
    NextNotify,
    /// For the job at hand, too.
    AtOnce,
}

/// How a difficulty is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifficultyForm {
    /// As a double.
    Float,
    /// Truncated to a `uint32`.
    WholeU32,
}

/// How jobs are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobRule {
    /// The newest notify is the job, whatever its id.
    Newest,
    /// A notify with a known job id is dropped, unless it is clean.
    DropKnownId,
    /// A repeated job id is an error.
    UniqueId,
    /// Told apart by the CRC-16 of the id alone.
    Crc16OfId,
}

/// How the ids of requests are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdStyle {
    /// 1, 2, 3 … on each connection.
    Counting,
    /// Every submit has this same id.
    SubmitsAlways(u64),
    /// `"1"`, `"2"` … as strings.
    Text,
}

/// How the nonce is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceForm {
    /// Eight hex digits.
    Padded,
    /// As many as needed.
    Unpadded,
}

/// What a `client.reconnect` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Goes to the named host if it is in the same domain (or is the same address), else stays.
    SameDomain,
    /// Ignores the parameters, reconnects to where it was.
    OwnServer,
    /// Needs host and port, else nothing happens.
    NeedsHostAndPort,
}

/// What a machine does with its connection while it sleeps, once no share is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsleepSocket {
    /// Keeps it, and takes jobs as before.
    Kept,
    /// Keeps it and reads nothing until it wakes.
    Unread,
    /// Closes it, and connects again when it wakes.
    Closed,
}

/// What the firmware's buffers and fields can hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Extranonce2 sizes, in bytes, that it can mine *and* submit.
    pub extranonce2_bytes: &'static [usize],
    /// Longest extranonce1 in bytes.
    pub extranonce1_bytes: usize,
    /// Most merkle branches in a job.
    pub branches: usize,
    /// Longest coinbase in bytes.
    pub coinbase_bytes: usize,
    /// Longest `mining.notify` line in bytes.
    pub notify_bytes: usize,
    /// Longest user name in bytes.
    pub user_bytes: usize,
    /// Whether a user name that is too long is cut (else it overflows, which is a violation of the owner's).
    pub cuts_user: bool,
    /// Lowest difficulty that it agrees to; ignored in a scaled world.
    pub least_difficulty: f64,
}

/// A firmware.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Short name, as in `--profile`.
    pub name: &'static str,
    /// What it calls itself in `mining.subscribe`.
    pub user_agent: &'static str,
    /// Requests of the handshake: a group is sent at once, the next one when all of it was answered.
    pub handshake: &'static [&'static [Step]],
    /// Requests after which the very next line is taken for the answer, whatever it is.
    pub takes_next_line: &'static [Step],
    /// Form of `mining.subscribe`.
    pub subscribe: SubscribeForm,
    /// Form of `mining.configure`.
    pub configure: ConfigureForm,
    /// Whether it fails a pool that grants no version mask.
    pub needs_mask: bool,
    /// Whether a key in the answer to configure that it didn't ask for makes it start over.
    pub unrequested_keys_fatal: bool,
    /// Whether an error to `mining.extranonce.subscribe` makes the pool dead.
    pub extranonce_error_fatal: bool,
    /// Whether notify fields must have exactly their eight (prevhash: 64) characters.
    pub checks_field_lengths: bool,
    /// Buffers.
    pub limits: Limits,
    /// How it tells jobs apart.
    pub jobs: JobRule,
    /// When a new difficulty counts.
    pub difficulty_timing: DifficultyTiming,
    /// How it stores one.
    pub difficulty_form: DifficultyForm,
    /// How it rolls.
    pub rolling: Rolling,
    /// How it writes a nonce.
    pub nonce: NonceForm,
    /// How it chooses ids.
    pub ids: IdStyle,
    /// Whether extranonce2 starts over with every job, so that re-sent content makes it repeat headers (EM#1587).
    pub extranonce2_restarts: bool,
    /// What it suggests, and how often again.
    pub suggests: Option<(f64, Option<Duration>)>,
    /// Silence after which the pool is dead.
    pub silence_limit: Duration,
    /// How long it waits for a reply.
    pub reply_limit: Duration,
    /// What it does on `client.reconnect`.
    pub follow: Follow,
    /// Age up to which unanswered shares are sent again after a reconnect with the same extranonce1.
    pub resubmits: Option<Duration>,
    /// Workers that share one connection.
    pub workers: usize,
    /// Whether a server's `mining.ping` gets a `pong` *method* line instead of a reply.
    pub pong_method: bool,
    /// What becomes of its connection asleep. No vendor documents it: dealt out so that all three are met.
    pub asleep_socket: AsleepSocket,
}

use Step::{Authorize, Configure, ExtranonceSubscribe, MultiVersion, Subscribe, SuggestDifficulty};

/// Sizes that cgminer and its children both accept at subscribe and agree to submit.
const UP_TO_EIGHT: &[usize] = &[2, 3, 4, 5, 6, 7, 8];
const AT_LEAST_FOUR: &[usize] = &[4, 5, 6, 7, 8];

const ROOMY: Limits = Limits {
    extranonce2_bytes: UP_TO_EIGHT,
    extranonce1_bytes: 16,
    branches: 32,
    coinbase_bytes: 6500,
    notify_bytes: 16 * 1024,
    user_bytes: 255,
    cuts_user: false,
    least_difficulty: 0.0,
};

/// cgminer 4.11, the ancestor of most ASIC firmware.
pub const CGMINER: Profile = Profile {
    name: "cgminer",
    user_agent: "cgminer/4.11.1",
    handshake: &[&[Configure], &[Subscribe], &[Authorize]],
    takes_next_line: &[Configure, Subscribe],
    subscribe: SubscribeForm::AgentAndSession,
    configure: ConfigureForm { mask: u32::MAX, min_bit_count: MinBitCount::Absent },
    needs_mask: true,
    unrequested_keys_fatal: false,
    extranonce_error_fatal: false,
    checks_field_lengths: true,
    limits: ROOMY,
    jobs: JobRule::Newest,
    difficulty_timing: DifficultyTiming::NextNotify,
    difficulty_form: DifficultyForm::Float,
    rolling: Rolling::SubMasks(4),
    nonce: NonceForm::Padded,
    ids: IdStyle::Counting,
    extranonce2_restarts: false,
    suggests: None,
    silence_limit: Duration::from_secs(90),
    reply_limit: Duration::from_secs(60),
    follow: Follow::SameDomain,
    resubmits: Some(Duration::from_secs(120)),
    workers: 1,
    pong_method: false,
    asleep_socket: AsleepSocket::Kept,
};

/// Bitmain's stock firmware of the S9 to S19 years.
pub const BMMINER: Profile = Profile {
    name: "bmminer",
    user_agent: "bmminer/2.0.0",
    handshake: &[&[Configure], &[Subscribe], &[Authorize], &[ExtranonceSubscribe]],
    configure: ConfigureForm { mask: BIP320_MASK, min_bit_count: MinBitCount::Number(2) },
    extranonce_error_fatal: true,
    limits: Limits { coinbase_bytes: 750, ..ROOMY },
    resubmits: None,
    ..CGMINER
};

/// bmminer from before BIP 310: `mining.multi_version`, full version as sixth parameter.
pub const BMMINER_LEGACY: Profile = Profile {
    name: "bmminer-legacy",
    user_agent: "bmminer/1.0.0",
    handshake: &[&[Subscribe], &[MultiVersion], &[Authorize]],
    takes_next_line: &[Subscribe],
    needs_mask: false,
    rolling: Rolling::FullVersion(4),
    ..BMMINER
};

/// Stock firmware of the Antminer S21.
pub const ANTMINER_S21: Profile = Profile {
    name: "antminer-s21",
    user_agent: "Antminer S21/Wed Sep 25 2024",
    limits: Limits { coinbase_bytes: 2250, ..ROOMY },
    rolling: Rolling::WholeMask,
    asleep_socket: AsleepSocket::Closed,
    ..BMMINER
};

/// ESP-Miner, the firmware of the Bitaxe.
pub const BITAXE: Profile = Profile {
    name: "bitaxe",
    user_agent: "bitaxe/BM1370/v2.12.2",
    handshake: &[&[Configure, Subscribe, Authorize], &[SuggestDifficulty]],
    takes_next_line: &[],
    subscribe: SubscribeForm::Agent,
    needs_mask: false,
    checks_field_lengths: false,
    jobs: JobRule::DropKnownId,
    rolling: Rolling::XorWithJob,
    extranonce2_restarts: true,
    suggests: Some((1000.0, None)),
    silence_limit: Duration::from_secs(180),
    follow: Follow::OwnServer,
    resubmits: None,
    pong_method: true,
    ..CGMINER
};

/// NerdQAxe+, a fork of ESP-Miner for several chips.
pub const NERDQAXE: Profile = Profile {
    name: "nerdqaxe",
    user_agent: "NerdQAxe+/BM1370/v1.0.30",
    handshake: &[&[Subscribe], &[Configure], &[Authorize], &[SuggestDifficulty], &[ExtranonceSubscribe]],
    difficulty_form: DifficultyForm::WholeU32,
    ..BITAXE
};

/// NerdMiner: an ESP32 that hashes in software.
pub const NERDMINER: Profile = Profile {
    name: "nerdminer",
    user_agent: "NerdMinerV2/1.8.3",
    handshake: &[&[Subscribe], &[Authorize], &[SuggestDifficulty]],
    takes_next_line: &[Subscribe],
    subscribe: SubscribeForm::Agent,
    needs_mask: false,
    limits: Limits { extranonce2_bytes: &[2, 4, 8], notify_bytes: 4096, ..ROOMY },
    difficulty_timing: DifficultyTiming::AtOnce,
    rolling: Rolling::None,
    nonce: NonceForm::Unpadded,
    suggests: Some((0.000_15, Some(Duration::from_secs(30)))),
    follow: Follow::OwnServer,
    resubmits: None,
    ..CGMINER
};

/// MicroBT's stock firmware.
pub const WHATSMINER: Profile = Profile {
    name: "whatsminer",
    user_agent: "whatsminer/v1.0",
    configure: ConfigureForm { mask: BIP320_MASK, min_bit_count: MinBitCount::Text(2) },
    needs_mask: false,
    unrequested_keys_fatal: true,
    limits: Limits { user_bytes: 127, ..ROOMY },
    rolling: Rolling::WholeMask,
    resubmits: None,
    asleep_socket: AsleepSocket::Unread,
    ..CGMINER
};

/// Canaan's fork of cgminer.
pub const AVALON: Profile = Profile {
    name: "avalon",
    user_agent: "cgminer/4.11.1 avalon",
    limits: Limits { extranonce2_bytes: &[3, 4, 5, 6, 7, 8], branches: 30, user_bytes: 63, cuts_user: true, ..ROOMY },
    jobs: JobRule::Crc16OfId,
    ..CGMINER
};

/// Braiins OS+.
pub const BOSMINER: Profile = Profile {
    name: "bosminer",
    user_agent: "Antminer S19j Pro;bosminer-plus-tuner 24.09",
    takes_next_line: &[],
    subscribe: SubscribeForm::AgentAndHost,
    configure: ConfigureForm { mask: BIP320_MASK, min_bit_count: MinBitCount::Number(16) },
    needs_mask: false,
    rolling: Rolling::WholeMask,
    resubmits: None,
    ..CGMINER
};

/// LuxOS.
pub const LUXMINER: Profile =
    Profile { name: "luxminer", user_agent: "Antminer S19k Pro|LUXminer 2024.5.1.155432|a1b2c3d4", ..BOSMINER };

/// pooler's cpuminer.
pub const CPUMINER: Profile = Profile {
    name: "cpuminer",
    user_agent: "cpuminer/2.5.1",
    handshake: &[&[Subscribe], &[Authorize]],
    takes_next_line: &[Subscribe],
    needs_mask: false,
    rolling: Rolling::None,
    ids: IdStyle::SubmitsAlways(4),
    follow: Follow::NeedsHostAndPort,
    resubmits: None,
    ..CGMINER
};

/// NiceHash's own proxy in front of rented rigs.
pub const NICEHASH: Profile = Profile {
    name: "nicehash",
    user_agent: "NiceHash/1.0.0",
    handshake: &[&[Subscribe], &[Authorize], &[ExtranonceSubscribe]],
    takes_next_line: &[Subscribe],
    subscribe: SubscribeForm::AgentTimestampHmac,
    needs_mask: false,
    limits: Limits { extranonce2_bytes: AT_LEAST_FOUR, coinbase_bytes: 500, least_difficulty: 500_000.0, ..ROOMY },
    jobs: JobRule::UniqueId,
    rolling: Rolling::None,
    resubmits: None,
    ..CGMINER
};

/// An Antminer S21 rented through MiningRigRentals: rolls without ever asking (datum_gateway #214).
pub const MRR_S21: Profile = Profile {
    name: "mrr-s21",
    user_agent: "Antminer S21/MRR",
    handshake: &[&[Subscribe], &[Authorize]],
    takes_next_line: &[Subscribe],
    needs_mask: false,
    rolling: Rolling::Unasked,
    ..ANTMINER_S21
};

/// A ckproxy below us: many workers on one connection.
pub const CKPROXY: Profile = Profile {
    name: "ckproxy",
    user_agent: "ckpool/0.9.8",
    takes_next_line: &[],
    needs_mask: false,
    limits: Limits { extranonce2_bytes: AT_LEAST_FOUR, ..ROOMY },
    rolling: Rolling::WholeMask,
    resubmits: None,
    workers: 8,
    ..CGMINER
};

/// A btcagent below us: as ckproxy, and it can't mine with less than what it splits.
pub const BTCAGENT: Profile = Profile { name: "btcagent", user_agent: "btccom-agent/0.5.0-mu", ..CKPROXY };

/// Every profile with its weight in a mixed farm: mostly Antminers, some of everything.
pub const MIX: &[(&Profile, u32)] = &[
    (&CGMINER, 10),
    (&BMMINER, 15),
    (&BMMINER_LEGACY, 2),
    (&ANTMINER_S21, 20),
    (&BITAXE, 8),
    (&NERDQAXE, 3),
    (&NERDMINER, 2),
    (&WHATSMINER, 15),
    (&AVALON, 5),
    (&BOSMINER, 8),
    (&LUXMINER, 5),
    (&CPUMINER, 1),
    (&NICEHASH, 2),
    (&MRR_S21, 2),
    (&CKPROXY, 1),
    (&BTCAGENT, 1),
];

/// The same without what hashes for others or without a supply of its own: the ASICs of a site, each with one worker.
pub const ASICS: &[(&Profile, u32)] = &[
    (&CGMINER, 10),
    (&BMMINER, 15),
    (&ANTMINER_S21, 20),
    (&WHATSMINER, 15),
    (&AVALON, 5),
    (&BOSMINER, 8),
    (&LUXMINER, 5),
];

impl Profile {
    /// The profile called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        MIX.iter().map(|(profile, _)| *profile).find(|profile| profile.name == name)
    }

    /// Names of all profiles, for help texts and errors.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MIX.iter().map(|(profile, _)| profile.name)
    }

    /// Whether the handshake has this step.
    #[must_use]
    pub fn asks(&self, step: Step) -> bool {
        self.handshake.iter().any(|group| group.contains(&step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (profile, _) in MIX {
            assert_eq!(Profile::named(profile.name).map(|p| p.user_agent), Some(profile.user_agent));
        }
        assert!(Profile::named("gpu").is_none());
    }

    #[test]
    fn every_handshake_subscribes_and_authorizes() {
        for (profile, _) in MIX {
            assert!(profile.asks(Step::Subscribe) && profile.asks(Step::Authorize), "{}", profile.name);
            let suggests = profile.asks(Step::SuggestDifficulty);
            assert_eq!(suggests, profile.suggests.is_some(), "{}", profile.name);
        }
    }
}
