//! What a pool's job says of the block it is for: its height, what its coinbase pays out, whether it has transactions.
//!
//! ```text
//! version 4 │ inputs 1 │ outpoint 36 │ script length │ height (BIP 34) … extranonces … │ sequence 4 │ outputs │ locktime 4
//! ```
//! Reads the coinbase as Bitcoin Core serialises transactions, without witness; knows nothing of what a bitcoin is worth.
//! Limits: a coinbase of [`MAX_COINBASE`] bytes.

use super::Job;

/// Bytes of a coinbase that is read: pools that pay out in it come to a few dozen KiB.
const MAX_COINBASE: usize = 128 * 1024;

/// Blocks between two halvings of the subsidy.
const HALVING: u32 = 210_000;

/// The first subsidy, in satoshis.
const FIRST_SUBSIDY_SAT: u64 = 50 * 100_000_000;

/// What a job says of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// The block's height.
    pub height: u32,
    /// All outputs of the coinbase, in satoshis: subsidy and fees.
    pub paid_sat: u64,
    /// Whether the coinbase is its only transaction.
    pub is_empty: bool,
}

impl Template {
    /// From a job of a pool that grants `extranonce2_size` bytes. `None` if its coinbase is not one that we can read.
    pub fn of(job: &Job, extranonce2_size: usize) -> Option<Self> {
        let notify = &job.notify;
        let extranonces = job.extranonce1.len().checked_add(extranonce2_size)?;
        let len = notify.coinb1.len() + extranonces + notify.coinb2.len();
        if len > MAX_COINBASE {
            return None;
        }
        // What the extranonces are does not matter here, only how long they are.
        let mut coinbase = Vec::with_capacity(len);
        coinbase.extend_from_slice(&notify.coinb1);
        coinbase.resize(coinbase.len() + extranonces, 0);
        coinbase.extend_from_slice(&notify.coinb2);
        let (height, paid_sat) = read(&coinbase)?;
        Some(Self { height, paid_sat, is_empty: notify.branches.is_empty() })
    }

    /// The subsidy of its height (Bitcoin Core `GetBlockSubsidy`), in satoshis.
    pub fn subsidy_sat(&self) -> u64 {
        FIRST_SUBSIDY_SAT.checked_shr(self.height / HALVING).unwrap_or(0)
    }
}

fn read(coinbase: &[u8]) -> Option<(u32, u64)> {
    let mut rest = coinbase;
    take(&mut rest, 4)?;
    if take(&mut rest, 1)? != [1] {
        return None;
    }
    take(&mut rest, 36)?;
    let script_len = compact_size(&mut rest)?;
    let height = height(take(&mut rest, usize::try_from(script_len).ok()?)?)?;
    take(&mut rest, 4)?;
    let mut paid = 0_u64;
    for _ in 0..compact_size(&mut rest)? {
        let value = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
        paid = paid.checked_add(value)?;
        let script_len = compact_size(&mut rest)?;
        take(&mut rest, usize::try_from(script_len).ok()?)?;
    }
    // Four bytes of locktime, and nothing behind them: else something before was misread.
    (rest.len() == 4).then_some((height, paid))
}

/// The height at the begin of a coinbase's script: a push of a little-endian number (BIP 34). Below 17, an opcode.
fn height(script: &[u8]) -> Option<u32> {
    match *script.first()? {
        0 => Some(0),
        small @ 0x51..=0x60 => Some(u32::from(small - 0x50)),
        len @ 1..=5 => {
            let bytes = script.get(1..1 + usize::from(len))?;
            let number = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            u32::try_from(number).ok()
        }
        _ => None,
    }
}

fn take<'b>(rest: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

/// A number of one to nine bytes (`CompactSize`).
fn compact_size(rest: &mut &[u8]) -> Option<u64> {
    let wide = match take(rest, 1)?[0] {
        small @ 0..=0xfc => return Some(u64::from(small)),
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
    };
    Some(take(rest, wide)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The coinbase of block 840 000, the fourth halving (2024-04-20), in its two outputs as the chain has them: 40.63 BTC, of
    /// which 37.63 were fees.
    fn halving() -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0, 1];
        bytes.extend([0; 32]);
        bytes.extend([0xff; 4]);
        bytes.extend([12, 3, 0x40, 0xd1, 0x0c, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.truncate(4 + 1 + 36 + 1 + 12);
        bytes.extend([0xff; 4]);
        bytes.push(2);
        bytes.extend(4_075_091_620_u64.to_le_bytes());
        bytes.extend([22, 0, 20]);
        bytes.extend([7; 20]);
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend([38, 0x6a, 36]);
        bytes.extend([9; 36]);
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn height_and_payment_are_read() {
        assert_eq!(read(&halving()), Some((840_000, 4_075_091_620)));
    }

    #[test]
    fn the_subsidy_halves() {
        let subsidy = |height| Template { height, paid_sat: 0, is_empty: true }.subsidy_sat();
        assert_eq!(
            [0, 209_999, 210_000, 840_000, 1_050_000, u32::MAX].map(subsidy),
            [5_000_000_000, 5_000_000_000, 2_500_000_000, 312_500_000, 156_250_000, 0]
        );
    }

    #[test]
    fn heights_of_every_length_are_read() {
        assert_eq!(height(&[0]), Some(0));
        assert_eq!(height(&[0x51]), Some(1));
        assert_eq!(height(&[0x60]), Some(16));
        assert_eq!(height(&[1, 17]), Some(17));
        assert_eq!(height(&[2, 0xe8, 0x03]), Some(1000));
        assert_eq!(height(&[3, 0x40, 0xd1, 0x0c]), Some(840_000));
        assert_eq!(height(&[3, 0x40]), None);
        assert_eq!(height(&[]), None);
        assert_eq!(height(&[5, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_coinbase_that_is_cut_or_longer_than_it_says_is_not_read() {
        let whole = halving();
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
        assert_eq!(read(&[&whole[..], &[0]].concat()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
