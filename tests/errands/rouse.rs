//! Pools that wait for their next try are tried when miners are about to wake.

use hashgate::sim::pool::{Fault, SimPool};

use crate::client::Client;
use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_connection_in_its_back_off_dials_at_once() {
    let pool = start(easy()).await;
    // Who is refused tries again after a minute: longer than this test waits for anything.
    pool.fault(Fault::RefuseLogin);
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;
    let dialled = |pool: &SimPool| pool.stats().connections_ever;
    eventually("it was refused", || dialled(&pool) == 1).await;
    for tries in 2..5 {
        // It may not have heard yet that it was refused.
        while dialled(&pool) < tries {
            proxy.errands().rouse().await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        eventually("a word is one try", || dialled(&pool) == tries).await;
    }
    pool.fault(Fault::Resume);
    let live = || proxy.totals().router.pools[0].connections == 1;
    while !live() {
        proxy.errands().rouse().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Client::mining(proxy.addresses()[0]).await;
    // It harms nobody who is connected.
    proxy.errands().rouse().await;
    Client::mining(proxy.addresses()[0]).await;
    assert!(live());
    proxy.shut_down(LIMIT).await;
}
