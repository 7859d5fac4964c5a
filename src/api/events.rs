//! `GET /api/v1/events`: the last events as a page, or all from now on as a stream of server-sent events (WHATWG HTML, 9.2).
//!
//! Which of the two is said by `Accept: text/event-stream`. In a stream each event is a message with its `id`; who comes back with that in
//! `Last-Event-ID` goes on behind it. Where events are gone, a message `missed` comes first and says how many. A comment every
//! [`HEARTBEAT`] keeps the connection alive.
//!
//! Limits: [`MAX_STREAMS`] at once; who takes nothing for [`SLOW`] is cut off, and counted as `slow_reader`.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Bytes, Frame};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::{
    Api,
    door::Visitor,
    query::{self, Asked, LIMIT},
    reply,
    watch::{Batch, Since},
    wire::{EventWord, EventsPage, Missed},
};

/// Streams at once: dashboards, and programs that listen. A quarter of all connections.
pub const MAX_STREAMS: usize = 64;

const _: () = assert!(MAX_STREAMS < super::MAX_CONNECTIONS / 2);

/// Between two signs of life.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long a reader may take nothing.
pub const SLOW: Duration = Duration::from_secs(15);

/// Events in one piece of a stream.
const PIECE: usize = 256;

/// Which events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Of a page: how many at most; 100 unless said otherwise, 1000 at most.
    pub limit: Option<usize>,
    /// Of a page: only those of this kind.
    #[param(inline)]
    pub kind: Option<EventWord>,
    /// Of a page: only those about this pool, route, signal, group, AI block or worker.
    pub about: Option<String>,
    /// Of a stream: go on behind this id, as the header `Last-Event-ID` says it too.
    pub after: Option<String>,
}

/// `GET /api/v1/events`.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "events", tag = "past",
    params(EventFilter, ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event")),
    responses(
        (status = 200, description = "A page; with `Accept: text/event-stream` a stream whose messages are events, and `missed` with a count where some are gone", content(
            (EventsPage = "application/json"), (String = "text/event-stream"),
        )),
        (status = 400, description = "Not of this form", body = super::wire::RefusedBody),
        (status = 503, description = "Too many streams", body = super::wire::RefusedBody),
    )
)]
pub async fn show(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    headers: HeaderMap,
    query: Asked<EventFilter>,
) -> Response {
    let filter = query::asked(query).and_then(|filter: EventFilter| {
        query::is_short(filter.about.as_deref())?;
        Ok((query::limit(filter.limit, LIMIT)?, filter))
    });
    let (limit, filter) = match filter {
        Ok(filter) => filter,
        Err(why) => return api.bad(&why),
    };
    let wants = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.contains("text/event-stream") {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(filter.after.as_deref());
        return stream(&api, visitor, last);
    }
    let (events, last_id) = api.watched.events.newest(limit, |event| {
        let is_about = filter.about.is_none() || event.about == filter.about;
        is_about && filter.kind.is_none_or(|kind| kind == event.kind)
    });
    reply::json(&EventsPage { events, last_id })
}

fn stream(api: &Arc<Api>, visitor: Arc<Visitor>, last: Option<&str>) -> Response {
    let Ok(place) = api.streams.clone().try_acquire_owned() else {
        let why = format!("{MAX_STREAMS} readers listen already: close a dashboard that nobody looks at");
        return api.refuse(StatusCode::SERVICE_UNAVAILABLE, "streams_full", &why);
    };
    let since = last.map_or(Since::Now, |id| api.watched.events.since(id));
    // One piece under way: what is behind it stays in the ring, which is bounded.
    let (pieces, taken) = mpsc::channel(1);
    let stop = api.stop.clone();
    tokio::spawn(tell(Telling { api: api.clone(), visitor, pieces, stop, _place: place }, since));
    let kind = HeaderValue::from_static("text/event-stream");
    // A proxy that gathers answers would gather this one for ever (nginx, `X-Accel-Buffering`).
    let unbuffered = HeaderValue::from_static("no");
    let headers = [(header::CONTENT_TYPE, kind), (header::HeaderName::from_static("x-accel-buffering"), unbuffered)];
    (headers, Body::new(Pieces(taken))).into_response()
}

struct Telling {
    api: Arc<Api>,
    visitor: Arc<Visitor>,
    pieces: mpsc::Sender<Bytes>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// Tells one reader until one of the two ends.
async fn tell(telling: Telling, since: Since) {
    let events = &telling.api.watched.events;
    let mut head = events.subscribe();
    let mut text = String::from("retry: 2000\n\n");
    if since == Since::OtherRun {
        message(&mut text, Some("missed"), None, &Missed { missed: None });
    }
    let mut next = match since {
        Since::Number(next) => next,
        Since::Now | Since::OtherRun => events.read(since, 0).next,
    };
    loop {
        head.borrow_and_update();
        let Batch { missed, events: more, next: behind } = events.read(Since::Number(next), PIECE);
        if missed > 0 {
            message(&mut text, Some("missed"), None, &Missed { missed: Some(missed) });
        }
        for event in &more {
            message(&mut text, None, Some(&event.id), &**event);
        }
        next = behind;
        if !text.is_empty() {
            match timeout(SLOW, telling.pieces.send(std::mem::take(&mut text).into())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    telling.api.count("slow_reader");
                    return telling.visitor.send_away();
                }
            }
        }
        if !more.is_empty() {
            continue;
        }
        tokio::select! {
            () = telling.stop.cancelled() => return,
            () = telling.pieces.closed() => return,
            _ = head.changed() => {}
            () = sleep(HEARTBEAT) => text.push_str(": still here\n\n"),
        }
    }
}

/// One message of the stream. JSON has no line end of its own, so that `data` is one line.
fn message(text: &mut String, kind: Option<&str>, id: Option<&str>, data: &impl Serialize) {
    let Ok(data) = serde_json::to_string(data) else { return };
    for (key, value) in [("event", kind), ("id", id), ("data", Some(&*data))] {
        if let Some(value) = value {
            text.extend([key, ": ", value, "\n"]);
        }
    }
    text.push('\n');
}

/// A body that is told piece by piece.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
