//! The webhook against a receiver that answers whatever it is told to.

use std::sync::Mutex;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::power::compute::{message::Message, signature};

/// What it answers, and what it was asked.
#[derive(Clone)]
struct Script {
    status: StatusCode,
    body: String,
    location: Option<&'static str>,
    heard: Arc<Mutex<Vec<(Method, HeaderMap, Bytes)>>>,
}

async fn answer(State(script): State<Script>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    script.heard.lock().unwrap().push((method, headers, body));
    let location = script.location.map(|location| (header::LOCATION, location));
    (script.status, location.map(|header| [header]), script.body).into_response()
}

async fn receiver(status: u16, body: &str, location: Option<&'static str>) -> (Webhook, Script) {
    let status = StatusCode::from_u16(status).unwrap();
    let script = Script { status, body: body.to_owned(), location, heard: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?key=hunter2", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (super::webhook(&url, &url, LIMIT), script)
}

/// How an error begins, and what it must say.
type Wanted = Result<LeaseAnswer, (&'static str, &'static str)>;

fn assert_said(case: &str, said: &Result<LeaseAnswer, DriverError>, wanted: Wanted) {
    match (said, wanted) {
        (Ok(said), Ok(wanted)) => assert_eq!(*said, wanted, "{case}"),
        (Err(error), Err((begin, part))) => {
            let words = error.to_string();
            assert!(words.starts_with(begin) && words.contains(part), "{case}: {words}");
            assert!(!words.contains("hunter2") && !words.contains(SECRET), "{case}: {words}");
        }
        _ => panic!("{case}: {said:?}, not {wanted:?}"),
    }
}

#[tokio::test]
async fn every_answer_means_one_thing() {
    use LeaseAnswer::{Refused, Released, Releasing, Taken};
    const GARBLED: &str = "not understood: http://127.0.0.1:";
    const REFUSED: &str = "refused: http://127.0.0.1:";
    const AWAY: &str = "not reached: http://127.0.0.1:";
    let state = |word: &str| format!("{{\"state\":\"{word}\"}}");
    let signature = "signature not accepted: is the secret the same and the clock right?";
    let long = "x".repeat(message::MAX_ANSWER + 1);
    let endless = "x".repeat(crate::http::MAX_BODY + 1);
    let cases: Vec<(u16, String, Wanted, Wanted)> = vec![
        (200, state("taken"), Ok(Taken), Err((GARBLED, "\"taken\" to a revocation"))),
        (200, state("refused"), Ok(Refused), Err((REFUSED, "which every receiver has to take"))),
        (200, state("releasing"), Ok(Releasing), Ok(Releasing)),
        (200, state("released"), Ok(Released), Ok(Released)),
        (409, state("refused"), Ok(Refused), Err((REFUSED, "to a revocation"))),
        (403, state("refused"), Ok(Refused), Err((REFUSED, "to a revocation"))),
        (409, state("taken"), Err((GARBLED, "409 Conflict")), Err((GARBLED, "409 Conflict"))),
        (403, "<html>".into(), Err((GARBLED, "403 Forbidden: <html>")), Err((GARBLED, "403 Forbidden"))),
        (401, state("refused"), Err((REFUSED, signature)), Err((REFUSED, signature))),
        (200, String::new(), Err((GARBLED, "(nothing)")), Err((GARBLED, "(nothing)"))),
        (200, "taken".into(), Err((GARBLED, "expected")), Err((GARBLED, "expected"))),
        (200, long, Err((GARBLED, "4096 at most")), Err((GARBLED, "4096 at most"))),
        (200, endless, Err((GARBLED, "longer than")), Err((GARBLED, "longer than"))),
        (202, state("taken"), Err((GARBLED, "202 Accepted")), Err((GARBLED, "202 Accepted"))),
        (204, String::new(), Err((GARBLED, "204 No Content")), Err((GARBLED, "204 No Content"))),
        (400, "no".into(), Err((GARBLED, "400 Bad Request: no")), Err((GARBLED, "400"))),
        (404, String::new(), Err((GARBLED, "404 Not Found")), Err((GARBLED, "404"))),
        (429, String::new(), Err((AWAY, "429 Too Many")), Err((AWAY, "429"))),
        (500, state("taken"), Err((AWAY, "500 Internal")), Err((AWAY, "500"))),
        (503, "busy".into(), Err((AWAY, "503 Service Unavailable: busy")), Err((AWAY, "503"))),
    ];
    for (status, body, to_grant, to_revoke) in cases {
        let (hook, script) = receiver(status, &body, None).await;
        let case = format!("{status} {:.40}", body);
        assert_said(&case, &hook.tell(grant(1)).await, to_grant);
        assert_said(&case, &hook.tell(revoke(1)).await, to_revoke);
        assert_eq!(script.heard.lock().unwrap().len(), 2, "{case}: nothing is repeated by itself");
    }
}

#[tokio::test]
async fn a_message_goes_nowhere_but_where_the_operator_wrote() {
    for status in [301, 302, 307, 308] {
        let (hook, script) = receiver(status, "", Some("/elsewhere")).await;
        assert_said("redirect", &hook.tell(grant(1)).await, Err(("not understood", "which is not followed")));
        assert_eq!(script.heard.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_status_is_an_answer_of_200_and_nothing_else() {
    let good = format!("{{\"epoch\":3,\"drawn_watts\":5,\"state\":\"idle\",\"observed_at\":\"{}\"}}", soon(-1));
    let (hook, _) = receiver(200, &good, None).await;
    assert_eq!(hook.status().await.unwrap().epoch, Epoch(3));
    for (status, body, begin) in [
        (200, "{}", "not understood: http://"),
        (204, "", "not understood: http://"),
        (404, &*good, "not understood: http://"),
        (409, &good, "not understood: http://"),
        (401, &good, "refused: http://"),
        (500, &good, "not reached: http://"),
    ] {
        let (hook, _) = receiver(status, body, None).await;
        let error = hook.status().await.unwrap_err().to_string();
        assert!(error.starts_with(begin) && !error.contains("hunter2"), "{status}: {error}");
    }
    let old = good.replace(&soon(-1).to_string()[..13], "2020-01-31T12");
    let (hook, _) = receiver(200, &old, None).await;
    let error = hook.status().await.unwrap_err().to_string();
    assert!(
        error.starts_with("refused: http://") && error.contains("nothing is known of what it draws now"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_sent_is_the_message_signed_now() {
    let (hook, script) = receiver(200, "{\"state\":\"taken\"}", None).await;
    let message = grant(1);
    hook.tell(message).await.unwrap();
    hook.status().await.unwrap_err();
    let heard = std::mem::take(&mut *script.heard.lock().unwrap());
    let [(post, told, body), (get, asked, nothing)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((post, get, nothing.len()), (&Method::POST, &Method::GET, 0));
    assert_eq!(told["content-type"], "application/json");
    assert_eq!(serde_json::from_slice::<Message>(body).unwrap(), Message::new(&message, pue()));
    for (headers, body) in [(told, body), (asked, nothing)] {
        let header = headers[signature::HEADER].to_str().unwrap();
        let now = Timestamp::now().as_second();
        assert!(signature::verify(SECRET.as_bytes(), header, body, now, LIMIT).is_ok(), "{header}");
    }
}

#[tokio::test]
async fn who_is_not_there_or_says_nothing_is_told_apart() {
    // A port that nobody listens on any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let gone = super::webhook(&url, &url, LIMIT);
    assert_said("gone", &gone.tell(grant(1)).await, Err(("not reached: http://", "no answer")));

    // One that takes connections, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let short = Duration::from_millis(200);
    let hook = super::webhook(&url, &url, short);
    assert_eq!(hook.tell(grant(1)).await, Err(DriverError::Timeout(short)));
    assert_eq!(hook.status().await.unwrap_err(), DriverError::Timeout(short));

    // One that hangs up in the middle of its answer, and one that speaks no HTTP.
    for words in ["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"state\":\"taken\"}", "hello\r\n\r\n"] {
        let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", rude.local_addr().unwrap());
        let hook = super::webhook(&url, &url, LIMIT);
        let answers = async {
            let (mut stream, _) = rude.accept().await.unwrap();
            // All of the request is read, so that the end is no reset.
            let mut request = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            stream.write_all(words.as_bytes()).await.unwrap();
        };
        let (said, ()) = tokio::join!(hook.tell(grant(1)), answers);
        assert_said(words, &said, Err(("not reached: http://", "")));
    }
}
