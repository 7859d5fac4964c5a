//! Whom to trust at the other end of TLS: `tls_fingerprint` or `ca_file`, where a server's certificate is not one that the system vouches for.
//!
//! A PDU, a broker in the hall or the AI team's service has a certificate of its own or of the farm's own authority. There is no way to
//! switch verification off; the check itself is `tls.rs`.
//!
//! Limit: [`MAX_CA_BYTES`] of a file.

use std::{path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    Env,
    error::{Wrong, shown},
    raw::Section,
    units, value,
};

/// Bytes of a file with authorities: a system's whole bundle is a quarter of it.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServerTrust {
    /// Whom the system's roots vouch for.
    #[default]
    System,
    /// The one certificate with this SHA-256.
    Pinned([u8; 32]),
    /// Whom one of these certificates (DER) vouches for, and nobody else.
    Authorities(Arc<[Box<[u8]>]>),
}

impl ServerTrust {
    /// As `check` says it; nothing for the usual.
    pub fn in_words(&self) -> String {
        match self {
            Self::System => String::new(),
            Self::Pinned(pin) => format!(", certificate sha256:{}…", hex::encode(&pin[..4])),
            Self::Authorities(authorities) if authorities.len() == 1 => ", vouched for by ca_file alone".to_owned(),
            Self::Authorities(authorities) => format!(", vouched for by one of {} in ca_file", authorities.len()),
        }
    }
}

/// `tls_fingerprint` or `ca_file`; `has_tls`: somebody is reached by TLS.
pub(super) fn read(section: &mut Section<'_, '_>, env: &dyn Env, has_tls: bool) -> ServerTrust {
    let pin = section.optional("tls_fingerprint", value::parsed("\"sha256:…\"", units::fingerprint));
    let authorities = section.optional("ca_file", value::parsed("\"farm-ca.pem\"", |path| authorities(path, env)));
    if section.has("tls_fingerprint") && section.has("ca_file") {
        let help = "keep one: the fingerprint trusts one certificate, the file whomever its authorities vouch for";
        section.error("ca_file", Wrong::new("tls_fingerprint is there too", help));
    }
    if let Some(key) = ["tls_fingerprint", "ca_file"].into_iter().find(|key| !has_tls && section.has(key)) {
        section
            .error(key, Wrong::new("is there, and no address here has TLS", "write https:// or mqtts://, or drop it"));
    }
    match (pin, authorities) {
        (Some(pin), _) => ServerTrust::Pinned(pin),
        (None, Some(authorities)) => ServerTrust::Authorities(authorities),
        (None, None) => ServerTrust::System,
    }
}

fn authorities(path: &str, env: &dyn Env) -> Result<Arc<[Box<[u8]>]>, Wrong> {
    let help = "write the path of a PEM file with the certificates of your authority, beside the config or in full";
    let text = env
        .read_list(Path::new(path), MAX_CA_BYTES)
        .map_err(|error| Wrong::new(format!("names a file that can't be read: {}: {error}", shown(path)), help))?;
    let read = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|found| found.map(|found| found.to_vec().into_boxed_slice()));
    let found = read.collect::<Result<Vec<Box<[u8]>>, rustls_pki_types::pem::Error>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found.into()),
        Ok(_) => Err(Wrong::new(format!("{} has no certificate in it", shown(path)), help)),
        Err(error) => Err(Wrong::new(format!("{} is no PEM file: {error}", shown(path)), help)),
    }
}
