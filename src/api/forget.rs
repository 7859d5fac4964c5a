//! The requests that forget machines which are gone. Which may be forgotten is the power side's word.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use tracing::info;

use super::{
    Api,
    door::Visitor,
    reply,
    wire::{ForgetBody, RefusedBody},
};
use crate::power::{
    Power,
    control::{Forget, Forgotten},
};

/// `POST /api/v1/groups/{name}/devices/{device}/forget`.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/devices/{device}/forget", operation_id = "forget", tag = "power",
    params(("name" = String, Path, description = "The group's name"), ("device" = String, Path, description = "The machine's name")),
    request_body = Option<ForgetBody>,
    responses(
        (status = 200, description = "Which machine counts no more, and what that frees", body = Forgotten),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "No such group or device, or nothing can be moved", body = RefusedBody),
        (status = 409, description = "It may not be forgotten: why is said", body = RefusedBody),
        (status = 413, description = "Too long", body = RefusedBody),
        (status = 503, description = "It could not be written, or the power side has ended", body = RefusedBody),
        (status = 504, description = "The power side did not answer in time; it may still be done", body = RefusedBody),
    )
)]
pub async fn one(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Body,
) -> Response {
    let Ok(Path((group, device))) = path else {
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", "the path is no text");
    };
    let body: ForgetBody = match api.read_if_any(body).await {
        Ok(body) => body.unwrap_or_default(),
        Err(refusal) => return refusal,
    };
    if body.older_than.is_some() {
        let why = "older_than is for all machines of a group: POST it to /api/v1/groups/{name}/devices/forget";
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
    }
    let what = if body.confirm.is_some() { Forget::Gone(device) } else { Forget::Device(device) };
    forget(&api, &visitor, &group, what, body.dry_run).await
}

/// `POST /api/v1/groups/{name}/devices/forget`.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/devices/forget", operation_id = "forget_older", tag = "power",
    params(("name" = String, Path, description = "The group's name")),
    request_body = ForgetBody,
    responses(
        (status = 200, description = "Which machines count no more, and what that frees", body = Forgotten),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "No such group or device, or nothing can be moved", body = RefusedBody),
        (status = 409, description = "It may not be forgotten: why is said", body = RefusedBody),
        (status = 413, description = "Too long", body = RefusedBody),
        (status = 503, description = "It could not be written, or the power side has ended", body = RefusedBody),
        (status = 504, description = "The power side did not answer in time; it may still be done", body = RefusedBody),
    )
)]
pub async fn older(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Response {
    let Ok(Path(group)) = path else {
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", "the path is no text");
    };
    let body: ForgetBody = match api.read(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    if body.confirm.is_some() {
        let why = "confirm is for one machine: POST it to /api/v1/groups/{name}/devices/{device}/forget";
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
    }
    let age = body.older_than.as_deref().map(humantime::parse_duration);
    let Some(Ok(age)) = age.filter(|age| age.as_ref().is_ok_and(|age| !age.is_zero())) else {
        let why = "older_than is missing or no duration: write \"7d\"";
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
    };
    forget(&api, &visitor, &group, Forget::OlderThan(age), body.dry_run).await
}

async fn forget(api: &Api, visitor: &Visitor, group: &str, what: Forget, dry_run: bool) -> Response {
    match api.ask(async |power: &Power| power.forget(group, what.clone(), dry_run).await).await {
        Ok(forgotten) => {
            if !dry_run {
                let (address, count) = (visitor.address(), forgotten.devices.len());
                info!("admin API: an operator at {address} had {count} machines of group {group:?} forgotten");
            }
            reply::json(&forgotten)
        }
        Err(refusal) => refusal,
    }
}
