//! Every path, and the OpenAPI document that is made from them: a handler is in both or in neither.
//!
//! What all paths behind a token have in common (the token itself, 401, 403, 429) is added here and not said by each.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use utoipa::{
    OpenApi,
    openapi::{
        self, Components, ContentBuilder, OpenApiBuilder, RefOr, ResponseBuilder, SecurityRequirement,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, dashboard, events, forget, groups, headers, health, past, pools, power, reload, reply, server, signals,
    status, wire, workers,
};

/// What is said of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "hashgate admin API",
        description = "Units are in the keys: `_kw` at the site meter unless the key says otherwise, `_ths` terahashes a second, `_ms`, `_s`; `_per_mwh` and `_per_hour` are money in the `currency` of the same answer. Times are RFC 3339. What is not known is `null`. A key that is added is no change for who reads; one that changes its meaning gets another name.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "now", description = "What is"),
        (name = "past", description = "What was, of this run of the proxy unless a store is configured"),
        (name = "money", description = "Signals and the decision"),
        (name = "power", description = "Machines, leases, orders"),
        (name = "config", description = "The config in force, and the order to read it again"),
        (name = "health", description = "For whoever restarts and routes; no token"),
    ),
    components(schemas(wire::EventLine, wire::Missed)),
)]
struct Whole;

/// The name of the scheme in the document.
const BEARER: &str = "bearer";

/// Behind a token.
fn guarded() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(status::show))
        .routes(routes!(pools::pools))
        .routes(routes!(pools::routes))
        .routes(routes!(groups::groups))
        .routes(routes!(groups::merit))
        .routes(routes!(workers::workers))
        .routes(routes!(workers::worker))
        .routes(routes!(past::decisions))
        .routes(routes!(past::series))
        .routes(routes!(events::show))
        .routes(routes!(signals::list))
        .routes(routes!(signals::put))
        .routes(routes!(signals::decision))
        .routes(routes!(power::show))
        .routes(routes!(power::devices))
        .routes(routes!(power::order))
        .routes(routes!(forget::one))
        .routes(routes!(forget::older))
        .routes(routes!(power::receipts))
        .routes(routes!(power::mode))
        .routes(routes!(reload::show, reload::order))
        .routes(routes!(describe))
}

/// For everybody.
fn open() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(health::lives)).routes(routes!(health::is_ready))
}

/// The OpenAPI document of every path.
pub fn document() -> openapi::OpenApi {
    let mut document = guarded().into_openapi();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post];
        operations.into_iter().flatten().for_each(guard);
    }
    let mut whole = Whole::openapi();
    whole.merge(document);
    whole.merge(open().into_openapi());
    let components = whole.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer =
        bearer.description(Some("`token` of [admin] opens everything, `read_token` GET, `signal_token` PUT signals"));
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    OpenApiBuilder::from(whole).build()
}

/// What all paths behind a token have in common.
fn guard(operation: &mut Operation) {
    operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for (status, words) in
        [("401", "No token, or another one"), ("403", "A token for something else"), ("429", "Too many wrong tokens")]
    {
        let schema = RefOr::Ref(openapi::Ref::from_schema_name("RefusedBody"));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new().description(words).content("application/json", content).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
    }
}

/// `GET /api/v1/openapi.json`.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "now",
    responses((status = 200, description = "This document", body = serde_json::Value))
)]
async fn describe() -> Response {
    reply::json(&document())
}

/// All of it, as it is served.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let (guarded, _) = guarded().split_for_parts();
    let (open, _) = open().split_for_parts();
    guarded
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(api.clone(), server::admit))
        .merge(open)
        .merge(dashboard::router())
        .layer(from_fn(headers::complete))
        .with_state(api.clone())
}

async fn not_found(State(api): State<Arc<Api>>) -> Response {
    let document = document();
    let paths: Vec<&str> = document.paths.paths.keys().filter_map(|path| path.strip_prefix("/api/v1/")).collect();
    api.refuse(StatusCode::NOT_FOUND, "not_found", &format!("there is, under /api/v1: {}", paths.join(", ")))
}

async fn wrong_method(State(api): State<Arc<Api>>, method: Method) -> Response {
    if method == Method::OPTIONS {
        // Which there are is in `Allow`, which is added to every such answer. No other origin is let in (no CORS headers).
        return (StatusCode::NO_CONTENT, [(header::CONTENT_LENGTH, HeaderValue::from_static("0"))]).into_response();
    }
    let why =
        format!("{method} is not for this path: PUT a signal by its name and the mode, POST an order, GET the rest");
    api.refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_request", &why)
}
