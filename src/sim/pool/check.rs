//! The referee: what a submitted share hashes to and whether it counts.
//!
//! Written from the protocol alone, in the plainest way that works, and on purpose not shared with the proxy's own share check:
//! where the two disagree, one of them is wrong. Knows nothing of sockets or sessions.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::job::{Credit, Job};
use super::reject::Reject;
use super::settings::VersionDialect;
use super::target::ShareDifficulty;

/// How far past its job's time a share's ntime may run, in seconds: the consensus limit on blocks from the future.
const NTIME_WINDOW_SECS: u32 = 7200;

/// The four fields of `mining.submit` that make a header, as text.
#[derive(Debug, Clone, Copy)]
pub struct ShareFields<'a> {
    /// Extranonce2, exactly as long as granted.
    pub extranonce2: &'a str,
    /// Timestamp, big-endian hex.
    pub ntime: &'a str,
    /// Nonce, big-endian hex; leading zeros may be missing (NerdMiner).
    pub nonce: &'a str,
    /// Version bits, if a sixth parameter came.
    pub version_bits: Option<&'a str>,
}

/// What a connection may do to the version, and how it says so.
#[derive(Debug, Clone, Copy)]
pub struct VersionRules {
    /// Bits the connection was granted; 0 for none.
    pub mask: u32,
    /// How bits are merged.
    pub dialect: VersionDialect,
}

impl VersionRules {
    /// The version that was hashed. Without a sixth parameter that is the job's own.
    fn merge(self, job_version: u32, bits: Option<u32>) -> Result<u32, Reject> {
        let Some(bits) = bits else {
            return Ok(job_version);
        };
        if bits & !self.mask != 0 {
            return Err(Reject::VersionBits);
        }
        Ok(match self.dialect {
            VersionDialect::Bip310 => (job_version & !self.mask) | (bits & self.mask),
            VersionDialect::Or => job_version | bits,
            VersionDialect::Xor => job_version ^ bits,
        })
    }
}

/// A share that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Header hash in the byte order SHA-256 gives it (reversed for display).
    pub hash: [u8; 32],
    /// Whether it meets the network's target as well.
    pub is_block: bool,
}

/// A job as one connection got it: with its extranonce, and the difficulty in force when it was sent.
#[derive(Debug, Clone)]
pub struct IssuedJob {
    job: Arc<Job>,
    difficulty: Arc<ShareDifficulty>,
    extranonce2_size: usize,
    /// Hash state over `coinb1 | extranonce1`, which no share changes.
    prefix: Sha256,
}

impl IssuedJob {
    /// Remembers that `job` went to a connection with this extranonce, to be judged at this difficulty.
    #[must_use]
    pub fn new(
        job: Arc<Job>,
        difficulty: Arc<ShareDifficulty>,
        extranonce1: &[u8],
        extranonce2_size: usize,
    ) -> IssuedJob {
        let prefix = Sha256::new()
            .chain_update(&job.parts.coinb1)
            .chain_update(extranonce1);
        IssuedJob {
            job,
            difficulty,
            extranonce2_size,
            prefix,
        }
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The difficulty that its shares are judged and credited by.
    #[must_use]
    pub fn difficulty(&self) -> &ShareDifficulty {
        &self.difficulty
    }

    /// Judges a share of this job; a good one is credited, and a duplicate from then on.
    ///
    /// # Errors
    /// The [`Reject`] that the pool answers.
    pub fn judge(&self, share: ShareFields<'_>, rules: VersionRules) -> Result<Accepted, Reject> {
        let hash = double_sha256(&self.header(share, rules)?);
        if !self.difficulty.target().is_met_by(&hash) {
            return Err(Reject::LowDifficulty);
        }
        match self.job.credit(hash) {
            Credit::New => Ok(Accepted {
                hash,
                is_block: self.job.is_block(&hash),
            }),
            Credit::Duplicate => Err(Reject::Duplicate),
            Credit::Full => Err(Reject::JobNotFound),
        }
    }

    /// The 80 bytes that the miner hashed.
    fn header(&self, share: ShareFields<'_>, rules: VersionRules) -> Result<[u8; 80], Reject> {
        let parts = &self.job.parts;
        if share.extranonce2.len() != 2 * self.extranonce2_size {
            return Err(Reject::Params("extranonce2"));
        }
        let extranonce2 =
            hex::decode(share.extranonce2).map_err(|_| Reject::Params("extranonce2"))?;
        let ntime = parse_u32(share.ntime).ok_or(Reject::Params("ntime"))?;
        let nonce = parse_u32(share.nonce).ok_or(Reject::Params("nonce"))?;
        let bits = match share.version_bits {
            Some(text) => Some(parse_u32(text).ok_or(Reject::Params("version bits"))?),
            None => None,
        };
        if !(parts.ntime..=parts.ntime.saturating_add(NTIME_WINDOW_SECS)).contains(&ntime) {
            return Err(Reject::Ntime);
        }
        let version = rules.merge(parts.version, bits)?;

        let txid = self
            .prefix
            .clone()
            .chain_update(&extranonce2)
            .chain_update(&parts.coinb2)
            .finalize();
        let mut root: [u8; 32] = Sha256::digest(txid).into();
        for branch in &parts.branches {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&root);
            pair[32..].copy_from_slice(branch);
            root = double_sha256(&pair);
        }

        let mut header = [0; 80];
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(&parts.prevhash);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&ntime.to_le_bytes());
        header[72..76].copy_from_slice(&parts.nbits.to_le_bytes());
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        Ok(header)
    }
}

fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// One to eight hex digits, without sign or prefix.
pub(super) fn parse_u32(text: &str) -> Option<u32> {
    let plain = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::job::{JobParts, swap_words};
    use super::*;

    /// `extranonce1`, `mining.notify` (id, prevhash, coinb1, coinb2, branches, version, nbits, ntime), then what was submitted and the
    /// hash it must give, in display order.
    struct Vector {
        extranonce1: &'static str,
        prevhash: &'static str,
        coinb1: &'static str,
        coinb2: &'static str,
        branches: &'static [&'static str],
        version: u32,
        nbits: u32,
        ntime: u32,
        share: ShareFields<'static>,
        hash: &'static str,
        is_block: bool,
    }

    /// The share of the worked example in slush's Stratum documentation, difficulty 7.88.
    const SLUSH: Vector = Vector {
        extranonce1: "08000002",
        prevhash: "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000",
        coinb1: "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008",
        coinb2: "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000",
        branches: &[],
        version: 0x0000_0002,
        nbits: 0x1c2a_c4af,
        ntime: 0x504e_86b9,
        share: ShareFields {
            extranonce2: "00000001",
            ntime: "504e86ed",
            nonce: "b2957c02",
            version_bits: None,
        },
        hash: "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32",
        is_block: true,
    };

    /// A Bitaxe's share with rolled version bits on testnet, difficulty 669.8 (public-pool, `MockRecording1.ts`).
    const BITAXE: Vector = Vector {
        extranonce1: "57a6f098",
        prevhash: "171592f223740e92d223f6e68bff25279af7ac4f2246451e0000000200000000",
        coinb1: "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1903c943255c7075626c69632d706f6f6c5c",
        coinb2: "ffffffff037a90000000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc3b0f250000000000160014e6f22ca44dc800e9d049621a\
                 3b9a42c509f1c4bc0000000000000000266a24aa21a9edbd3d1d916aa0b57326a2d88ebe1b68a1d7c48585f26d8335fe6a94b62755f64c00000000",
        branches: &[
            "175335649d5e8746982969ec88f52e85ac9917106fba5468e699c8879ab974a1",
            "d5644ab3e708c54cd68dc5aedc92b8d3037449687f92ec41ed6e37673d969d4a",
            "5c9ec187517edc0698556cca5ce27e54c96acb014770599ed9df4d4937fbf2b0",
        ],
        version: 0x2000_0000,
        nbits: 0x1924_95f8,
        ntime: 0x64b3_f3ec,
        share: ShareFields {
            extranonce2: "c7080000",
            ntime: "64b3f3ec",
            nonce: "ed460d91",
            version_bits: Some("00002000"),
        },
        hash: "000000000061d52983863e5c424c00d9e0981874fddf6a8493433e73928a3e4e",
        is_block: false,
    };

    /// A signet share with rolled version bits and an 8-byte extranonce2, difficulty 318.4 (p2poolv2 test data).
    const SIGNET: Vector = Vector {
        extranonce1: "03b67868",
        prevhash: "87f914a7745ea340051038babb56406514af8b63338ade65002bfbde00000000",
        coinb1: "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff2d023c01000402b6786804209eec010c",
        coinb2: "0a636b706f6f6c0a2f7032706f6f6c76322fffffffff030011102401000000160014274466e754a1c12d0a2d2cc34ceb70d8e017053a00e1f505\
                 00000000160014a248cf2f99f449511b22bab1a3d001719f84cd090000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c\
                 690689799962b48bebd836974e8cf900000000",
        branches: &[],
        version: 0x2000_0000,
        nbits: 0x1e03_77ae,
        ntime: 0x6878_b602,
        share: ShareFields {
            extranonce2: "0000000000000000",
            ntime: "6878b602",
            nonce: "58f90070",
            version_bits: Some("083ac000"),
        },
        hash: "0000000000cdd305efb7cb9d86c7dc8eccf504a32fdf781ea053f87b6f5b3642",
        is_block: true,
    };

    const BIP310: VersionRules = VersionRules {
        mask: 0x1fff_e000,
        dialect: VersionDialect::Bip310,
    };

    fn issue(vector: &Vector, difficulty: f64) -> IssuedJob {
        let hash_of = |text: &str| -> [u8; 32] { hex::decode(text).unwrap().try_into().unwrap() };
        let parts = JobParts {
            id: "1".to_owned(),
            prevhash: swap_words(&hash_of(vector.prevhash)),
            coinb1: hex::decode(vector.coinb1).unwrap(),
            coinb2: hex::decode(vector.coinb2).unwrap(),
            branches: vector
                .branches
                .iter()
                .map(|branch| hash_of(branch))
                .collect(),
            version: vector.version,
            nbits: vector.nbits,
            ntime: vector.ntime,
        };
        let difficulty = Arc::new(ShareDifficulty::new(difficulty).unwrap());
        let extranonce1 = hex::decode(vector.extranonce1).unwrap();
        IssuedJob::new(
            Arc::new(Job::new(1, 1, parts)),
            difficulty,
            &extranonce1,
            vector.share.extranonce2.len() / 2,
        )
    }

    #[test]
    fn real_shares_hash_to_their_known_hashes() {
        for vector in [SLUSH, BITAXE, SIGNET] {
            let accepted = issue(&vector, 1.0).judge(vector.share, BIP310).unwrap();
            let mut display = accepted.hash;
            display.reverse();
            assert_eq!(hex::encode(display), vector.hash);
            assert_eq!(accepted.is_block, vector.is_block, "{}", vector.hash);
        }
    }

    #[test]
    fn real_shares_meet_their_difficulty_and_no_greater() {
        for (vector, below, above) in [
            (SLUSH, 7.8857, 7.8858),
            (BITAXE, 669.868, 669.869),
            (SIGNET, 318.402, 318.403),
        ] {
            assert!(issue(&vector, below).judge(vector.share, BIP310).is_ok());
            assert_eq!(
                issue(&vector, above).judge(vector.share, BIP310),
                Err(Reject::LowDifficulty)
            );
        }
    }

    #[test]
    fn wrong_fields_are_refused_by_name() {
        let share = BITAXE.share;
        for (wrong, expected) in [
            (
                ShareFields {
                    extranonce2: "080000",
                    ..share
                },
                Reject::Params("extranonce2"),
            ),
            (
                ShareFields {
                    extranonce2: "c708000000",
                    ..share
                },
                Reject::Params("extranonce2"),
            ),
            (
                ShareFields {
                    extranonce2: "c70800zz",
                    ..share
                },
                Reject::Params("extranonce2"),
            ),
            (
                ShareFields {
                    nonce: "zzzzzzzz",
                    ..share
                },
                Reject::Params("nonce"),
            ),
            (
                ShareFields {
                    nonce: "+d460d91",
                    ..share
                },
                Reject::Params("nonce"),
            ),
            (ShareFields { ntime: "", ..share }, Reject::Params("ntime")),
            (
                ShareFields {
                    version_bits: Some("000002000"),
                    ..share
                },
                Reject::Params("version bits"),
            ),
            (
                ShareFields {
                    ntime: "64b3f3eb",
                    ..share
                },
                Reject::Ntime,
            ),
            (
                ShareFields {
                    ntime: "64b4100d",
                    ..share
                },
                Reject::Ntime,
            ),
            (
                ShareFields {
                    ntime: "64b4100c",
                    ..share
                },
                Reject::LowDifficulty,
            ),
            (
                ShareFields {
                    version_bits: Some("20002000"),
                    ..share
                },
                Reject::VersionBits,
            ),
            (
                ShareFields {
                    version_bits: Some("00002001"),
                    ..share
                },
                Reject::VersionBits,
            ),
            (
                ShareFields {
                    version_bits: None,
                    ..share
                },
                Reject::LowDifficulty,
            ),
            (
                ShareFields {
                    nonce: "910d46ed",
                    ..share
                },
                Reject::LowDifficulty,
            ),
            (
                ShareFields {
                    extranonce2: "000008c7",
                    ..share
                },
                Reject::LowDifficulty,
            ),
        ] {
            assert_eq!(
                issue(&BITAXE, 512.0).judge(wrong, BIP310),
                Err(expected),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_share_written_differently_is_a_duplicate() {
        let issued = issue(&BITAXE, 512.0);
        issued.judge(BITAXE.share, BIP310).unwrap();
        let disguised = ShareFields {
            extranonce2: "C7080000",
            ntime: "64B3F3EC",
            nonce: "ED460D91",
            version_bits: Some("2000"),
        };
        assert_eq!(issued.judge(disguised, BIP310), Err(Reject::Duplicate));
    }

    #[test]
    fn dialects_differ_where_the_job_has_bits_in_the_mask() {
        // Rows: version bits submitted for a job whose version already has the bit 0x2000; which dialects then hash 0x20002000.
        let job = Vector {
            version: 0x2000_2000,
            ..BITAXE
        };
        for (bits, bip310, or, xor) in [
            ("00002000", true, true, false),
            ("00000000", false, true, true),
        ] {
            let share = ShareFields {
                version_bits: Some(bits),
                ..job.share
            };
            for (dialect, hits) in [
                (VersionDialect::Bip310, bip310),
                (VersionDialect::Or, or),
                (VersionDialect::Xor, xor),
            ] {
                let rules = VersionRules {
                    mask: 0x1fff_e000,
                    dialect,
                };
                assert_eq!(
                    issue(&job, 512.0).judge(share, rules).is_ok(),
                    hits,
                    "{dialect:?} {bits}"
                );
            }
        }
    }
}
