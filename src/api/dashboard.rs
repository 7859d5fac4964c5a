//! The dashboard: the files of `src/dashboard/`, which are in the binary and ask nobody but this API.
//!
//! The files are for everybody, as they hold nothing of this site; what the page shows it asks for with the token that its reader types in.
//!
//! | path | what |
//! |---|---|
//! | `/` | the page |
//! | `/dashboard/{file}` | its parts, by their names in the folder |
//!
//! A browser keeps them and asks each time whether they are still the same (`ETag`), so that a new binary is a new page at once.

use std::{io::Write, sync::LazyLock};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::headers::takes_gzip;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// One file of the folder, by its name in it.
macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_bytes!(concat!("../dashboard/", $name)).as_slice())
    };
}

const PAGE: &str = "index.html";

/// Name, type and bytes of each.
const FILES: [(&str, &str, &[u8]); 29] = [
    file!("index.html", HTML),
    file!("style.css", STYLE),
    file!("parts.css", STYLE),
    file!("icon.svg", "image/svg+xml"),
    file!("theme.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("charts.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("feeds.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("lines.js", SCRIPT),
    file!("merit.js", SCRIPT),
    file!("order.js", SCRIPT),
    file!("parts.js", SCRIPT),
    file!("sign-in.js", SCRIPT),
    file!("timeline.js", SCRIPT),
    file!("virtual.js", SCRIPT),
    file!("worth.js", SCRIPT),
    file!("views/history.js", SCRIPT),
    file!("views/miner.js", SCRIPT),
    file!("views/miners.js", SCRIPT),
    file!("views/now.js", SCRIPT),
    file!("views/pools.js", SCRIPT),
    file!("views/power.js", SCRIPT),
    file!("vendor/README.md", TEXT),
    file!("vendor/uPlot.LICENSE", TEXT),
    file!("vendor/uPlot.iife.min.js", SCRIPT),
    file!("vendor/uPlot.min.css", STYLE),
];

/// A file as it is served.
struct Served {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    packed: Vec<u8>,
    tag: HeaderValue,
}

/// All of them, packed once: when somebody asks for the first.
static SERVED: LazyLock<Vec<Served>> = LazyLock::new(|| FILES.into_iter().filter_map(Served::new).collect());

impl Served {
    fn new((name, kind, plain): (&'static str, &'static str, &'static [u8])) -> Option<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(plain).ok()?;
        let packed = gzip.finish().ok()?;
        // Weak: packed or not, it says the same.
        let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(plain)[..8]));
        Some(Self { name, kind, plain, packed, tag: HeaderValue::from_str(&tag).ok()? })
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let kept = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let tag = self.tag.to_str().unwrap_or_default();
        let has_it = kept.flat_map(|tags| tags.split(',')).any(|kept| kept.trim() == tag);
        let value = HeaderValue::from_static;
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, value("no-cache")),
            (header::VARY, value("accept-encoding")),
        ];
        let (status, body) = if has_it {
            (StatusCode::NOT_MODIFIED, Body::empty())
        } else {
            headers.push((header::CONTENT_TYPE, value(self.kind)));
            if takes_gzip(asked) {
                headers.push((header::CONTENT_ENCODING, value("gzip")));
                (StatusCode::OK, Body::from(self.packed.clone()))
            } else {
                (StatusCode::OK, Body::from(self.plain))
            }
        };
        let mut response = (status, body).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

/// The page and its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| find(PAGE, &headers)))
        .route("/dashboard/{*file}", get(async |Path(file): Path<String>, headers: HeaderMap| find(&file, &headers)))
}

fn find(name: &str, headers: &HeaderMap) -> Response {
    match SERVED.iter().find(|served| served.name == name) {
        Some(served) => served.answer(headers),
        None => (StatusCode::NOT_FOUND, "the dashboard has no such file").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path as Folder};

    use super::*;

    /// What all files may take together, packed: a second on a phone's network.
    const MOST: usize = 150 * 1024;

    fn walk(folder: &Folder, before: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_all_are_small() {
        let mut found = BTreeSet::new();
        walk(&Folder::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard"), "", &mut found);
        let served: BTreeSet<String> = SERVED.iter().map(|served| served.name.to_owned()).collect();
        assert_eq!(served, found);
        let packed: usize = SERVED.iter().map(|served| served.packed.len()).sum();
        assert!(packed < MOST, "{packed} bytes");
    }

    #[test]
    fn who_has_a_file_is_told_that_it_is_the_same() {
        let first = find(PAGE, &HeaderMap::new());
        assert_eq!((first.status(), &first.headers()[header::CONTENT_TYPE]), (StatusCode::OK, &HTML.parse().unwrap()));
        let tag = first.headers()[header::ETAG].clone();
        let again = |tag: HeaderValue| find(PAGE, &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)])).status();
        assert_eq!(again(tag), StatusCode::NOT_MODIFIED);
        assert_eq!(again(HeaderValue::from_static("W/\"0000000000000000\"")), StatusCode::OK);
        assert_eq!(find("../api/mod.rs", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn nothing_is_asked_of_anybody_else_and_nothing_is_written_into_the_page() {
        for served in SERVED.iter().filter(|served| !served.name.starts_with("vendor/")) {
            let text = std::str::from_utf8(served.plain).unwrap();
            // Names of XML namespaces are no addresses.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in
                ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(word), "{} has {word}", served.name);
            }
            if served.kind == HTML {
                for word in [" style=", "<style", " onclick=", " onload=", "<script>"] {
                    assert!(!text.contains(word), "{} has {word}", served.name);
                }
            }
        }
    }
}
