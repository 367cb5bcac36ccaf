//! What all extensions have in common: the description of the server, the document, and failures as problems.

mod support;

use darkslide_protocol::error::{VersionConflict, VersionConflicts};
use darkslide_protocol::problem::{PROBLEM_JSON, Problem};
use darkslide_protocol::server::ServerInfo;
use darkslide_protocol::{FileId, Version};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use support::TestServer;

#[tokio::test]
async fn a_server_says_what_it_is_before_anybody_signs_in() {
    let server = TestServer::start().await;
    let answer = server.get("/v1/server", "").await;
    let mut info: ServerInfo = serde_json::from_value(answer.ok()).unwrap();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("darkslide", env!("CARGO_PKG_VERSION")));
    assert!(!info.sign_up_open);
    assert!(info.extensions.is_sorted(), "each once, in the order of their words in the type");
    info.extensions.clear();
    assert!(info.vapid_public_key.take().is_some_and(|key| key.len() == 87));
    insta::assert_json_snapshot!(info);
}

#[tokio::test]
async fn failures_under_v1_are_problems_and_elsewhere_are_not() {
    let server = TestServer::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/v1/no/such/call", 404, "NOT_FOUND"),
        (Method::PUT, "/v1/server", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = server.send(method, path, "", &Value::Null).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("content-type"), PROBLEM_JSON);
        assert!(!answer.header("x-request-id").is_empty());
        let problem: Problem = serde_json::from_str(&answer.text).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
    }
    for path in ["/v12", "/no/such/call"] {
        let answer = server.get(path, "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, "{}"), "{path}");
    }
}

#[tokio::test]
async fn the_document_describes_every_call_with_its_answers() {
    let server = TestServer::start().await;
    let document = server.get("/v1/openapi.json", "").await.ok();
    let paths = document.get("paths").and_then(Value::as_object).unwrap();
    assert!(paths.contains_key("/v1/server"));
    for (path, calls) in paths {
        assert!(path.starts_with("/v1/"), "{path}");
        for (method, call) in calls.as_object().unwrap() {
            let said = call.get("summary").or(call.get("description"));
            assert!(said.is_some(), "{method} {path} says nothing of itself");
            let answers = call.get("responses").and_then(Value::as_object).unwrap();
            assert!(!answers.is_empty(), "{method} {path} has no answer");
            let needs_session = call.get("security").is_some();
            for (status, always) in
                [("401", needs_session), ("403", needs_session), ("500", true), ("503", true)]
            {
                assert!(answers.contains_key(status) || !always, "{method} {path} does not declare {status}");
            }
            for (status, answer) in answers.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                let types = answer
                    .get("content")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flat_map(|types| types.keys());
                assert!(types.eq([PROBLEM_JSON]) || method == "head", "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test]
async fn the_document_has_what_is_added_to_bodies_of_the_base_api() {
    let server = TestServer::start().await;
    let document = server.get("/v1/openapi.json", "").await.ok();
    for (schema, member) in [
        ("CommitRequest", "contentTag"),
        ("UpdateRequest", "contentTag"),
        ("UpdateRequest", "ifVersion"),
        ("TrashRequestItem", "ifVersion"),
        ("PurgeItem", "ifVersion"),
        ("RestoreItem", "ifVersion"),
    ] {
        let members = document.pointer(&format!("/components/schemas/{schema}/properties/{member}"));
        assert!(members.is_some(), "{schema} has no {member}");
    }
}

/// The conflict answer was in no schema, although clients act on what it lists.
#[tokio::test]
async fn the_document_has_what_conditional_calls_answer_when_something_has_changed() {
    let server = TestServer::start().await;
    let document = server.get("/v1/openapi.json", "").await.ok();
    let schema = |name: &str| &document["components"]["schemas"][name];
    let members = |name: &str| -> BTreeSet<String> {
        let schema = schema(name);
        let parts = schema["allOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
        let objects = parts.into_iter().map(|part| {
            let named = part["$ref"].as_str().and_then(|path| document.pointer(path.strip_prefix('#')?));
            &named.unwrap_or(part)["properties"]
        });
        objects.flat_map(|members| members.as_object().unwrap().keys().cloned()).collect()
    };
    let conflict = VersionConflict { file_id: FileId(7), version: Version(8) };
    let problem = Problem { detail: Some("…".to_owned()), ..Problem::default() };
    let answer = serde_json::to_value(VersionConflicts { problem, conflicts: vec![conflict] }).unwrap();
    let said = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(members("VersionConflicts"), said(&answer));
    assert_eq!(members("VersionConflict"), said(&answer["conflicts"][0]));
    for asking in ["UpdateRequest", "TrashRequestItem", "PurgeItem", "RestoreItem"] {
        // A member that may be absent has its description beside the reference to its type, or above it.
        let text = schema(asking)["properties"]["ifVersion"].to_string();
        assert!(
            text.contains("409 with `VersionConflicts`") || text.contains("409 with\\n`VersionConflicts`"),
            "{asking}: {text}"
        );
    }
}
