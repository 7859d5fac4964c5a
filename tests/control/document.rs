//! The OpenAPI document says what there is, and every answer of these tests is as it says.

use std::{
    collections::HashMap,
    env, fs,
    sync::{LazyLock, Mutex},
};

use axum::http::{Method, StatusCode};
use hashgate::api;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::site::{READ, Site};

/// The copy that people and generators of clients read.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(api::document()).unwrap());

/// Schemas are made into checks once.
static CHECKS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);

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
    let mut checks = CHECKS.lock().unwrap();
    let check = checks.entry(schema.to_string()).or_insert_with(|| {
        let mut whole = json!({ "components": DOCUMENT["components"] });
        close(&mut whole);
        whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
        jsonschema::draft202012::new(&whole).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    });
    let faults: Vec<String> =
        check.iter_errors(answer).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(faults.is_empty(), "{method} {path}: {faults:?}\n{answer}");
}

/// A key that the document does not have is a fault, too.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.get("properties").is_some_and(Value::is_object) && object.contains_key("type") {
                object.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
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
