//! TLS to a server (a pool, a web server, a broker): whom we trust, and what the operator reads when we don't.
//!
//! | configured | trusted |
//! |---|---|
//! | nothing | what a root certificate of this system vouches for, for this host name |
//! | `ca_file` | what an authority of this file vouches for, for this host name, and nothing else |
//! | `tls_fingerprint` | the one certificate with this SHA-256, whoever signed it, whatever its names and dates |
//!
//! In all cases the handshake's signature is checked: the other side has the certificate's key. There is no way to switch
//! verification off. An error tells the fingerprint that was presented.
//!
//! When a certificate ends that was trusted is kept for metrics ([`Shown`]), pinned ones as well: whoever pins it must pin the next one in time.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use rumqttc::ConnectionError;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    },
};
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::Decode,
};

use crate::config::ServerTrust;

/// Why there is no TLS at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("this system has no root certificates: {0}; install them (ca-certificates), or set tls_fingerprint")]
    NoRoots(String),
    #[error("TLS: {0}")]
    Setup(String),
}

/// Servers of one client whose certificates are remembered: a few addresses of one service, or the machines of a hall.
const MAX_SHOWN: usize = 4096;

/// When the certificates end that servers have shown, each at its last handshake. Clones are the same.
///
/// A session that is resumed shows none: what was shown before it holds. Of servers past [`MAX_SHOWN`] nothing is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<HashMap<String, Timestamp>>>);

impl Shown {
    /// The first of these ends; `None` before the first handshake.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    fn note(&self, server: &ServerName<'_>, certificate: &CertificateDer<'_>) {
        let Some(end) = end_of(certificate) else { return };
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = server.to_str();
        if let Some(known) = ends.get_mut(&*server) {
            *known = end;
        } else if ends.len() < MAX_SHOWN {
            ends.insert(server.into_owned(), end);
        }
    }
}

/// When a certificate ends; `None` if it can't be read so far, which is nothing that its signature depends on.
fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    // Serial numbers that the standard has not, as some farms' have, are none of our business.
    let read = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let end = read.tbs_certificate.validity.not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
}

/// Whom to trust.
pub(crate) enum Trust {
    /// The certificate with this SHA-256.
    Pinned([u8; 32]),
    /// Whom one of these vouches for.
    Roots(RootCertStore),
}

impl Trust {
    /// What the config says. Reads the system's roots from disk, where they are asked for.
    pub fn of(trusted: &ServerTrust) -> Result<Self, TlsError> {
        match trusted {
            ServerTrust::System => Self::configured(None),
            ServerTrust::Pinned(pin) => Ok(Self::Pinned(*pin)),
            ServerTrust::Authorities(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities.iter() {
                    let added = roots.add(CertificateDer::from(authority.to_vec()));
                    added.map_err(|error| {
                        TlsError::Setup(format!("a certificate of ca_file is no authority's: {error}"))
                    })?;
                }
                Ok(Self::Roots(roots))
            }
        }
    }

    /// The system's roots, or one certificate.
    pub fn configured(pin: Option<[u8; 32]>) -> Result<Self, TlsError> {
        if let Some(pin) = pin {
            return Ok(Self::Pinned(pin));
        }
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::NoRoots(if errors.is_empty() { "none found".to_owned() } else { errors.join(", ") }));
        }
        Ok(Self::Roots(roots))
    }
}

/// Makes TLS of connections to servers that are trusted.
pub(crate) fn connector(trust: Trust, shown: Shown) -> Result<TlsConnector, TlsError> {
    client_config(trust, shown).map(|config| TlsConnector::from(Arc::new(config)))
}

/// The same for clients that open the connection themselves.
pub(crate) fn client_config(trust: Trust, shown: Shown) -> Result<ClientConfig, TlsError> {
    let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let trust = match trust {
        Trust::Pinned(pin) => Check::Pin(pin),
        Trust::Roots(roots) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Check::WebPki(verifier.build().map_err(|error| setup(&error))?)
        }
    };
    Ok(ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { check: trust, provider, shown }))
        .with_no_client_auth())
}

/// What the operator reads of a failed handshake.
pub(crate) fn explain(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::General(ours)) => ours.clone(),
        Some(theirs) => theirs.to_string(),
        None => error.to_string(),
    }
}

/// What the operator reads of a lost connection to an MQTT broker.
pub(crate) fn explain_mqtt(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses us: {code:?}"),
        ConnectionError::Tls(rumqttc::TlsError::Io(error)) | ConnectionError::Io(error) => explain(error),
        other => other.to_string(),
    }
}

#[derive(Debug)]
enum Check {
    Pin([u8; 32]),
    WebPki(Arc<WebPkiServerVerifier>),
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
    shown: Shown,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented: [u8; 32] = Sha256::digest(end_entity).into();
        let shown = hex::encode(presented);
        let verified = match &self.check {
            Check::Pin(pin) if *pin == presented => Ok(ServerCertVerified::assertion()),
            Check::Pin(pin) => Err(Error::General(format!(
                "its certificate has the fingerprint sha256:{shown}, but tls_fingerprint is sha256:{}; set the new one if the server has \
                 announced it, else someone is in between",
                hex::encode(pin)
            ))),
            Check::WebPki(verifier) => verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| {
                    Error::General(format!(
                        "{error}; if the server itself says that its certificate is sha256:{shown}, set tls_fingerprint to it"
                    ))
                }),
        };
        if verified.is_ok() {
            self.shown.note(server_name, end_entity);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

    use super::*;

    fn certificate(host: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed([host.to_owned()]).unwrap()
    }

    fn fingerprint(of: &rcgen::CertifiedKey<rcgen::KeyPair>) -> [u8; 32] {
        Sha256::digest(of.cert.der()).into()
    }

    fn roots(of: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add(of.cert.der().clone()).unwrap();
        Trust::Roots(roots)
    }

    /// Connects to a server that shows `chain` and signs with the key of `key`.
    async fn handshake(
        shown: &rcgen::CertifiedKey<rcgen::KeyPair>,
        key: &rcgen::CertifiedKey<rcgen::KeyPair>,
        trust: Trust,
    ) -> Result<(), String> {
        handshake_noted(shown, key, trust, Shown::default()).await
    }

    async fn handshake_noted(
        shown: &rcgen::CertifiedKey<rcgen::KeyPair>,
        key: &rcgen::CertifiedKey<rcgen::KeyPair>,
        trust: Trust,
        noted: Shown,
    ) -> Result<(), String> {
        let provider = Arc::new(ring::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let signer = provider.key_provider.load_private_key(private).unwrap();
        let certified = tokio_rustls::rustls::sign::CertifiedKey::new(vec![shown.cert.der().clone()], signer);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(tokio_rustls::rustls::sign::SingleCertAndKey::from(certified)));
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        let server = tokio::spawn(TlsAcceptor::from(Arc::new(config)).accept(theirs));
        let name = ServerName::try_from("pool.example").unwrap();
        let result = connector(trust, noted).unwrap().connect(name, ours).await;
        server.abort();
        result.map(|_| ()).map_err(|error| explain(&error))
    }

    #[tokio::test]
    async fn a_pinned_certificate_is_trusted_whoever_signed_it() {
        let pool = certificate("some.other.name");
        assert_eq!(handshake(&pool, &pool, Trust::Pinned(fingerprint(&pool))).await, Ok(()));
    }

    #[tokio::test]
    async fn another_certificate_than_the_pinned_one_is_refused_with_both_fingerprints() {
        let (pool, other) = (certificate("pool.example"), certificate("pool.example"));
        let error = handshake(&other, &other, Trust::Pinned(fingerprint(&pool))).await.unwrap_err();
        for part in [fingerprint(&pool), fingerprint(&other)] {
            assert!(error.contains(&format!("sha256:{}", hex::encode(part))), "{error}");
        }
    }

    #[tokio::test]
    async fn the_pinned_certificate_without_its_key_is_refused() {
        let (pool, thief) = (certificate("pool.example"), certificate("pool.example"));
        let error = handshake(&pool, &thief, Trust::Pinned(fingerprint(&pool))).await.unwrap_err();
        assert!(error.contains("BadSignature"), "{error}");
    }

    #[tokio::test]
    async fn a_root_vouches_for_its_names_only() {
        let pool = certificate("pool.example");
        assert_eq!(handshake(&pool, &pool, roots(&pool)).await, Ok(()));
        let elsewhere = certificate("elsewhere.example");
        let error = handshake(&elsewhere, &elsewhere, roots(&elsewhere)).await.unwrap_err();
        assert!(error.contains("not valid for name"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_authority_is_refused_with_the_fingerprint_to_pin() {
        let (pool, other) = (certificate("pool.example"), certificate("pool.example"));
        let error = handshake(&pool, &pool, roots(&other)).await.unwrap_err();
        assert!(error.contains(&format!("sha256:{}", hex::encode(fingerprint(&pool)))), "{error}");
    }

    fn ending(host: &str, year: i32) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let cert = params.self_signed(&signing_key).unwrap();
        rcgen::CertifiedKey { cert, signing_key }
    }

    #[tokio::test]
    async fn the_end_of_the_certificate_shown_last_is_known_whoever_trusts_it() {
        let (shown, other) = (Shown::default(), Shown::default());
        assert_eq!(shown.first_end(), None);
        // After 2049 such a time is written in another form.
        for (year, seconds) in [(2040, 2_214_432_000), (2060, 2_845_584_000), (2031, 1_930_348_800)] {
            let pool = ending("pool.example", year);
            for trust in [Trust::Pinned(fingerprint(&pool)), roots(&pool)] {
                assert_eq!(handshake_noted(&pool, &pool, trust, shown.clone()).await, Ok(()));
                assert_eq!(shown.first_end().map(Timestamp::as_second), Some(seconds), "{year}");
            }
        }
        let pool = ending("pool.example", 2045);
        let stranger = Trust::Pinned([7; 32]);
        assert!(handshake_noted(&pool, &pool, stranger, other.clone()).await.is_err());
        assert_eq!(other.first_end(), None, "who is not trusted says nothing");
    }

    #[test]
    fn of_several_servers_the_first_end_counts_and_what_is_no_certificate_does_not() {
        let shown = Shown::default();
        let note = |server: &str, year: i32| {
            let pool = ending("pool.example", year);
            shown.note(&ServerName::try_from(server.to_owned()).unwrap(), pool.cert.der());
            shown.first_end().unwrap().to_string()
        };
        assert_eq!(note("a.example", 2040), "2040-03-04T00:00:00Z");
        assert_eq!(note("b.example", 2035), "2035-03-04T00:00:00Z");
        assert_eq!(note("10.0.0.1", 2045), "2035-03-04T00:00:00Z");
        assert_eq!(note("b.example", 2050), "2040-03-04T00:00:00Z", "it was renewed");
        assert_eq!(end_of(&CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01])), None);
    }
}
