//! In TLS.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hashgate::upstream::Event;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::{TlsAcceptor, rustls};

use super::{
    Router, in_time,
    scripted::{Peer, listener},
};

/// A pool with a certificate of its own making, and the certificate's fingerprint.
fn tls() -> (TlsAcceptor, String) {
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 3, 4);
    let certificate = rcgen::CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key };
    let fingerprint = hex::encode(Sha256::digest(certificate.cert.der()));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), fingerprint)
}

#[tokio::test]
async fn a_pinned_pool_is_mined_for_in_tls() {
    let (listener, url) = listener().await;
    let (acceptor, fingerprint) = tls();
    let more = format!("tls_fingerprint = \"sha256:{fingerprint}\"");
    let mut router = Router::start(&url.replace("+tcp", "+ssl"), &more);
    let (socket, _) = in_time("a connection", listener.accept()).await.unwrap();
    let stream = in_time("a handshake", acceptor.accept(socket)).await.unwrap();
    // When its certificate ends is known before anything is said: to a pool that refuses the login as well.
    let Event::Certificate { ends } = router.event().await else { panic!("another event") };
    assert_eq!(ends.to_string(), "2031-03-04T00:00:00Z");
    Peer::over(stream).log_in("00").await;
    router.ready().await;
    router.job().await;
}

#[tokio::test]
async fn a_pool_with_another_certificate_is_told_nothing() {
    let (listener, url) = listener().await;
    let (acceptor, fingerprint) = tls();
    for more in [format!("tls_fingerprint = \"sha256:{}\"", "ab".repeat(32)), String::new()] {
        let mut router = Router::start(&url.replace("+tcp", "+ssl"), &more);
        let server = async {
            let (socket, _) = listener.accept().await.unwrap();
            acceptor.accept(socket).await.is_err()
        };
        let ((_, reason, _), is_refused) = tokio::join!(router.lost(), in_time("the refusal", server));
        // Without a pin the system's roots decide; where it has none, that is the reason.
        assert!(reason.contains(&fingerprint) || reason.contains("no root certificates"), "{reason}");
        assert!(is_refused);
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_is_given_up_in_time() {
    let (listener, url) = listener().await;
    // Connects, and then says nothing to the handshake.
    let start = Instant::now();
    let more = format!("connect_timeout = \"1s\"\ntls_fingerprint = \"sha256:{}\"", "ab".repeat(32));
    let mut router = Router::start(&url.replace("+tcp", "+ssl"), &more);
    let _peer = Peer::accept(&listener).await;
    let (_, reason, _) = router.lost().await;
    assert!(reason.starts_with("no connection to 127.0.0.1:"), "{reason}");
    assert!(start.elapsed() >= Duration::from_secs(1));
}
