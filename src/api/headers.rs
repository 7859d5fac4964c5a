//! What every answer carries, and how it is packed.
//!
//! | header | why |
//! |---|---|
//! | `Cache-Control: no-store`, unless a handler says otherwise | what the API says is of the moment, and not for a cache's other readers |
//! | `Content-Security-Policy` | a page from here loads nothing from elsewhere and is framed by nobody |
//! | `X-Content-Type-Options`, `Referrer-Policy`, `X-Frame-Options` | an answer is what it says; nobody is told who asked; for old browsers |
//! | `Content-Encoding: gzip` | for JSON over [`WORTH_PACKING`], where the client takes it |

use std::io::Write;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use hyper::body::Body as _;

/// Bytes of JSON that are not worth packing: they fit in a packet or three.
const WORTH_PACKING: u64 = 4 * 1024;

/// Bytes of an answer that are packed at once; more go as they are.
const MAX_PACKED: usize = 8 * 1024 * 1024;

/// Nothing from elsewhere, and nothing written into the page itself.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Adds them, and packs.
pub async fn complete(request: Request, next: Next) -> Response {
    let takes_gzip = takes_gzip(request.headers());
    let mut response = next.run(request).await;
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_json {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let is_worth_it = response.body().size_hint().exact().is_some_and(|bytes| bytes > WORTH_PACKING);
    if takes_gzip && is_worth_it { packed(response).await } else { response }
}

async fn packed(response: Response) -> Response {
    let is_too_long = response.body().size_hint().exact().is_none_or(|bytes| bytes > MAX_PACKED as u64);
    if is_too_long {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_PACKED).await else { return Response::from_parts(parts, Body::empty()) };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = gzip.write_all(&bytes).and_then(|()| gzip.finish());
    let Ok(packed) = packed else { return Response::from_parts(parts, Body::from(bytes)) };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(packed))
}

/// Whether gzip is named and not ruled out (RFC 9110, 12.5.3).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_ruled_out = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0)
        });
        is_gzip && !is_ruled_out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_takes_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        for value in ["gzip", "br, GZIP", "gzip;q=0.5", "deflate, gzip; q=1"] {
            assert!(takes(value), "{value}");
        }
        for value in ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"] {
            assert!(!takes(value), "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
