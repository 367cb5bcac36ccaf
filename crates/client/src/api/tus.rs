//! Resumable uploads by tus 1.0: beginning one, asking how far it is, sending on, giving it up.
//!
//! Bodies are sent once, for only their maker can make them again. The session token goes to the server that is called, whatever
//! address it answers: of an upload's URL only the last member is kept.

use super::call::{Call, NOTHING, SLOWEST_RATE};
use super::{Api, ApiFailure, Reason};
use darkslide_protocol::ObjectKey;
use darkslide_protocol::server::{Extension, ServerInfo};
use darkslide_protocol::tus::{self, header};
use http::Method;
use reqwest::{Body, RequestBuilder, Response};
use std::str::FromStr;
use std::time::Duration;

const SEND: &str = "send a file";

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunUpload {
    /// The server's name of it.
    pub upload: String,
    /// The object that it becomes.
    pub object_key: ObjectKey,
}

/// How an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Bytes in all.
    pub length: u64,
    /// Bytes that are durable.
    pub offset: u64,
    /// What the newest request brought; `None` before the first byte.
    pub chunk: Option<StandingChunk>,
}

/// What the newest request brought, up to the offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingChunk {
    /// Where it begins.
    pub offset: u64,
    /// Its digest, as [`tus::chunk_digest`] writes it.
    pub digest: String,
}

impl Api {
    /// Whether the server takes resumable uploads. One that is not ours does not.
    pub async fn takes_resumable_uploads(&self) -> Result<bool, ApiFailure> {
        let asked = self.ask::<ServerInfo>(Call::get("ask what the server can", "/v1/server"), NOTHING).await;
        match asked {
            Ok(info) => Ok(info.extensions.contains(&Extension::Uploads)),
            Err(failure) if failure.is_transient() => Err(failure),
            Err(_) => Ok(false),
        }
    }

    /// Begins an upload of `length` bytes.
    pub async fn begin_upload(&self, length: u64) -> Result<BegunUpload, ApiFailure> {
        let request = self.0.http.post(self.server().at("/v1/uploads")).header(header::UPLOAD_LENGTH, length);
        let response = self.send_tus(request).await?;
        let location: String = self.told(&response, "location")?;
        let upload = location.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(BegunUpload { upload, object_key: ObjectKey(self.told(&response, header::OBJECT_KEY)?) })
    }

    /// How an upload stands. Stops whoever is sending to it.
    pub async fn standing(&self, upload: &str) -> Result<Standing, ApiFailure> {
        let response = self.send_tus(self.at_upload(&self.0.http, Method::HEAD, upload)).await?;
        let chunk = match self.told(&response, header::CHUNK_OFFSET) {
            Ok(offset) => Some(StandingChunk { offset, digest: self.told(&response, header::CHUNK_DIGEST)? }),
            Err(_) => None,
        };
        let length = self.told(&response, header::UPLOAD_LENGTH)?;
        Ok(Standing { length, offset: self.told(&response, header::UPLOAD_OFFSET)?, chunk })
    }

    /// Sends on from an offset, once. `length` must be the body's, in bytes. Gives the digest of what the server took.
    pub async fn append_upload(
        &self,
        upload: &str,
        offset: u64,
        body: Body,
        length: u64,
    ) -> Result<String, ApiFailure> {
        let request = self
            .at_upload(&self.0.uploads, Method::PATCH, upload)
            .timeout(self.0.limits.read_idle + Duration::from_secs(length / SLOWEST_RATE))
            .header(http::header::CONTENT_TYPE, tus::CONTENT_TYPE)
            .header(http::header::CONTENT_LENGTH, length)
            .header(header::UPLOAD_OFFSET, offset)
            .body(body);
        let response = self.send_tus(request).await?;
        self.told(&response, header::CHUNK_DIGEST)
    }

    /// Gives an upload up. One that is gone already has been given up.
    pub async fn terminate_upload(&self, upload: &str) -> Result<(), ApiFailure> {
        match self.send_tus(self.at_upload(&self.0.http, Method::DELETE, upload)).await {
            Err(failure) if !failure.is_missing() => Err(failure),
            _ => Ok(()),
        }
    }

    fn at_upload(&self, client: &reqwest::Client, method: Method, upload: &str) -> RequestBuilder {
        client.request(method, self.server().at(&format!("/v1/uploads/{upload}")))
    }

    async fn send_tus(&self, request: RequestBuilder) -> Result<Response, ApiFailure> {
        let request = self.authenticated(request).header(header::TUS_RESUMABLE, tus::VERSION);
        let response = self.send(SEND, request).await?;
        // A redirect is not followed, and is no answer.
        if response.status().is_redirection() {
            return Err(self.failure(SEND, Reason::Header("Tus-Resumable")));
        }
        Ok(response)
    }

    fn told<T: FromStr>(&self, response: &Response, name: &'static str) -> Result<T, ApiFailure> {
        let text = response.headers().get(name).and_then(|value| value.to_str().ok());
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.failure(SEND, Reason::Header(name)))
    }
}
