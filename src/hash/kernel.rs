//! A [`Kernel`]: the passes that this CPU can run, and which of them to take for a batch of any length.
//!
//! ```text
//! batch of 23 ── 16 ── avx512 x16          table: shares left -> pass
//!             └─  7 ── shani-vl x4          made from what each pass costs here (`select.rs`),
//!                 └ 3 ─ shani-vl x3         so that the whole batch costs least
//! ```
//!
//! No call allocates. A batch may have any length; each pass takes its blocks from the stack.

use super::{
    KernelError,
    pass::Pass,
    plan::{Digest, HeaderInput, MAX_EXTRANONCE, Plan, ShareInput},
};

/// The widest pass there is.
pub(super) const MAX_WIDTH: usize = 16;

/// Hashes shares, many of one work at once, by the pass that costs least for as many as there are.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    pub(super) failure: Option<KernelError>,
    pub(super) passes: Vec<Pass>,
    /// For each number of shares left, from 1 on, the index of the pass to take; for more, that of [`MAX_WIDTH`].
    table: [u8; MAX_WIDTH],
}

impl Kernel {
    /// Puts passes together, each with its cost in any unit. One of them has width 1.
    pub(super) fn new(name: &'static str, reason: &'static str, passes: Vec<Pass>, costs: &[u64]) -> Self {
        let table = table(&passes, costs);
        Self { name, reason, failure: None, passes, table }
    }

    /// What `HASHGATE_KERNEL` calls it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Why it is this one, for the log.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The self-test that a better kernel did not pass, which says that this CPU or its hypervisor is broken: for the log.
    pub fn failure(&self) -> Option<&KernelError> {
        self.failure.as_ref()
    }

    /// The passes that it takes, for the log: where each batch length begins to use another, as in `1: shani x1, 2: shani x2`.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut before = None;
        for (at, &pass) in self.table.iter().enumerate() {
            if before.replace(pass) != Some(pass) {
                let separator = if at == 0 { "" } else { ", " };
                text.push_str(&format!("{separator}{}: {}", at + 1, self.passes[usize::from(pass)].name));
            }
        }
        text
    }

    /// Merkle roots, one for each extranonce.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn merkle_roots(&self, plan: &Plan, extranonces: &[[u8; MAX_EXTRANONCE]], out: &mut [Digest]) {
        assert_eq!(extranonces.len(), out.len(), "a root for each extranonce");
        self.split(out.len(), |pass, from, to| (pass.merkle_roots)(plan, &extranonces[from..to], &mut out[from..to]));
    }

    /// Block hashes of headers, each with its merkle root.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn headers(&self, plan: &Plan, roots: &[Digest], inputs: &[HeaderInput], out: &mut [Digest]) {
        assert!(roots.len() == out.len() && inputs.len() == out.len(), "a root and a hash for each header");
        self.split(out.len(), |pass, from, to| {
            (pass.headers)(plan, &roots[from..to], &inputs[from..to], &mut out[from..to]);
        });
    }

    /// Block hashes of shares, from the extranonce to the header.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn hash_shares(&self, plan: &Plan, shares: &[ShareInput], out: &mut [Digest]) {
        assert_eq!(shares.len(), out.len(), "a hash for each share");
        self.split(out.len(), |pass, from, to| {
            let mut extranonces = [[0; MAX_EXTRANONCE]; MAX_WIDTH];
            let mut inputs = [HeaderInput::default(); MAX_WIDTH];
            let mut roots = [Digest::default(); MAX_WIDTH];
            let width = to - from;
            for (at, share) in shares[from..to].iter().enumerate() {
                extranonces[at] = share.extranonce;
                inputs[at] = share.header;
            }
            (pass.merkle_roots)(plan, &extranonces[..width], &mut roots[..width]);
            (pass.headers)(plan, &roots[..width], &inputs[..width], &mut out[from..to]);
        });
    }

    /// Cuts a batch of `len` into what passes take.
    fn split(&self, len: usize, mut run: impl FnMut(&Pass, usize, usize)) {
        let mut from = 0;
        while from < len {
            let left = len - from;
            let pass = &self.passes[usize::from(self.table[left.min(MAX_WIDTH) - 1])];
            let to = from + pass.width.min(left);
            run(pass, from, to);
            from = to;
        }
    }
}

/// For 1 to [`MAX_WIDTH`] shares, the pass to begin with so that all of them cost least.
fn table(passes: &[Pass], costs: &[u64]) -> [u8; MAX_WIDTH] {
    let mut table = [0; MAX_WIDTH];
    let mut total = [0; MAX_WIDTH + 1];
    for shares in 1..=MAX_WIDTH {
        let (cost, pass) = passes
            .iter()
            .zip(costs)
            .enumerate()
            .map(|(at, (pass, cost))| (cost.saturating_add(total[shares.saturating_sub(pass.width)]), at as u8))
            // Of equals the last, which is the widest.
            .min_by_key(|&(total, at)| (total, std::cmp::Reverse(at)))
            .expect("every kernel has passes");
        (total[shares], table[shares - 1]) = (cost, pass);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(width: usize) -> Pass {
        Pass { name: "", width, merkle_roots: |_, _, _| (), headers: |_, _, _, _| () }
    }

    fn widths(passes: &[(usize, u64)]) -> [usize; MAX_WIDTH] {
        let costs: Vec<u64> = passes.iter().map(|&(_, cost)| cost).collect();
        let passes: Vec<Pass> = passes.iter().map(|&(width, _)| pass(width)).collect();
        table(&passes, &costs).map(|at| passes[usize::from(at)].width)
    }

    #[test]
    fn a_wide_pass_is_taken_from_where_it_costs_less_than_the_narrow_ones() {
        let table = widths(&[(1, 22), (2, 33), (4, 62), (16, 116)]);
        assert_eq!(table[..6], [1, 2, 2, 4, 4, 4], "three cost 33 + 22, six 62 + 33");
        assert_eq!(table[6..], [16; 10], "seven would cost 62 + 33 + 22");
    }

    #[test]
    fn five_are_not_cut_into_four_and_a_slow_one() {
        assert_eq!(widths(&[(1, 22), (2, 32), (3, 47), (4, 62)])[4], 3);
    }
}
