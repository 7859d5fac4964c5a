//! Servers with certificates of their own: whoever is told so trusts them, and nobody else does.

use std::{fs, sync::Arc};

use hashgate::{
    config::{Config, ProcessEnv},
    power::{
        actuator::{self, Drivers},
        compute,
        meter::{self, Meter},
    },
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::world::{LIMIT, rig};

/// A server of its own making: what it is asked first by who trusts it, or that somebody does not.
struct Server {
    port: u16,
    fingerprint: String,
    pem: String,
    heard: mpsc::UnboundedReceiver<Option<u8>>,
}

impl Server {
    async fn start() -> Self {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let fingerprint = hex::encode(Sha256::digest(certificate.cert.der()));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        let (acceptor, socket) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = socket.local_addr().unwrap().port();
        let (says, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (acceptor, says) = (acceptor.clone(), says.clone());
                tokio::spawn(async move {
                    let mut first = [0; 512];
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        let _ = says.send(None);
                        return;
                    };
                    // Who does not trust may say so behind a handshake that looked good from here.
                    match stream.read(&mut first).await {
                        Ok(1..) => drop(says.send(Some(first[0]))),
                        Ok(0) | Err(_) => drop(says.send(None)),
                    }
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, fingerprint, pem: certificate.cert.pem(), heard }
    }

    /// The first byte of the next one who came, if it trusted.
    async fn hears(&mut self) -> Option<u8> {
        timeout(LIMIT, self.heard.recv()).await.expect("somebody comes").expect("it runs")
    }
}

/// A config whose machines, meter and AI compute are behind that server, and whom each trusts.
fn config(server: &Server, meter: &str, trust: &str, folder: &tempfile::TempDir) -> Config {
    let port = server.port;
    let text = format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n\
         [profit]\nsignal = \"v\"\n[site]\ncap = \"1 MW\"\npower_price = \"50 USD/MWh\"\n\
         [[group]]\nname = \"a\"\npower = \"1 MW\"\nnameplate = \"3500 W\"\nworkers = \"a.*\"\n\
         [group.actuator]\nkind = \"webhook\"\nsleep = \"https://localhost:{port}/off/{{device}}\"\n\
         wake = \"https://localhost:{port}/on/{{device}}\"\n{trust}\n[group.watts]\n{meter}\n{trust}\n\
         [[ai]]\nname = \"gpus\"\npower = \"20 kW\"\nprice = \"300 USD/MWh\"\ndemand = 1.0\nidle = \"1 kW\"\nsheds_within = \"30s\"\n\
         [ai.control]\nkind = \"webhook\"\nurl = \"https://localhost:{port}/lease\"\nstatus = \"https://localhost:{port}/status\"\n\
         secret = \"hunter2-hunter2-hunter2\"\n{trust}\n\
         [[signal]]\nname = \"v\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n",
    );
    let env = ProcessEnv { folder: folder.path().to_owned() };
    Config::parse(&text, &env).unwrap_or_else(|errors| panic!("{errors}\n{text}")).0
}

#[tokio::test]
async fn machines_meters_brokers_and_ai_compute_with_certificates_of_their_own_are_trusted_where_that_is_said() {
    let mut server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("farm-ca.pem"), &server.pem).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("other-ca.pem"), other.cert.pem()).unwrap();
    let http = format!(
        "kind = \"http_json\"\nurl = \"https://localhost:{}/{{device}}\"\nvalue = \"/w\"\nunit = \"W\"",
        server.port
    );
    let mqtt = format!(
        "kind = \"mqtt\"\nbroker = \"mqtts://localhost:{}\"\ntopic = \"m/{{device}}\"\nunit = \"W\"",
        server.port
    );
    for (trust, is_trusted) in [
        (format!("tls_fingerprint = \"sha256:{}\"", server.fingerprint), true),
        ("ca_file = \"farm-ca.pem\"".to_owned(), true),
        (format!("tls_fingerprint = \"sha256:{}\"", "ab".repeat(32)), false),
        ("ca_file = \"other-ca.pem\"".to_owned(), false),
    ] {
        let config_of = |meter: &str| config(&server, meter, &trust, &folder);
        let (by_http, by_mqtt) = (config_of(&http), config_of(&mqtt));
        let power = by_http.power.as_ref().unwrap();
        let group = power.groups[0].as_ref().unwrap();
        let heard = |first: u8| is_trusted.then_some(first);
        let drivers = Drivers::default();

        let driver = actuator::build(group, &drivers).unwrap();
        let slept = driver.sleep(&rig("a.1")).await;
        assert_eq!((server.hears().await, slept.is_ok()), (heard(b'P'), is_trusted), "{trust}: {slept:?}");

        let Meter::Asked(meter) = meter::build(group, driver).unwrap() else { panic!("it is asked") };
        let read = meter.ask(&rig("a.1")).await;
        assert_eq!(server.hears().await, heard(b'G'), "{trust}: {read:?}");

        let (block, ai) = (power.blocks[0].as_ref().unwrap(), &by_http.profit.as_ref().unwrap().ai[0]);
        let status = compute::build(block, ai, "gpus".into(), &drivers).unwrap().status().await;
        assert_eq!(server.hears().await, heard(b'G'), "{trust}: {status:?}");

        let group = by_mqtt.power.as_ref().unwrap().groups[0].as_ref().unwrap();
        let pushed = meter::build(group, actuator::build(group, &drivers).unwrap()).unwrap();
        // CONNECT, by MQTT 3.1.1, 3.1.
        assert_eq!(server.hears().await, heard(0x10), "{trust}");
        drop(pushed);
        // It may have tried again meanwhile.
        while timeout(std::time::Duration::from_millis(100), server.heard.recv()).await.is_ok() {}
    }
}

#[test]
fn whom_to_trust_is_said_once_and_where_there_is_tls() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.pem"), "nothing\n").unwrap();
    let problem = |url: &str, trust: &str| {
        let text = format!(
            "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"v\"\n\
             [[group]]\nname = \"a\"\nnameplate = \"3500 W\"\nworkers = \"a.*\"\n[group.actuator]\nkind = \"webhook\"\n\
             sleep = \"{url}/off/{{device}}\"\nwake = \"{url}/on/{{device}}\"\n{trust}\n\
             [[signal]]\nname = \"v\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n"
        );
        let parsed = Config::parse(&text, &ProcessEnv { folder: folder.path().to_owned() });
        parsed.map(|_| ()).unwrap_err().to_string()
    };
    let pin = format!("tls_fingerprint = \"sha256:{}\"", "ab".repeat(32));
    for (url, trust, words) in [
        ("http://pdu", pin.clone(), "no address here has TLS"),
        ("https://pdu", format!("{pin}\nca_file = \"empty.pem\""), "tls_fingerprint is there too"),
        ("https://pdu", "ca_file = \"empty.pem\"".to_owned(), "has no certificate in it"),
        ("https://pdu", "ca_file = \"nowhere.pem\"".to_owned(), "names a file that can't be read"),
    ] {
        let problem = problem(url, &trust);
        assert!(problem.contains(words), "{words:?}: {problem}");
    }
}
