//! The OpenAPI document says what there is, and every answer of these tests is as it says.

use std::{env, fs, sync::LazyLock};

use axum::http::{Method, StatusCode};
use hashgate::api;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::site::{READ, Site};

/// The copy that people and generators of clients read.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(api::document()).unwrap());

/// The operation that a request is for.
fn operation<'d>(method: &Method, path: &str) -> Option<&'d Value> {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        wanted.len() == parts.len() && wanted.iter().zip(&parts).all(|(w, p)| w.starts_with('{') || w == p)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // A path that says a part is before one that leaves it open.
    let fitting = paths.iter().filter(|(template, _)| fits(template));
    let (_, item) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(method.as_str().to_lowercase())
}

/// Fails if the document has not told that such an answer may come.
pub fn conforms(method: &Method, path: &str, status: StatusCode, answer: &Value) {
    let refused = json!({ "$ref": "#/components/schemas/RefusedBody" });
    let schema = match operation(method, path) {
        // What is no path, or not for this method, is refused as everything is.
        None => refused,
        Some(operation) => {
            let told = &operation["responses"][status.as_str()];
            assert!(told.is_object(), "{method} {path}: {status} is not in the document");
            told["content"]["application/json"]["schema"].clone()
        }
    };
    let fault = fault(&schema, answer).map(|fault| format!("{method} {path}{fault}\n{answer}"));
    assert_eq!(fault, None);
}

/// What of a value is not as its schema says, and where. Of JSON Schema there is here what the document uses; a word that is not known is
/// a fault, so that nothing goes unchecked. A key that the document does not have is a fault, too.
fn fault(schema: &Value, value: &Value) -> Option<String> {
    let schema = schema.as_object().expect("a schema is an object");
    let at = |place: &str, fault: String| format!("/{place}{fault}");
    for (word, said) in schema {
        let found = match &**word {
            "description" => None,
            "$ref" => {
                let name = said.as_str().unwrap().trim_start_matches("#/components/schemas/");
                fault(&DOCUMENT["components"]["schemas"][name], value)
            }
            "type" => {
                let types = said.as_array().map_or(std::slice::from_ref(said), Vec::as_slice);
                let is_any = types.iter().any(|kind| is(kind.as_str().unwrap(), value));
                (!is_any).then(|| format!(": not of type {said}: {value}"))
            }
            "enum" => (!said.as_array().unwrap().contains(value)).then(|| format!(": none of {said}: {value}")),
            "minimum" => {
                value.as_f64().filter(|n| *n < said.as_f64().unwrap()).map(|n| format!(": {n} is under {said}"))
            }
            "format" if said == "date-time" => {
                let is_time = value.is_null() || value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok());
                (!is_time).then(|| format!(": no time: {value}"))
            }
            "format" => (!["double", "int32", "int64"].contains(&said.as_str().unwrap())).then(|| format!(": {said}?")),
            "oneOf" => {
                let fitting = said.as_array().unwrap().iter().filter(|one| fault(one, value).is_none()).count();
                (fitting != 1).then(|| format!(": fits {fitting} of {said}: {value}"))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.find_map(|(place, item)| fault(said, item).map(|fault| at(&place.to_string(), fault)))
            }
            "required" => {
                let mut keys = said.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
                keys.find(|key| value.get(key).is_none()).map(|key| format!(": {key} is missing"))
            }
            "properties" => {
                let mut keys = value.as_object().into_iter().flatten();
                keys.find_map(|(key, value)| match said.get(key) {
                    Some(schema) => fault(schema, value).map(|fault| at(key, fault)),
                    None => Some(format!(": {key} is not in the document")),
                })
            }
            "additionalProperties" if said.is_object() => {
                let mut keys = value.as_object().into_iter().flatten();
                keys.find_map(|(key, value)| fault(said, value).map(|fault| at(key, fault)))
            }
            // What is closed here is closed everywhere; keys are always texts.
            "additionalProperties" | "propertyNames" => None,
            other => Some(format!(": this check does not know {other:?}")),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind} is no type"),
    }
}

#[test]
fn what_is_not_as_the_document_says_is_seen() {
    let page = json!({ "$ref": "#/components/schemas/EventsPage" });
    let event = |key: &str, value: Value| {
        let mut event = json!({
            "id": "1-1", "at": "2026-01-31T12:00:00Z", "level": "info", "kind": "pool", "about": null, "words": "x"
        });
        event[key] = value;
        fault(&page, &json!({ "events": [event], "last_id": null }))
    };
    assert_eq!(event("words", json!("y")), None);
    for (key, value) in [
        ("id", json!(1)),
        ("id", json!(null)),
        ("at", json!("yesterday")),
        ("kind", json!("weather")),
        ("about", json!([])),
        ("colour", json!("red")),
    ] {
        let fault = event(key, value.clone());
        assert!(fault.as_ref().is_some_and(|fault| fault.starts_with("/events/0")), "{key} {value}: {fault:?}");
    }
    assert!(fault(&page, &json!({ "last_id": null })).is_some_and(|fault| fault.contains("events is missing")));
    let counts = json!({ "$ref": "#/components/schemas/LaneRow" });
    let lane = |miners: Value| json!({ "lane": 1, "is_live": true, "is_retiring": false, "miners": miners });
    assert_eq!(fault(&counts, &lane(json!(3))), None);
    assert!(fault(&counts, &lane(json!(-3))).is_some() && fault(&counts, &lane(json!(0.5))).is_some());
}

#[test]
fn the_copy_is_the_document() {
    let mut text = serde_json::to_string_pretty(&*DOCUMENT).unwrap();
    text.push('\n');
    if env::var_os("HASHGATE_WRITE_OPENAPI").is_some() {
        fs::write(COPY, &text).unwrap();
    }
    let copy = fs::read_to_string(COPY).unwrap_or_default();
    let line = copy.lines().zip(text.lines()).position(|(copy, text)| copy != text).unwrap_or_default();
    let how = "write it with HASHGATE_WRITE_OPENAPI=1 cargo test --test control the_copy_is_the_document";
    assert!(copy == text, "docs/openapi.json differs from line {line} on: {how}");
}

#[test]
fn every_name_in_the_document_is_explained_and_every_reference_leads_somewhere() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name} has no description");
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_explained = property["description"].is_string() || property["$ref"].is_string();
            assert!(is_explained || property["oneOf"].is_array(), "{name}.{key} has no description: {property}");
        }
    }
    let items = DOCUMENT["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let mut ids: Vec<&str> = items.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "each operation has a name of its own: {ids:?}");
    let text = DOCUMENT.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_is_served_and_says_which_tokens_open_it() {
    let site = Site::start().await;
    let (status, served) = site.ask(Method::GET, "/api/v1/openapi.json", Some(READ), "").await;
    assert_eq!((status, &served), (StatusCode::OK, &*DOCUMENT));
    let paths = DOCUMENT["paths"].as_object().unwrap();
    assert!(paths.len() >= 20, "{:?}", paths.keys());
    for (path, item) in paths {
        let filled = path.replace("{name}", "hall-a").replace("{order}", "drain").replace("{chart}", "site");
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // Without a token nothing happens, but it is seen whether there is such a path.
            let (status, answer) = site.ask(method.clone(), &filled, None, "").await;
            if path.starts_with("/api/") {
                assert_eq!(operation["security"], json!([{ "bearer": [] }]), "{path}");
                let is_shut = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                assert!(is_shut, "{method} {path}: {status} {answer}");
            } else {
                assert_ne!(operation["security"], json!([{ "bearer": [] }]), "{path}");
                assert!(answer["ok"].is_boolean(), "{path}: {answer}");
            }
            if method == Method::GET {
                let (status, answer) = site.ask(method, &filled, Some(READ), "").await;
                let is_there = status != StatusCode::NOT_FOUND && status != StatusCode::METHOD_NOT_ALLOWED;
                assert!(is_there || path.contains("workers/"), "{path}: {status} {answer}");
            }
        }
    }
}
