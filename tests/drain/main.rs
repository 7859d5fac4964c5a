//! Machines are put to sleep and woken without losing a share, their power goes to AI compute and comes back, and a restart in the middle
//! goes on: the whole proxy over real sockets, with doubles for firmware and AI compute.

mod world;

use hashgate::power::{
    group::Phase,
    receipt::{Move, Outcome},
    site::LeaseOrder,
};

use self::world::{ASLEEP_W, AWAKE_W, MACHINES, World, eventually};

/// Everything that was found good was settled as accepted.
fn is_whole(bill: &hashgate::power::receipt::ShareBill) -> bool {
    bill.in_flight_at_start + bill.submitted == bill.accepted + bill.in_flight_at_end
        && (bill.rejected, bill.timed_out) == (0, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_moves_the_farms_power_to_ai_compute_and_back_and_no_share_is_lost() {
    let world = World::start("active").await;
    world.shows("the devices are found and measured", |snapshot| {
        let group = snapshot.site.groups[0].as_ref().unwrap();
        group.devices == MACHINES && group.measured == MACHINES
    })
    .await;
    world.says(true).await;
    eventually("shares flow", || world.proxy().totals().accepted > 50).await;
    assert_eq!(world.firmware.commands(), [], "who mines is not told to");

    world.says(false).await;
    world.is_in(Phase::Asleep).await;
    assert_eq!(world.firmware.sleeping(), MACHINES);
    let receipt = world.receipt().await;
    assert_eq!((receipt.kind, receipt.outcome), (Move::Drain, Outcome::Done), "{receipt:#?}");
    assert_eq!((receipt.devices.asked, receipt.devices.confirmed), (MACHINES as u64, MACHINES as u64));
    assert!(is_whole(&receipt.shares), "{:#?}", receipt.shares);
    assert_eq!(receipt.shares.in_flight_at_end, 0);
    assert_eq!(receipt.watts.before_w, AWAKE_W * MACHINES as f64);
    assert_eq!(receipt.watts.after_w, ASLEEP_W * MACHINES as f64);
    assert!(receipt.why.contains("unprofitable") || receipt.why.starts_with("drain"), "{}", receipt.why);

    eventually("AI compute has the power", || world.gpus.leased() == 20_000.0).await;
    world.shows("its lease", |snapshot| snapshot.site.blocks[0].as_ref().unwrap().granted.get() == 20_000.0).await;
    let slept = world.proxy().totals().accepted;

    world.says(true).await;
    world.is_in(Phase::Mining).await;
    assert_eq!((world.firmware.sleeping(), world.gpus.leased()), (0, 0.0));
    let receipt = world.receipt().await;
    assert_eq!((receipt.kind, receipt.outcome), (Move::Wake, Outcome::Done), "{receipt:#?}");
    // The power was asked back and returned before anybody was told to wake.
    let told = world.gpus.told();
    assert!(matches!(told.last().unwrap().what, LeaseOrder::Revoke { .. }), "{told:?}");
    eventually("shares flow again", || world.proxy().totals().accepted > slept + 20).await;
    let sleeps = world.firmware.commands().iter().filter(|(_, sleeps)| *sleeps).count();
    assert_eq!((sleeps, world.firmware.commands().len()), (MACHINES, 2 * MACHINES), "each is told once each way");
    world.no_share_is_lost().await;
}
