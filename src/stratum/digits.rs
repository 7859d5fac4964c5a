//! Short hex numbers as they stand in a share: eight digits at once, in one register.
//!
//! A share has three to five fields of eight digits. Crates that decode hex by vectors are made for long texts; for eight digits
//! a word of the CPU is the vector (the shape is Langdale's and Muła's, 2022: classify, then pull the nibbles together).

/// A byte in every lane of a word.
pub(super) const fn lanes(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The highest bit of every lane: the answer to a question about it.
pub(super) const YES: u64 = lanes(0x80);

/// The number that eight hex digits of any case are.
#[inline]
pub(super) fn eight_digits(text: &[u8; 8]) -> Option<u32> {
    let word = u64::from_le_bytes(*text);
    let ascii = word & lanes(0x7f);
    // Sums stay below 256 in each lane and carry into no other; the top bit says that the lane is at least 0x80 minus the summand.
    let digit = (ascii + lanes(0x80 - b'0')) & !(ascii + lanes(0x80 - (b'9' + 1)));
    let lower = ascii | lanes(0x20);
    let letter = (lower + lanes(0x80 - b'a')) & !(lower + lanes(0x80 - (b'f' + 1)));
    if (digit | letter) & !word & YES != YES {
        return None;
    }
    let nibbles = (word & lanes(0x0f)) + 9 * ((letter & YES) >> 7);
    // The first digit is in the lowest lane.
    let bytes = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some(((halves | halves >> 16) as u32).swap_bytes())
}

/// One to eight hex digits of any case. (`from_str_radix` alone would take a sign.)
#[inline]
pub(crate) fn hex_u32(text: impl AsRef<[u8]>) -> Option<u32> {
    let text = text.as_ref();
    if let Ok(eight) = text.try_into() {
        return eight_digits(eight);
    }
    if !(1..8).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// The bytes that hex of any case stands for, into the front of a buffer; yields how many. `None` if it is not hex, of odd
/// length, or too long.
#[inline]
pub(crate) fn hex_bytes(text: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let len = text.len() / 2;
    let bytes = buffer.get_mut(..len)?;
    let (eights, rest) = text.as_chunks::<8>();
    let (words, last) = bytes.as_chunks_mut::<4>();
    for (word, eight) in words.iter_mut().zip(eights) {
        *word = eight_digits(eight)?.to_be_bytes();
    }
    hex::decode_to_slice(rest, last).ok()?;
    Some(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn eight_digits_are_taken_as_the_standard_library_takes_them() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut text = *b"0123abCD";
                text[at] = byte;
                let is_hex = text.iter().all(u8::is_ascii_hexdigit);
                let want = std::str::from_utf8(&text).ok().filter(|_| is_hex);
                let want = want.and_then(|text| u32::from_str_radix(text, 16).ok());
                assert_eq!(eight_digits(&text), want, "{:?}", text.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn one_to_eight_digits_make_a_number() {
        for (text, want) in [
            ("", None),
            ("7", Some(7)),
            ("57c02", Some(0x57c02)),
            ("FFFFFFFF", Some(u32::MAX)),
            ("123456789", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("1_0", None),
        ] {
            assert_eq!(hex_u32(text.as_bytes()), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_are_those_that_the_hex_crate_reads(text in "[0-9a-fA-F]{0,40}|[0-9a-gA-G+\" ]{0,40}") {
            let mut ours = [0; 16];
            let mut theirs = [0; 16];
            let len = text.len() / 2;
            let want = theirs.get_mut(..len).is_some_and(|bytes| hex::decode_to_slice(&text, bytes).is_ok());
            let got = hex_bytes(text.as_bytes(), &mut ours);
            prop_assert_eq!(got, want.then_some(len));
            if want {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
