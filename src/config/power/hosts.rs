//! Lists of hosts as Slurm writes them, taken apart: `gpu[01-03,07],login1` is five hosts.
//!
//! A range keeps the zeros of its first number, so that `[08-11]` is 08, 09, 10, 11. Several brackets in one name are all their
//! combinations, as in `rack[1-2]n[1-4]`. Knows no host and no Slurm.
//!
//! Limits: what a list may expand to is the caller's, a name has [`MAX_HOST_BYTES`]; what is over either is told before it takes any memory.

use crate::config::error::{Wrong, shown};

/// Bytes of a host's name, as in DNS.
const MAX_HOST_BYTES: usize = 63;

/// Digits of a number in a range: more hosts than any cluster has.
const MAX_DIGITS: usize = 9;

const HELP: &str = "write a name, or a list as Slurm has them: \"gpu[01-08]\", \"gpu[01-04,07],login1\"";

/// The hosts of a list, in its order; at most `most`.
pub(super) fn expand(list: &str, most: usize) -> Result<Vec<String>, Wrong> {
    let mut hosts = Vec::new();
    for item in split(list)? {
        let mut names = vec![String::new()];
        let mut rest = item;
        while !rest.is_empty() {
            let (plain, after) = rest.split_at(rest.find('[').unwrap_or(rest.len()));
            if let Some(odd) = plain.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c))) {
                return Err(Wrong::new(format!("{} has {odd:?} in it, which no host has", shown(list)), HELP));
            }
            names.iter_mut().for_each(|name| name.push_str(plain));
            let Some(after) = after.strip_prefix('[') else { break };
            let Some((ranges, after)) = after.split_once(']') else { return Err(unclosed(list)) };
            names = with_each(&names, ranges, list, most)?;
            rest = after;
        }
        if let Some(name) = names.iter().find(|name| name.is_empty() || name.len() > MAX_HOST_BYTES) {
            let what = format!("{} names a host of {} characters", shown(list), name.len());
            return Err(Wrong::new(what, format!("write names of 1 to {MAX_HOST_BYTES}, without a comma too many")));
        }
        hosts.append(&mut names);
        if hosts.len() > most {
            return Err(too_many(list, most));
        }
    }
    Ok(hosts)
}

/// At the commas that are in no brackets.
fn split(list: &str) -> Result<Vec<&str>, Wrong> {
    let (mut items, mut begin, mut is_open) = (Vec::new(), 0, false);
    for (at, c) in list.char_indices() {
        match c {
            '[' if is_open => return Err(Wrong::new(format!("{} has brackets in brackets", shown(list)), HELP)),
            ']' if !is_open => return Err(unclosed(list)),
            '[' => is_open = true,
            ']' => is_open = false,
            ',' if !is_open => {
                items.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    items.push(&list[begin..]);
    if is_open { Err(unclosed(list)) } else { Ok(items) }
}

/// Each name with each number of the ranges behind it.
fn with_each(names: &[String], ranges: &str, list: &str, most: usize) -> Result<Vec<String>, Wrong> {
    let mut numbers = Vec::new();
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let is_number =
            |text: &str| (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(from), Ok(to)) if is_number(first) && is_number(last) && from <= to => (from, to),
            _ => {
                let what = format!("{} has {} in brackets, which is no range", shown(list), shown(range));
                return Err(Wrong::new(what, HELP));
            }
        };
        let count = (to - from).saturating_add(1).saturating_add(numbers.len());
        if count.saturating_mul(names.len()) > most {
            return Err(too_many(list, most));
        }
        numbers.extend((from..=to).map(|number| format!("{number:0width$}", width = first.len())));
    }
    Ok(names.iter().flat_map(|name| numbers.iter().map(move |number| format!("{name}{number}"))).collect())
}

fn unclosed(list: &str) -> Wrong {
    Wrong::new(format!("{} has a bracket without its other half", shown(list)), HELP)
}

fn too_many(list: &str, most: usize) -> Wrong {
    Wrong::new(format!("{} is more than {most} hosts", shown(list)), "write fewer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &str) -> String {
        match expand(list, 100) {
            Ok(hosts) => hosts.join(" "),
            Err(wrong) => format!("{wrong:?}"),
        }
    }

    #[test]
    fn lists_are_read_as_slurm_reads_them() {
        for (list, wanted) in [
            ("gpu1", "gpu1"),
            ("gpu[01-03,07],login1", "gpu01 gpu02 gpu03 gpu07 login1"),
            ("gpu[8-11]", "gpu8 gpu9 gpu10 gpu11"),
            ("gpu[08-11]", "gpu08 gpu09 gpu10 gpu11"),
            ("r[1-2]n[1-2]-ib", "r1n1-ib r1n2-ib r2n1-ib r2n2-ib"),
            ("a.b_c-d", "a.b_c-d"),
        ] {
            assert_eq!(hosts(list), wanted);
        }
        assert_eq!(expand("gpu[001-100]", 100).unwrap().len(), 100);
    }

    #[test]
    fn what_is_no_list_says_why() {
        for (list, why) in [
            ("", "0 characters"),
            ("a,,b", "0 characters"),
            ("gpu[1-3", "without its other half"),
            ("gpu1-3]", "without its other half"),
            ("gpu[1-[2]]", "brackets in brackets"),
            ("gpu[3-1]", "no range"),
            ("gpu[]", "no range"),
            ("gpu[a-b]", "no range"),
            ("gpu[+1-2]", "no range"),
            ("gpu[1-2-3]", "no range"),
            ("gpu[1-99999999999999999999]", "no range"),
            ("gpu 1", "which no host has"),
            ("gpu1;reboot", "which no host has"),
            ("gpu[1-101]", "more than 100 hosts"),
            ("a[1-999999999]", "more than 100 hosts"),
            ("a[1-11]b[1-11]", "more than 100 hosts"),
            ("a[1-60],b[1-60]", "more than 100 hosts"),
        ] {
            assert!(hosts(list).contains(why), "{list}: {}", hosts(list));
        }
        assert!(hosts(&"x".repeat(64)).contains("64 characters"));
    }
}
