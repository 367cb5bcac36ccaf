//! Objects going in: minting URLs, putting whole objects or parts, completing.
//!
//! Bodies that are in memory are sent again after transient failures; streams are sent once, for only their maker
//! can make them again.

use super::call::{Call, NOTHING, SLOWEST_RATE};
use super::{Api, ApiFailure, Reason};
use bytes::Bytes;
use darkslide_protocol::Opaque;
use darkslide_protocol::upload::{
    MintPartsRequest, MintRequest, PartUrls, UploadUrl, UploadUrls, WrappedPartUrls,
};
use http::header;
use reqwest::Body;
use std::fmt::Write as _;
use std::time::Duration;

/// What the server calls a part that it has; kept as it was sent, quotes included.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

/// One part that the server has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcknowledgedPart {
    /// Counted from 1.
    pub number: u32,
    /// What the server called it.
    pub etag: ETag,
}

const SEND: &str = "send a file";

impl Api {
    /// An URL for one object whose size and MD5 are known.
    pub async fn upload_url(&self, request: &MintRequest) -> Result<UploadUrl, ApiFailure> {
        self.ask(Call::post("prepare an upload", "/files/upload-url"), Some(request)).await
    }

    /// URLs for `count` objects (at most 50) of any size: no pass over the ciphertext is needed beforehand.
    pub async fn upload_urls(&self, count: u32) -> Result<Vec<UploadUrl>, ApiFailure> {
        let count = count.to_string();
        let query = [("count", count.as_str())];
        let call = Call::get("prepare an upload", "/files/upload-urls").query(&query);
        let answer: UploadUrls = self.ask(call, NOTHING).await?;
        Ok(answer.urls)
    }

    /// URLs for one object in parts whose sizes and MD5s are known.
    pub async fn multipart_upload_url(&self, request: &MintPartsRequest) -> Result<PartUrls, ApiFailure> {
        self.ask(Call::post("prepare an upload", "/files/multipart-upload-url"), Some(request)).await
    }

    /// URLs for one object in `count` parts of any size.
    pub async fn multipart_upload_urls(&self, count: u32) -> Result<PartUrls, ApiFailure> {
        let count = count.to_string();
        let query = [("count", count.as_str())];
        let call = Call::get("prepare an upload", "/files/multipart-upload-urls").query(&query);
        let answer: WrappedPartUrls = self.ask(call, NOTHING).await?;
        Ok(answer.urls)
    }

    /// Puts a whole object, once. `length` must be the body's, in bytes.
    pub async fn put_object(
        &self,
        url: &str,
        body: impl Into<Body>,
        length: u64,
        md5: Option<[u8; 16]>,
    ) -> Result<(), ApiFailure> {
        self.put(url, body.into(), length, md5).await.map(drop)
    }

    /// Puts a whole object that is in memory; again after transient failures.
    pub async fn put_object_bytes(
        &self,
        url: &str,
        body: Bytes,
        md5: Option<[u8; 16]>,
    ) -> Result<(), ApiFailure> {
        let length = body.len() as u64;
        self.repeat(|| self.put(url, body.clone().into(), length, md5)).await.map(drop)
    }

    /// Puts one part, once. `length` must be the body's, in bytes.
    pub async fn put_part(
        &self,
        url: &str,
        body: impl Into<Body>,
        length: u64,
        md5: Option<[u8; 16]>,
    ) -> Result<ETag, ApiFailure> {
        let answered = self.put(url, body.into(), length, md5).await?;
        answered.ok_or_else(|| self.failure(SEND, Reason::Header("ETag")))
    }

    /// Puts one part that is in memory; again after transient failures.
    pub async fn put_part_bytes(
        &self,
        url: &str,
        body: Bytes,
        md5: Option<[u8; 16]>,
    ) -> Result<ETag, ApiFailure> {
        let length = body.len() as u64;
        self.repeat(|| self.put_part(url, body.clone(), length, md5)).await
    }

    /// Makes one object of its parts. The same list again is accepted.
    pub async fn complete(&self, url: &str, parts: &[AcknowledgedPart]) -> Result<(), ApiFailure> {
        let body = complete_body(parts);
        let attempt = || async {
            let request = self
                .0
                .http
                .post(self.object_url(url)?)
                .header(header::CONTENT_TYPE, "text/xml")
                .body(body.clone());
            self.send(SEND, request).await.map(drop)
        };
        self.repeat(attempt).await
    }

    async fn put(
        &self,
        url: &str,
        body: Body,
        length: u64,
        md5: Option<[u8; 16]>,
    ) -> Result<Option<ETag>, ApiFailure> {
        let mut request = self
            .0
            .uploads
            .put(self.object_url(url)?)
            .timeout(self.time_for(length))
            .header(header::CONTENT_LENGTH, length)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(body);
        if let Some(md5) = md5 {
            request = request.header("Content-MD5", Opaque::encode(md5).0);
        }
        let response = self.send(SEND, request).await?;
        let etag = response.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
        Ok(etag.filter(|etag| !etag.is_empty()).map(|etag| ETag(etag.to_owned())))
    }

    /// How long a body of `length` bytes may take before its line is taken for dead.
    pub(super) fn time_for(&self, length: u64) -> Duration {
        self.0.limits.read_idle + Duration::from_secs(length / SLOWEST_RATE)
    }

    fn object_url(&self, url: &str) -> Result<url::Url, ApiFailure> {
        url::Url::parse(url).map_err(|error| self.failure(SEND, Reason::Address(error)))
    }
}

/// S3's list of parts. An ETag has no character that XML would need escaped; one that has is left to the server to
/// refuse, after escaping.
fn complete_body(parts: &[AcknowledgedPart]) -> String {
    let mut body = String::from("<CompleteMultipartUpload>");
    for AcknowledgedPart { number, etag } in parts {
        let etag = etag.0.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            .expect("writing to a string does not fail");
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parts_is_what_s3_reads() {
        let parts = [(1, "\"ab\""), (2, "cd")]
            .map(|(number, etag)| AcknowledgedPart { number, etag: ETag(etag.into()) });
        assert_eq!(
            complete_body(&parts),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"ab\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>cd</ETag></Part></CompleteMultipartUpload>"
        );
    }
}
