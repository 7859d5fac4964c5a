//! Servers with certificates that end, of every kind that a proxy connects to in TLS.

use std::{sync::Arc, time::Duration};

use hashgate::{app::Proxy, config::Config};
use jiff::Timestamp;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::{
    promtool::complaints,
    site::{NoEnv, until},
};

/// A server in TLS that says 5 to whatever it is asked.
pub struct Server {
    pub port: u16,
    pub fingerprint: String,
    runs: JoinHandle<()>,
}

impl Server {
    /// Its certificate ends on the fourth of March of a year.
    pub async fn start(year: i32) -> Self {
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let certificate = params.self_signed(&signing_key).unwrap();
        let fingerprint = hex::encode(Sha256::digest(certificate.der()));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let (acceptor, socket) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = socket.local_addr().unwrap().port();
        let runs = tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not trust it goes.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut asked = [0; 4096];
                    if stream.read(&mut asked).await.is_ok_and(|len| len > 0) {
                        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"value\":5}";
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, fingerprint, runs }
    }

    fn pin(&self) -> String {
        format!("tls_fingerprint = \"sha256:{}\"", self.fingerprint)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runs.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_certificates_of_pools_signals_meters_and_ai_compute_end_is_exported() {
    let mut servers = Vec::new();
    for year in 2031..2036 {
        servers.push(Server::start(year).await);
    }
    let [pool, signal, meter, ai, other] = &servers[..] else { unreachable!() };
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[proxy]\nworkers = 1\nstate_file = \"\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\n\
         [[pool]]\nname = \"eu\"\nurl = \"stratum+ssl://localhost:{}\"\nuser = \"u\"\n{}\n\
         [[pool]]\nname = \"strange\"\nurl = \"stratum+ssl://localhost:{}\"\nuser = \"u\"\n{}\n\
         [[signal]]\nname = \"spot\"\nunit = \"USD/MWh\"\nkind = \"http_json\"\nurl = \"https://localhost:{}/\"\nvalue = \"/value\"\npoll = \"1s\"\n{}\n\
         [profit]\nhashprice = \"50 USD/PH/day\"\n[site]\npower_price = \"spot\"\ncap = \"1 MW\"\n\
         [power]\nledger = {:?}\npoll = \"1s\"\npoll_moving = \"1s\"\n\
         [[group]]\nname = \"hall\"\npower = \"10 kW\"\nefficiency = \"20 J/TH\"\nnameplate = \"3300 W\"\n[group.actuator]\nkind = \"manual\"\n\
         [group.watts]\nkind = \"http_json\"\nurl = \"https://localhost:{}/\"\nvalue = \"/value\"\nunit = \"kW\"\n{}\n\
         [[group.device]]\nname = \"rig-1\"\naddress = \"127.0.0.1\"\n\
         [[ai]]\nname = \"gpus\"\npower = \"20 kW\"\nprice = \"300 USD/MWh\"\ndemand = 1\nidle = \"1 kW\"\nsheds_within = \"30s\"\n\
         [ai.control]\nkind = \"webhook\"\nurl = \"https://localhost:{}/lease\"\nstatus = \"https://localhost:{}/status\"\n\
         secret = \"hunter2-hunter2-hunter2\"\npoll = \"1s\"\n{}\n",
        pool.port,
        pool.pin(),
        // Shows another than the one that is pinned.
        other.port,
        pool.pin(),
        signal.port,
        signal.pin(),
        folder.path().join("ledger.db"),
        meter.port,
        meter.pin(),
        ai.port,
        ai.port,
        ai.pin(),
    );
    let (config, _) = Config::parse(&text, &NoEnv).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let proxy = Proxy::start(config).await.unwrap();
    let wanted = [("pool", "eu", 2031), ("signal", "spot", 2032), ("meter", "hall", 2033), ("ai", "gpus", 2034)];
    const NAME: &str = "hashgate_tls_certificate_expiry_timestamp_seconds";
    let page = until(&proxy, "all four", |page| {
        wanted.iter().all(|(kind, peer, _)| page.value(NAME, &[("peer_kind", kind), ("peer", peer)]).is_some())
    })
    .await;
    for (kind, peer, year) in wanted {
        let ends: Timestamp = format!("{year}-03-04T00:00:00Z").parse().unwrap();
        let value = page.value(NAME, &[("peer_kind", kind), ("peer", peer)]);
        assert_eq!(value, Some(ends.as_second() as f64), "{kind} {peer}");
    }
    assert_eq!(page.value(NAME, &[("peer", "strange")]), None, "who is not trusted says nothing");
    assert_eq!(complaints(&page.text), "");
    proxy.shut_down(Duration::from_secs(1)).await;
}
