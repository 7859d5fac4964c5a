//! Sockets: many machines with an address each, and many machines behind one address.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State};
use hashgate::{config::HttpMethod, power::actuator::TURNS};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    server::Server,
    world::{LIMIT, call, http_json, rig, target},
};

/// Machines; each has an address of its own on loopback.
const MACHINES: u8 = 200;

/// Sockets that some process here holds open to servers at this port. (Columns: `man 5 proc_net_tcp`; what is closed and not yet
/// forgotten by the system has no inode.)
fn open_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_ours = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[2].ends_with(&format!(":{port:04X}")) && columns[9] != "0"
    };
    table.lines().skip(1).filter(is_ours).count()
}

async fn until_none_is_open_to(port: u16) {
    let begin = Instant::now();
    while open_to(port) > 0 {
        assert!(begin.elapsed() < LIMIT, "{} sockets stay open", open_to(port));
        sleep(Duration::from_millis(5)).await;
    }
}

/// A server at each address, all at the same port.
async fn servers() -> (u16, Vec<IpAddr>) {
    let addresses: Vec<IpAddr> = (1..=MACHINES).map(|last| Ipv4Addr::new(127, 7, 7, last).into()).collect();
    // The port that the first one gets may be somebody's at another address: then all is tried again.
    'ports: for _ in 0..20 {
        let mut sockets = Vec::new();
        let mut port = 0;
        for address in &addresses {
            let Ok(socket) = TcpListener::bind((*address, port)).await else { continue 'ports };
            port = socket.local_addr().unwrap().port();
            sockets.push(socket);
        }
        for socket in sockets {
            Server::on(socket, |_| "{\"power\": 3400}");
        }
        return (port, addresses);
    }
    panic!("no port is free at all addresses");
}

#[tokio::test]
async fn many_machines_are_not_many_sockets() {
    let (port, addresses) = servers().await;
    let meter = http_json(call(HttpMethod::Get, &format!("http://{{ip}}:{port}/")), LIMIT);
    for (index, address) in addresses.iter().enumerate() {
        let machine = target("rig", &address.to_string(), "");
        assert_eq!(meter.ask(&machine).await.unwrap().watts.get(), 3400.0);
        // What was answered is over, but for the last few.
        assert!(open_to(port) <= 8, "{} open after {index} machines", open_to(port));
    }
    until_none_is_open_to(port).await;
}

#[tokio::test]
async fn calls_that_were_given_up_leave_no_socket() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let meter = http_json(call(HttpMethod::Get, &format!("http://{{ip}}:{port}/")), Duration::from_millis(50));
    for _ in 0..20 {
        assert!(meter.ask(&rig("w")).await.is_err());
    }
    until_none_is_open_to(port).await;
}

#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
    connections: AtomicUsize,
}

#[tokio::test]
async fn a_server_of_many_machines_is_not_asked_by_all_at_once() {
    let load = Arc::new(Load::default());
    let handle = async |State(load): State<Arc<Load>>| {
        let now = load.now.fetch_add(1, SeqCst) + 1;
        load.most.fetch_max(now, SeqCst);
        sleep(Duration::from_millis(5)).await;
        load.now.fetch_sub(1, SeqCst);
        "{\"power\": 3400}"
    };
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{{device}}", socket.local_addr().unwrap());
    let router = Router::new().fallback(handle).with_state(load.clone());
    let counted = load.clone();
    let listener = axum::serve::ListenerExt::tap_io(socket, move |_| {
        counted.connections.fetch_add(1, SeqCst);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let meter = http_json(call(HttpMethod::Get, &url), LIMIT);
    let mut asked = JoinSet::new();
    for index in 0..100 {
        let meter = meter.clone();
        asked.spawn(async move { meter.ask(&target(&format!("rig{index}"), "", "")).await.unwrap().watts.get() });
    }
    assert!(asked.join_all().await.into_iter().all(|watts| watts == 3400.0));
    assert_eq!(load.most.load(SeqCst), TURNS);
    assert!(
        load.connections.load(SeqCst) <= 2 * TURNS,
        "connections are used again: {}",
        load.connections.load(SeqCst)
    );
}
