//! A web server is asked politely, and followed nowhere else.

use std::{sync::Arc, time::Duration};

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::{
    site::{Live, SECRET},
    web::{Answer, Web},
};

fn signal(url: &str, more: &str) -> String {
    format!("[[signal]]\nunit = \"USD/MWh\"\nkind = \"http_json\"\nurl = {url}\nvalue = \"/price\"\n{more}\n")
}

fn price(value: f64) -> Answer {
    Answer::json(format!("{{\"price\":{value}}}"))
}

#[tokio::test]
async fn it_asks_whether_something_has_changed() {
    let web = Web::start().await;
    let first = price(40.0).header("etag", "\"a\"").header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    web.answers("/p", [first, Answer::status(304), Answer::status(304), price(41.0)]);
    let live = Live::start(&signal(&format!("{:?}", web.url("/p")), ""));
    live.wait("the new price", |view| view.reading.fresh() == Some(41.0)).await;
    let asked = web.asked();
    assert!(asked[0].headers.get("if-none-match").is_none());
    for again in &asked[1..4] {
        assert_eq!(again.headers["if-none-match"], "\"a\"");
        assert_eq!(again.headers["if-modified-since"], "Thu, 01 Jan 2026 00:00:00 GMT");
    }
    let view = live.wait("no refusal", |_| true).await;
    assert!(view.refused.is_empty(), "304 is an answer: {view:?}");
    live.stop().await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it() {
    let web = Web::start().await;
    web.answers("/p", [price(40.0), Answer::status(429).header("retry-after", "1"), price(41.0)]);
    let live = Live::start(&signal(&format!("{:?}", web.url("/p")), ""));
    live.wait("the new price", |view| view.reading.fresh() == Some(41.0)).await;
    let asked = web.asked();
    assert!(asked[2].at.duration_since(asked[1].at) >= Duration::from_secs(1));
    live.stop().await;
}

#[tokio::test]
async fn a_redirect_on_the_same_server_is_followed_and_a_ring_is_not() {
    let web = Web::start().await;
    web.answers("/old", [Answer::status(301).header("location", "/new?a=b")]);
    web.answers("/new", [price(40.0)]);
    let headers = "headers = { X-Key = \"${KEY}\" }";
    let live = Live::start(&signal(&format!("{:?}", web.url("/old")), headers));
    assert_eq!(live.value().await, 40.0);
    assert!(web.asked().iter().all(|asked| asked.headers["x-key"] == SECRET));
    live.stop().await;

    web.answers("/ring", [Answer::status(302).header("location", "/ring")]);
    let live = Live::start(&signal(&format!("{:?}", web.url("/ring")), ""));
    live.refused("redirect", 1).await;
    live.stop().await;
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let web = Web::start().await;
    web.answers("/p", [Answer::json("[".repeat(2 << 20))]);
    let live = Live::start(&signal(&format!("{:?}", web.url("/p")), ""));
    live.refused("too_large", 1).await;
    live.stop().await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("\"http://{}/p\"", silent.local_addr().unwrap());
    let live = Live::start(&signal(&url, "timeout = \"100ms\""));
    let view = live.refused("unreachable", 1).await;
    let (_, why) = view.sources[0].refusal.clone().unwrap();
    assert!(why.to_string().contains("no answer in 100ms"), "{why}");
    live.stop().await;
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_fails() {
    let web = Web::start().await;
    web.answers("/bad", [Answer::status(503)]);
    web.answers("/good", [price(40.0)]);
    let urls = format!("[{:?}, {:?}]", web.url("/bad"), web.url("/good"));
    let live = Live::start(&signal(&urls, ""));
    assert_eq!(live.value().await, 40.0);
    let view = live.refused("failed", 1).await;
    assert_eq!(view.refused["failed"], 1, "the one that works is stayed with: {view:?}");
    live.stop().await;
}

/// A server with a certificate of its own making that answers everything with a price.
async fn in_tls() -> (String, String) {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fingerprint = hex::encode(Sha256::digest(certificate.cert.der()));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("\"https://{}/p\"", socket.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 14\r\n\r\n{\"price\": 40 }";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, fingerprint)
}

#[tokio::test]
async fn a_certificate_is_checked() {
    let (url, fingerprint) = in_tls().await;
    let live = Live::start(&signal(&url, &format!("tls_fingerprint = \"sha256:{fingerprint}\"")));
    assert_eq!(live.value().await, 40.0);
    live.stop().await;

    let live = Live::start(&signal(&url, &format!("tls_fingerprint = \"sha256:{}\"", "ab".repeat(32))));
    let view = live.refused("unreachable", 1).await;
    let (_, why) = view.sources[0].refusal.clone().unwrap();
    assert!(why.to_string().contains(&fingerprint), "{why}");
    live.stop().await;
}
