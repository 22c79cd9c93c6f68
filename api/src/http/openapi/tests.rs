//! The document is held against the routes, and its references against itself.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use serde_json::Value;

use super::DOCUMENT;
use crate::http::routes::table;

/// Every operation with its path and its method.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods
            .iter()
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[test]
fn the_document_has_the_routes_and_no_others() {
    let described: BTreeSet<(String, String)> = operations()
        .map(|(path, method, _)| (path.to_owned(), method.to_uppercase()))
        .collect();
    let served: BTreeSet<(String, String)> = table()
        .map(|(path, method, _)| (path, method.to_string()))
        .collect();
    assert_eq!(described, served);
}

#[test]
fn what_needs_a_key_says_so() {
    let keyed: BTreeMap<(String, String), bool> = table()
        .map(|(path, method, keyed)| ((path, method.to_string()), keyed))
        .collect();
    for (path, method, operation) in operations() {
        let says_so = !operation["security"]
            .as_array()
            .expect("security")
            .is_empty();
        let route = (path.to_owned(), method.to_uppercase());
        assert_eq!(keyed.get(&route), Some(&says_so), "{path}");
        assert_eq!(
            operation["responses"].get("401").is_some(),
            says_so,
            "{path}"
        );
    }
}

#[test]
fn operations_have_names_of_their_own_a_success_and_what_their_path_names() {
    let mut names = BTreeSet::new();
    for (path, _, operation) in operations() {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name), "{name} comes twice");
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{name}"
        );
        let answers = operation["responses"].as_object().expect("responses");
        let successes = answers.keys().filter(|status| status.starts_with('2'));
        assert_eq!(successes.count(), 1, "{name}");
        for status in answers.keys() {
            assert!(status.parse::<StatusCode>().is_ok(), "{name} {status}");
        }
        let parameters = operation["parameters"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let ids = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path");
        assert_eq!(ids.count(), path.matches('{').count(), "{name}");
    }
    for (_, _, operation) in operations() {
        for (_, answer) in operation["responses"].as_object().expect("responses") {
            for (_, link) in answer["links"].as_object().into_iter().flatten() {
                assert!(
                    names.contains(link["operationId"].as_str().expect("a name")),
                    "{link}"
                );
            }
        }
    }
}

#[test]
fn what_it_refers_to_is_there_and_what_is_there_is_referred_to() {
    let mut referred = BTreeSet::new();
    references(&DOCUMENT, &mut referred);
    for reference in &referred {
        let pointer = reference.strip_prefix('#').expect("of this document");
        assert!(DOCUMENT.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "parameters", "headers"] {
        for name in DOCUMENT["components"][kind]
            .as_object()
            .expect("components")
            .keys()
        {
            let reference = format!("#/components/{kind}/{name}");
            assert!(referred.contains(&reference), "{reference} is not used");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.map(str::to_owned));
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
