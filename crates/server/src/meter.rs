//! Metrics for Prometheus, on an address of their own: counts and times by route, never by account.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// Bounds of the time histograms, in seconds. The upper ones are for uploads over slow lines.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// The process's one recorder; `metrics` has no other way.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// The recorder's handle. The first call installs it; servers in one process share it.
pub fn start() -> &'static PrometheusHandle {
    HANDLE.get_or_init(|| {
        let recorder =
            PrometheusBuilder::new().set_buckets(&SECONDS).expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        // Fails only when the program around us has a recorder of its own, which then gets the counts.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

/// `/metrics`.
pub fn router() -> Router {
    let handle = start();
    Router::new().route(
        "/metrics",
        get(move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()) }),
    )
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("darkslide_requests_total", "Requests answered, by method, route and status.");
    describe_histogram!(
        "darkslide_request_seconds",
        "Seconds from a request's headers to its answer's, by route."
    );
    describe_counter!("darkslide_rate_limited_total", "Requests refused because there were too many.");
    describe_counter!("darkslide_wakes_total", "Wakes of devices that were tried, by what came of it.");
    describe_gauge!("darkslide_connections", "Connections being served.");
    describe_counter!("darkslide_scrub_objects_total", "Stored objects that the scrub has read back.");
    describe_counter!("darkslide_scrub_bytes_total", "Bytes that the scrub has read back.");
    describe_gauge!("darkslide_objects_damaged", "Stored objects whose bytes are not what was uploaded.");
    describe_gauge!("darkslide_objects_missing", "Stored objects whose bytes are not there.");
    describe_gauge!(
        "darkslide_oldest_verification_seconds",
        "Seconds since the object that was read back least recently was; or since it was stored."
    );
    describe_gauge!("darkslide_accounts", "Accounts that are not deleted.");
    describe_gauge!("darkslide_stored_bytes", "Bytes of ciphertext that accounts have stored.");
}
