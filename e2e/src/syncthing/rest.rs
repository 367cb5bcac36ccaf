//! The REST API of one instance, over a Unix socket: no port is guessed, and none is lost to another test.
//!
//! It gives no meaning to what it carries.

use super::config::API_KEY;
use reqwest::{Client, Method};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The longest call is a scan, and folders here are small.
const CALL: Duration = Duration::from_secs(30);

/// Calls to one instance.
pub(super) struct Rest {
    client: Client,
}

impl Rest {
    pub(super) fn new(socket: &Path) -> Self {
        // No connection is kept: between two calls nothing here runs that would notice that its other end was closed.
        let client = Client::builder().unix_socket(socket).pool_max_idle_per_host(0).timeout(CALL);
        Self { client: client.build().unwrap() }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, reqwest::Error> {
        let answer = self.call(Method::GET, path, None).await?;
        Ok(serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// What it answers is text of one kind or another.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, reqwest::Error> {
        let url = format!("http://localhost/rest/{path}");
        let mut request = self.client.request(method, url).header("X-API-Key", API_KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await?.error_for_status()?.text().await
    }
}
