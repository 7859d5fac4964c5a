//! The requests about the power side: what may be seen of it, and an operator's orders.
//!
//! Knows the form of an order; what it would do and whether it may is the power side's word ([`Power`]).
//!
//! Limits: [`PATIENCE`] for the power side's answer; [`MAX_LIMIT`] machines or receipts in one answer.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tracing::info;

use super::{
    Api, PATIENCE,
    door::Visitor,
    query::{self, Asked, LIMIT, MAX_LIMIT, Newest, Part},
    reply,
    watch::News,
    wire::{
        DevicePage, DeviceRow, EventWord, MAX_WHY, ModeBody, ModeSet, ModeWord, OrderBody, PowerPage, ReceiptsPage,
        RefusedBody,
    },
};
use crate::power::{
    MAX_RECEIPTS, Power,
    control::{Control, ControlError, Plan},
    site::Level,
};

/// Receipts in one answer, unless more are asked for.
const RECEIPTS: usize = 20;

const _: () = assert!(MAX_LIMIT <= MAX_RECEIPTS);

/// The reason of who gives none.
const NO_REASON: &str = "no reason given";

/// How long a drain or wake may be ordered for: who means longer means until it is released.
const MAX_FOR: Duration = Duration::from_secs(366 * 86_400);

/// `GET /api/v1/power`.
#[utoipa::path(
    get, path = "/api/v1/power", operation_id = "power", tag = "power",
    responses(
        (status = 200, description = "Mode, site, groups, AI blocks with their leases, the last events", body = PowerPage),
        (status = 404, description = "Nothing can be moved", body = RefusedBody),
    )
)]
pub async fn show(State(api): State<Arc<Api>>) -> Response {
    match api.power.snapshot() {
        Some(snapshot) => {
            let decided = api.signals.snapshot();
            reply::json(&PowerPage::new(&snapshot, decided.decision.as_ref()))
        }
        None => api.no_power(),
    }
}

/// `GET /api/v1/groups/{name}/devices`.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}/devices", tag = "power",
    params(("name" = String, Path, description = "The group's name"), Part),
    responses(
        (status = 200, description = "The machines of a group", body = DevicePage),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "No such group, or nothing can be moved", body = RefusedBody),
        (status = 503, description = "The power side has ended", body = RefusedBody),
        (status = 504, description = "The power side did not answer in time", body = RefusedBody),
    )
)]
pub async fn devices(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Asked<Part>,
) -> Response {
    let Ok(Path(group)) = path else { return api.bad("the path is no text") };
    let page = query::asked(query).and_then(|part: Part| Ok((part.offset, query::limit(part.limit, LIMIT)?)));
    let (offset, limit) = match page {
        Ok(page) => page,
        Err(why) => return api.bad(&why),
    };
    let asked = async |power: &Power| power.devices(&group).await;
    match api.ask(asked).await {
        Ok(devices) => reply::json(&DevicePage {
            total: devices.len(),
            offset,
            devices: devices.iter().skip(offset).take(limit).map(DeviceRow::from).collect(),
            group,
        }),
        Err(refusal) => refusal,
    }
}

/// `GET /api/v1/receipts`.
#[utoipa::path(
    get, path = "/api/v1/receipts", tag = "power", params(Newest),
    responses(
        (status = 200, description = "What the last drains and wakes moved and cost, the newest first", body = ReceiptsPage),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "Nothing can be moved", body = RefusedBody),
        (status = 503, description = "The power side has ended", body = RefusedBody),
        (status = 504, description = "The power side did not answer in time", body = RefusedBody),
    )
)]
pub async fn receipts(State(api): State<Arc<Api>>, query: Asked<Newest>) -> Response {
    let limit = match query::asked(query).and_then(|newest: Newest| query::limit(newest.limit, RECEIPTS)) {
        Ok(limit) => limit,
        Err(why) => return api.bad(&why),
    };
    match api.ask(async |power: &Power| power.receipts(limit).await).await {
        Ok(receipts) => reply::json(&ReceiptsPage { receipts }),
        Err(refusal) => refusal,
    }
}

/// `PUT /api/v1/mode`.
#[utoipa::path(
    put, path = "/api/v1/mode", tag = "power", request_body = ModeBody,
    responses(
        (status = 200, description = "The mode, and the one before", body = ModeSet),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "Nothing can be moved", body = RefusedBody),
        (status = 413, description = "Too long", body = RefusedBody),
        (status = 503, description = "It could not be written, or the power side has ended", body = RefusedBody),
        (status = 504, description = "The power side did not answer in time; it may still be done", body = RefusedBody),
    )
)]
pub async fn mode(State(api): State<Arc<Api>>, Extension(visitor): Extension<Arc<Visitor>>, body: Body) -> Response {
    let ModeBody { mode } = match api.read(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match api.ask(async |power: &Power| power.set_mode(mode.into()).await).await {
        Ok(before) => {
            let before = before.into();
            let (mode_label, before_label) = (mode.label(), ModeWord::label(before));
            let address = visitor.address();
            api.told(None, format!("an operator at {address} set the mode to {mode_label}; it was {before_label}"));
            reply::json(&ModeSet { mode, before })
        }
        Err(refusal) => refusal,
    }
}

/// `POST /api/v1/groups/{name}/{order}`.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/{order}", tag = "power", request_body = Option<OrderBody>,
    params(
        ("name" = String, Path, description = "The group's name"),
        ("order" = String, Path, description = "`drain`, `wake`, `hold`, `lockout`, `release` or `unlock`"),
    ),
    responses(
        (status = 200, description = "The plan: what follows, in words and kW; with `dry_run` only that", body = Plan),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "No such group or order, or nothing can be moved", body = RefusedBody),
        (status = 409, description = "The mode or the group does not allow it", body = RefusedBody),
        (status = 413, description = "Too long", body = RefusedBody),
        (status = 503, description = "It could not be written, or the power side has ended", body = RefusedBody),
        (status = 504, description = "The power side did not answer in time; it may still be done", body = RefusedBody),
    )
)]
pub async fn order(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Body,
) -> Response {
    let Ok(Path((group, order))) = path else {
        return api.bad("the path is no text");
    };
    let Some(order) = Word::ALL.into_iter().find(|word| word.label() == order) else {
        let known: Vec<&str> = Word::ALL.map(Word::label).into();
        let why = format!("there is no such order: there is {}", known.join(", "));
        return api.refuse(StatusCode::NOT_FOUND, "not_found", &why);
    };
    let body: OrderBody = match api.read_if_any(body).await {
        Ok(body) => body.unwrap_or_default(),
        Err(refusal) => return refusal,
    };
    let (dry_run, why) = (body.dry_run, body.why.clone());
    let control = match control(order, body, Timestamp::now()) {
        Ok(control) => control,
        Err(why) => return api.bad(&why),
    };
    match api.ask(async |power: &Power| power.control(&group, control.clone(), dry_run).await).await {
        Ok(plan) => {
            if !dry_run {
                let why = why.as_deref().unwrap_or(NO_REASON);
                let (order, address) = (order.label(), visitor.address());
                let words = format!("an operator at {address} ordered {order} of group {group:?}: {why}");
                api.told(Some(group), words);
            }
            reply::json(&plan)
        }
        Err(refusal) => refusal,
    }
}

/// An order, by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Drain,
    Wake,
    Hold,
    Lockout,
    Release,
    Unlock,
}

impl Word {
    const ALL: [Self; 6] = [Self::Drain, Self::Wake, Self::Hold, Self::Lockout, Self::Release, Self::Unlock];

    fn label(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Wake => "wake",
            Self::Hold => "hold",
            Self::Lockout => "lockout",
            Self::Release => "release",
            Self::Unlock => "unlock",
        }
    }
}

/// The order that a body gives, or what is wrong with it.
fn control(word: Word, body: OrderBody, now: Timestamp) -> Result<Control, String> {
    let OrderBody { why, lasts, until, dry_run: _ } = body;
    let why = why.map(|why| why.trim().to_owned()).filter(|why| !why.is_empty());
    if let Some(why) = &why {
        if why.len() > MAX_WHY {
            return Err(format!("why has {} bytes: say it in {MAX_WHY}", why.len()));
        }
        if why.chars().any(char::is_control) {
            return Err("why has control characters or several lines: write one line of plain text".to_owned());
        }
    }
    let until = match (lasts, until) {
        (Some(_), Some(_)) => return Err("send for or until, not both".to_owned()),
        (None, None) => None,
        (Some(lasts), None) => Some(after(&lasts, now)?),
        (None, Some(until)) if until <= now => return Err(format!("until is past: it is {now}")),
        (None, Some(until)) => Some(until),
    };
    if until.is_some() && !matches!(word, Word::Drain | Word::Wake) {
        let why = "has no end of its own: only a drain and a wake take for and until";
        return Err(format!("a {} {why}", word.label()));
    }
    let needed = || {
        let what = format!("a {} needs its why: it is told to people, who will wonder", word.label());
        why.clone().map(String::into_boxed_str).ok_or(what)
    };
    let given = || why.clone().unwrap_or_else(|| NO_REASON.to_owned()).into_boxed_str();
    Ok(match word {
        Word::Drain => Control::Drain { why: given(), until },
        Word::Wake => Control::Wake { why: given(), until },
        Word::Hold => Control::Hold { why: needed()? },
        Word::Lockout => Control::Lockout { why: needed()? },
        Word::Release => Control::Release,
        Word::Unlock => Control::Unlock,
    })
}

fn after(lasts: &str, now: Timestamp) -> Result<Timestamp, String> {
    let help = "write \"2h\" or \"1h 30m\"";
    let lasts = humantime::parse_duration(lasts).map_err(|_| format!("for is no duration: {help}"))?;
    if lasts.is_zero() || lasts > MAX_FOR {
        return Err("for is zero, or longer than a year: leave it out to order it until it is released".to_owned());
    }
    let lasts = SignedDuration::try_from(lasts).ok();
    lasts.and_then(|lasts| now.checked_add(lasts).ok()).ok_or_else(|| format!("for is no duration: {help}"))
}

impl Api {
    /// Logs what an operator did, and shows it.
    fn told(&self, about: Option<String>, words: String) {
        info!("admin API: {words}");
        let news = News { level: Level::Info, kind: EventWord::Operator, about, words };
        self.watched.events.tell(Timestamp::now(), news);
    }

    /// The answer that there is no power side.
    fn no_power(&self) -> Response {
        let why = "nothing can be moved: no [[group]] of the config has an actuator";
        let orphans = self.power.orphans().words();
        let why: Vec<&str> = [why].into_iter().chain(orphans.iter().map(String::as_str)).collect();
        self.refuse(StatusCode::NOT_FOUND, "no_power", &why.join("; "))
    }

    /// Asks the power side; a refusal of its own is an answer already.
    pub(super) async fn ask<T>(&self, ask: impl AsyncFnOnce(&Power) -> Result<T, ControlError>) -> Result<T, Response> {
        let Some(power) = self.power.power() else { return Err(self.no_power()) };
        match timeout(PATIENCE, ask(&power)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.not_done(&error)),
            Err(_) => {
                let why = format!(
                    "the power side has not answered in {}: what was ordered may still be done; see GET /api/v1/power",
                    humantime::format_duration(PATIENCE)
                );
                Err(self.refuse(StatusCode::GATEWAY_TIMEOUT, "no_answer", &why))
            }
        }
    }

    fn not_done(&self, error: &ControlError) -> Response {
        let (status, reason) = match error {
            ControlError::UnknownGroup { .. } => (StatusCode::NOT_FOUND, "unknown_group"),
            ControlError::UnknownDevice { .. } => (StatusCode::NOT_FOUND, "unknown_device"),
            ControlError::NotForgotten(_) => (StatusCode::CONFLICT, "not_forgotten"),
            ControlError::NotManaged(_) => (StatusCode::CONFLICT, "not_managed"),
            ControlError::DryRun => (StatusCode::CONFLICT, "dry_run"),
            ControlError::NothingToEnd(_) => (StatusCode::CONFLICT, "nothing_to_end"),
            ControlError::NotWritten(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_written"),
            ControlError::Ended => (StatusCode::SERVICE_UNAVAILABLE, "ended"),
        };
        self.refuse(status, reason, &error.to_string())
    }
}
