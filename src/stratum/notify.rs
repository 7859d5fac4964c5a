//! `mining.notify`, both ways.
//!
//! Byte orders (proven by real shares): prevhash is the header's order with every 4-byte word reversed; version, nbits and ntime
//! are the number in big-endian hex; coinbase parts and branches are raw bytes.

use serde::Deserialize;

/// How a pool merges the version bits of a submit into its job's version. Down we clear the bits that may be rolled, so that the
/// three mean the same to a miner; up, [`submit_bits`](Self::submit_bits) says the same to each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionDialect {
    /// `(job & !mask) | (bits & mask)`: BIP 310.
    #[default]
    Bip310,
    /// `job | bits`: ckpool, datum_gateway.
    Or,
    /// `job ^ bits`: public-pool, btcpool.
    Xor,
}

impl VersionDialect {
    /// The sixth parameter that makes this pool hash `full`.
    pub fn submit_bits(self, full: u32, pool_job_version: u32, mask: u32) -> u32 {
        match self {
            Self::Bip310 | Self::Or => full & mask,
            Self::Xor => full ^ pool_job_version,
        }
    }
}

/// Why a notify can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// Not the array that it has to be.
    #[error("mining.notify: {0}")]
    Shape(String),
    /// A member is not the hex that it has to be.
    #[error("mining.notify: {field} {value:?} is not {wanted}")]
    Field {
        /// Which.
        field: &'static str,
        /// What came (cut).
        value: String,
        /// What should have.
        wanted: &'static str,
    },
}

/// The members of a `mining.notify`, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The pool's name for the job.
    pub job_id: Box<str>,
    /// Hash of the previous block, in the header's byte order.
    pub prevhash: [u8; 32],
    /// Coinbase before the extranonces.
    pub coinb1: Box<[u8]>,
    /// Coinbase after them.
    pub coinb2: Box<[u8]>,
    /// Merkle branches, leaf to root.
    pub branches: Box<[[u8; 32]]>,
    /// Header version.
    pub version: u32,
    /// Compact network target.
    pub nbits: u32,
    /// Header time, seconds since 1970.
    pub ntime: u32,
    /// Drop all former jobs.
    pub clean: bool,
}

#[derive(Deserialize)]
struct Wire<'a>(
    std::borrow::Cow<'a, str>,
    std::borrow::Cow<'a, str>,
    std::borrow::Cow<'a, str>,
    std::borrow::Cow<'a, str>,
    Vec<std::borrow::Cow<'a, str>>,
    std::borrow::Cow<'a, str>,
    std::borrow::Cow<'a, str>,
    std::borrow::Cow<'a, str>,
    bool,
);

impl Notify {
    /// From the `params` of a pool's notify.
    ///
    /// # Errors
    /// [`NotifyError`] that names the member.
    pub fn parse(params: &str) -> Result<Self, NotifyError> {
        let Wire(job_id, prevhash, coinb1, coinb2, branches, version, nbits, ntime, clean) =
            serde_json::from_str(params).map_err(|error| NotifyError::Shape(error.to_string()))?;
        Ok(Self {
            job_id: job_id.into(),
            prevhash: swap_words(hash("prevhash", &prevhash)?),
            coinb1: bytes("coinb1", &coinb1)?,
            coinb2: bytes("coinb2", &coinb2)?,
            branches: branches.iter().map(|branch| hash("branch", branch)).collect::<Result<_, _>>()?,
            version: number("version", &version)?,
            nbits: number("nbits", &nbits)?,
            ntime: number("ntime", &ntime)?,
            clean,
        })
    }

    /// The line that carries this job to miners, under another id, coinb1, version and ntime. With its line end.
    pub fn to_line(&self, job_id: &str, coinb1: &[u8], version: u32, ntime: u32, clean: bool) -> String {
        use std::fmt::Write;

        const FRAME: usize = 256;
        const BRANCH: usize = 2 * 32 + 3;
        let mut line =
            String::with_capacity(FRAME + 2 * (coinb1.len() + self.coinb2.len()) + BRANCH * self.branches.len());
        let write = |line: &mut String, args| line.write_fmt(args).expect("a string takes any text");
        line.push_str(r#"{"id":null,"method":"mining.notify","params":[""#);
        line.push_str(job_id);
        for part in [&swap_words(self.prevhash)[..], coinb1, &self.coinb2] {
            line.push_str("\",\"");
            line.push_str(&hex::encode(part));
        }
        line.push_str("\",[");
        for (at, branch) in self.branches.iter().enumerate() {
            line.push_str(if at == 0 { "\"" } else { ",\"" });
            line.push_str(&hex::encode(branch));
            line.push('"');
        }
        write(&mut line, format_args!("],\"{version:08x}\",\"{:08x}\",\"{ntime:08x}\",{clean}]}}\n", self.nbits));
        line
    }
}

/// Reverses every 4-byte word: between the wire's and the header's order of a prevhash.
fn swap_words(mut hash: [u8; 32]) -> [u8; 32] {
    for word in hash.chunks_exact_mut(4) {
        word.reverse();
    }
    hash
}

fn bad(field: &'static str, value: &str, wanted: &'static str) -> NotifyError {
    NotifyError::Field { field, value: value.chars().take(80).collect(), wanted }
}

fn hash(field: &'static str, text: &str) -> Result<[u8; 32], NotifyError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|_| bad(field, text, "64 hex digits"))?;
    Ok(hash)
}

fn bytes(field: &'static str, text: &str) -> Result<Box<[u8]>, NotifyError> {
    hex::decode(text).map(Into::into).map_err(|_| bad(field, text, "hex"))
}

fn number(field: &'static str, text: &str) -> Result<u32, NotifyError> {
    super::hex_u32(text).ok_or_else(|| bad(field, text, "up to 8 hex digits"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Job `bf` of the conversation in slush's documentation of Stratum.
    pub(crate) const BF: &str = concat!(
        r#"["bf","4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000","#,
        r#""01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008","#,
        r#""072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000",[],"#,
        r#""00000002","1c2ac4af","504e86b9",false]"#
    );

    pub(crate) fn notify_bf() -> Notify {
        Notify::parse(BF).unwrap()
    }

    #[test]
    fn a_notify_goes_out_as_it_came_in() {
        let notify = notify_bf();
        let line = notify.to_line("bf", &notify.coinb1, notify.version, notify.ntime, notify.clean);
        assert_eq!(line, format!("{{\"id\":null,\"method\":\"mining.notify\",\"params\":{BF}}}\n"));
    }

    #[test]
    fn branches_keep_their_order() {
        let mut notify = notify_bf();
        notify.branches = [[1; 32], [2; 32]].into();
        let line = notify.to_line("x", &notify.coinb1, 1, 2, true);
        let params = &line[line.find("[\"x").unwrap()..line.len() - 2];
        assert_eq!(Notify::parse(params).unwrap().branches, notify.branches);
    }

    #[test]
    fn a_bad_member_is_named() {
        let text = BF.replace("1c2ac4af", "1c2ac4zz");
        assert_eq!(
            Notify::parse(&text).unwrap_err().to_string(),
            r#"mining.notify: nbits "1c2ac4zz" is not up to 8 hex digits"#
        );
        assert!(Notify::parse("[]").is_err());
        assert!(Notify::parse("{}").is_err());
    }

    #[test]
    fn every_dialect_reaches_the_version_that_was_hashed() {
        let (mask, full) = (0x1fff_e000u32, 0x2abc_c000u32);
        for pool_version in [0x2000_0000u32, 0x2000_2000] {
            let up = |dialect: VersionDialect| dialect.submit_bits(full, pool_version, mask);
            assert_eq!((pool_version & !mask) | (up(VersionDialect::Bip310) & mask), full);
            assert_eq!(pool_version ^ up(VersionDialect::Xor), full);
        }
        assert_eq!(0x2000_0000 | VersionDialect::Or.submit_bits(full, 0x2000_0000, mask), full);
    }
}
