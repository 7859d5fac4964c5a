//! Who shows no token keeps nobody out.

use std::time::Instant;

use axum::http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::site::{CONTROL, LIMIT, Site};

/// More than there are places for all connections.
const CROWD: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_gives_way() {
    let site = Site::start().await;
    // One that is known before keeps its connection.
    let mut friend = TcpStream::connect(site.address).await.unwrap();
    let request = format!("GET /api/v1/power HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CONTROL}\r\n\r\n");
    friend.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(LIMIT, friend.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    let begun = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(site.address).await.unwrap());
    }
    let (status, _) = timeout(LIMIT, site.ask(Method::GET, "/api/v1/power", Some(CONTROL), "")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    // The head of a request has ten seconds: it did not wait for these to pass.
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    // The oldest of the crowd were sent away, and that is counted.
    let mut byte = [0];
    assert_eq!(timeout(LIMIT, crowd[0].read(&mut byte)).await.unwrap().unwrap_or(0), 0);
    assert!(site.refused("crowded") >= (CROWD - 32) as u64, "{}", site.refused("crowded"));

    friend.write_all(request.as_bytes()).await.unwrap();
    let mut rest = vec![0; 65_536];
    let read = timeout(LIMIT, friend.read(&mut rest)).await.unwrap().unwrap();
    assert!(read > 0, "a friend's connection stays open");
}
