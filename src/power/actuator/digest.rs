//! HTTP Digest authentication, as far as stock ASIC firmware asks for it: MD5, with `qop=auth` or none.
//!
//! Knows a challenge and how it is answered; sends nothing. The password never leaves this process, but MD5 over plain HTTP keeps out
//! passers-by only. RFC 7616, with RFC 2617's form for a challenge without `qop`.
//!
//! | challenge | |
//! |---|---|
//! | `Basic`, or any other scheme | not answered: it would send the password itself |
//! | another algorithm, `auth-int` alone | not answered: no such firmware is known |

use std::fmt::Write;

use md5::{Digest, Md5};

/// What a server asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    has_qop: bool,
    /// The login was right, and only its nonce too old.
    pub is_stale: bool,
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
}

impl Challenge {
    /// From a `WWW-Authenticate`; `None` if it can't be answered.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim_start().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut challenge =
            Self { realm: String::new(), nonce: String::new(), opaque: None, has_qop: false, is_stale: false };
        while let Some((name, value, behind)) = parameter(rest) {
            rest = behind;
            match name.to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value.to_owned(),
                "nonce" => challenge.nonce = value.to_owned(),
                "opaque" => challenge.opaque = Some(value.to_owned()),
                "stale" => challenge.is_stale = value.eq_ignore_ascii_case("true"),
                "algorithm" if !value.eq_ignore_ascii_case("md5") => return None,
                "qop" => match value.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth")) {
                    true => challenge.has_qop = true,
                    false => return None,
                },
                _ => {}
            }
        }
        (!challenge.nonce.is_empty()).then_some(challenge)
    }

    /// The `Authorization` for the `count`th request with this nonce. `cnonce` is any text of ours without quotes.
    pub fn answer(&self, login: Login<'_>, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let Self { realm, nonce, opaque, has_qop, .. } = self;
        let Login { user, password } = login;
        let who = hash(&format!("{user}:{realm}:{password}"));
        let what = hash(&format!("{method}:{uri}"));
        let mut answer = String::from("Digest ");
        // Text in a header: what is written never fails.
        let _ = write!(answer, "username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\"", quoted(user));
        let response = if *has_qop {
            let _ = write!(answer, ", algorithm=MD5, qop=auth, nc={count:08x}, cnonce=\"{cnonce}\"");
            hash(&format!("{who}:{nonce}:{count:08x}:{cnonce}:auth:{what}"))
        } else {
            hash(&format!("{who}:{nonce}:{what}"))
        };
        let _ = write!(answer, ", response=\"{response}\"");
        if let Some(opaque) = opaque {
            let _ = write!(answer, ", opaque=\"{opaque}\"");
        }
        answer
    }
}

/// The next `name=value` or `name="value"`, and what is behind it. What is in quotes stays as it is written, escapes and all: it is sent
/// back, and hashed, in that form.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.trim_start_matches([',', ' ', '\t']).split_once('=')?;
    let rest = rest.trim_start();
    let Some(inner) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim(), &rest[end..]));
    };
    let mut is_escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some((name.trim(), &inner[..end], &inner[end + 1..]))
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn hash(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MUFASA: Login<'_> = Login { user: "Mufasa", password: "Circle Of Life" };

    #[test]
    fn the_example_of_rfc_2617_is_answered_as_it_says() {
        let challenge = Challenge::parse(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let answer = challenge.unwrap().answer(MUFASA, "GET", "/dir/index.html", 1, "0a4f113b");
        assert!(answer.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{answer}");
        assert!(answer.contains("nc=00000001, cnonce=\"0a4f113b\""), "{answer}");
        assert!(answer.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{answer}");
        assert!(!answer.contains(MUFASA.password));
    }

    #[test]
    fn the_example_of_rfc_7616_is_answered_as_it_says() {
        let challenge = Challenge::parse(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        );
        let login = Login { user: "Mufasa", password: "Circle of Life" };
        let answer = challenge.unwrap().answer(
            login,
            "GET",
            "/dir/index.html",
            1,
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        assert!(answer.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{answer}");
    }

    #[test]
    fn what_would_send_the_password_or_is_not_known_is_not_answered() {
        for header in [
            "Basic realm=\"antMiner Configuration\"",
            "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-256",
            "Digest realm=\"a\", nonce=\"1\", qop=\"auth-int\"",
            "Digest realm=\"a\"",
            "Digest",
            "",
        ] {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
        let stale = Challenge::parse("digest realm=\"a \\\"b\\\"\", nonce=\"1\", stale=TRUE").unwrap();
        assert!(stale.is_stale && !stale.has_qop && stale.realm == "a \\\"b\\\"");
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(header in "(Digest )?\\PC{0,60}") {
            Challenge::parse(&header);
        }
    }
}
