//! The share check takes nothing from the heap for a share: not to hash it, not to judge it, alone or with others.

#[path = "../benches/rig/mod.rs"]
mod rig;

use hashgate::work::{HashBatch, JobWindow, LiveJob, MAX_BATCH, Reject, Submission, Terms};

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// A window's memory of seen shares grows in steps, each to twice as many. It grows for the 449th and not again before the 897th
/// (the standard library's tables are filled to seven eighths of a power of two).
const WARM: usize = 460;
const MEASURED: usize = 416;

/// The most that was taken from the heap at any moment of the call, beyond what was there before.
fn taken_by(call: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    call();
    HEAP.peak_usage() - before
}

#[test]
fn a_share_takes_nothing_from_the_heap() {
    let series = rig::Works::new().series(&rig::job(1e6));
    let judge = rig::judge(1);
    let mut window = JobWindow::default();
    window.push(LiveJob::new(series.first().clone(), Terms::of(rig::difficulty())));
    let shares = rig::shares(&series, 1, WARM + MEASURED);
    let (warm, measured) = shares.split_at(WARM);
    let (one_by_one, together) = measured.split_at(MEASURED / 2);

    let count_valid = |window: &mut JobWindow, shares: &[Submission]| {
        shares.iter().filter(|share| judge.judge(window, share).verdict.is_ok()).count()
    };
    assert_eq!(count_valid(&mut window, warm), WARM);
    assert!(taken_by(|| drop(std::hint::black_box(vec![0_u8; 1]))) > 0, "the heap is watched");

    let taken = taken_by(|| assert_eq!(count_valid(&mut window, one_by_one), one_by_one.len()));
    assert_eq!(taken, 0, "bytes for valid shares, one by one");

    let mut batch = HashBatch::default();
    let taken = taken_by(|| {
        for shares in together.chunks(MAX_BATCH) {
            for share in shares {
                batch.add(&judge, &window, share).expect("room for sixteen").expect("a hash");
            }
            batch.hash(&window);
            for (place, share) in shares.iter().enumerate() {
                let hash = batch.take(place, &mut window);
                assert!(judge.judge_hashed(&mut window, share, Some(hash)).verdict.is_ok());
            }
            batch.clear();
        }
    });
    assert_eq!(taken, 0, "bytes for valid shares, together");

    let taken = taken_by(|| {
        for share in &shares {
            assert_eq!(judge.judge(&mut window, share).verdict, Err(Reject::Duplicate));
            let wrong = Submission { ntime: 0, ..*share };
            assert_eq!(judge.judge(&mut window, &wrong).verdict, Err(Reject::Ntime));
        }
    });
    assert_eq!(taken, 0, "bytes for rejected shares");
}
