//! What stock clients ask for that this server does not do: a fixed answer each, so that nothing in them stops.
//!
//! A path that is neither here nor elsewhere is answered 404 `{}`, which clients take for “not offered”; it is listed
//! here only where they need another answer than that. Nothing here stores anything.

use crate::Shared;
use crate::routes::request::Caller;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Json, Router};
use serde_json::Value;

/// Who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Anybody.
    All,
    /// Who is signed in; others are answered 401.
    SignedIn,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
struct Stub {
    method: MethodFilter,
    path: &'static str,
    audience: For,
    status: StatusCode,
    body: &'static str,
}

/// The answer of a route whose whole feature is absent.
const fn absent(method: MethodFilter, path: &'static str) -> Stub {
    Stub { method, path, audience: For::SignedIn, status: StatusCode::NOT_IMPLEMENTED, body: "{}" }
}

/// A route that answers 404 although another method of its path exists.
const fn nothing(method: MethodFilter, path: &'static str) -> Stub {
    Stub { method, path, audience: For::SignedIn, status: StatusCode::NOT_FOUND, body: "{}" }
}

/// A route that answers 200 with a fixed body.
const fn fixed(method: MethodFilter, path: &'static str, body: &'static str) -> Stub {
    Stub { method, path, audience: For::SignedIn, status: StatusCode::OK, body }
}

/// A route that answers 200 with a fixed body to anybody.
const fn open(method: MethodFilter, path: &'static str, body: &'static str) -> Stub {
    Stub { method, path, audience: For::All, status: StatusCode::OK, body }
}

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const DELETE: MethodFilter = MethodFilter::DELETE;
const WRITE: MethodFilter = POST.or(PUT).or(DELETE);
const ANY: MethodFilter = WRITE.or(GET);

/// All of them, by feature.
const STUBS: &[Stub] = &[
    // Second factors: there are none.
    fixed(GET, "/users/two-factor/status", r#"{"status":false}"#),
    fixed(
        GET,
        "/users/two-factor/recovery-status",
        r#"{"allowAdminReset":true,"isPasskeyRecoveryEnabled":false}"#,
    ),
    absent(POST, "/users/two-factor/setup"),
    absent(POST, "/users/two-factor/enable"),
    absent(POST, "/users/two-factor/disable"),
    absent(POST, "/users/two-factor/passkeys/configure-recovery"),
    absent(GET, "/users/accounts-token"),
    absent(GET, "/users/payment-token"),
    absent(GET, "/users/families-token"),
    // Told, and not written down.
    fixed(POST, "/users/event", "{}"),
    fixed(POST, "/push/token", "{}"),
    open(POST, "/events", "{}"),
    fixed(POST, "/events/user", "{}"),
    // Entities: keys are kept (`settings`), entities are not.
    absent(WRITE, "/user-entity/entity"),
    // Comments, contacts, people to share with.
    fixed(GET, "/comments-reactions/updated-at", r#"{"updates":[]}"#),
    fixed(GET, "/comments-reactions/counts", r#"{"counts":{}}"#),
    fixed(GET, "/contacts/diff", r#"{"diff":[]}"#),
    // Derived data of files: faces, texts, streamable videos.
    fixed(POST, "/files/data/status-diff", r#"{"diff":[]}"#),
    fixed(POST, "/files/data/fetch", r#"{"data":[],"pendingIndexFileIDs":[],"errFileIDs":[]}"#),
    nothing(GET, "/files/data/fetch"),
    absent(PUT, "/files/data"),
    absent(PUT, "/files/video-data"),
    absent(GET, "/files/data/preview-upload-url"),
    // Money.
    Stub { method: GET, path: "/billing/usage", audience: For::All, status: StatusCode::GONE, body: "{}" },
    absent(ANY, "/billing/stripe/{*rest}"),
    fixed(
        GET,
        "/storage-bonus/details",
        r#"{"referralStats":[],"bonuses":[],"refCount":0,"refUpgradeCount":0,"hasAppliedCode":false}"#,
    ),
    fixed(
        GET,
        "/storage-bonus/referral-view",
        r#"{"planInfo":{"isEnabled":false,"planType":"10_GB_ON_UPGRADE","storageInGB":0,"maxClaimableStorageInGB":0},"code":null,"enableApplyCode":false,"hasAppliedCode":true,"isFamilyMember":false,"claimedStorage":0}"#,
    ),
    absent(POST, "/storage-bonus/referral-claim"),
    absent(POST, "/storage-bonus/change-code"),
    absent(ANY, "/family/{*rest}"),
    open(GET, "/offers/black-friday", r#"{"offers":[]}"#),
    // People who may inherit the account.
    fixed(
        GET,
        "/emergency-contacts/info",
        r#"{"contacts":[],"recoverSessions":[],"othersEmergencyContact":[],"othersRecoverySession":[]}"#,
    ),
    absent(ANY, "/emergency-contacts/{*rest}"),
];

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    STUBS.iter().fold(Router::new(), |router, stub| {
        let filter = stub.method;
        match stub.audience {
            For::All => router.route(stub.path, on(filter, || async { stub.answer() })),
            For::SignedIn => router.route(stub.path, on(filter, |_: Caller| async { stub.answer() })),
        }
    })
}

impl Stub {
    fn answer(&self) -> Response {
        let body: Value = serde_json::from_str(self.body).expect("stub bodies are JSON");
        (self.status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_an_object() {
        for stub in STUBS {
            assert!(serde_json::from_str::<Value>(stub.body).unwrap().is_object(), "{}", stub.path);
        }
    }
}
