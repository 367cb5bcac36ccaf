//! Objects coming out: the redirect to an object's own URL, and its bytes from any position.
//!
//! The object's URL gets no session token: it is authorised by its signature alone.

use super::call::Call;
use super::{Api, ApiFailure, Reason};
use bytes::Bytes;
use darkslide_protocol::FileId;
use http::{StatusCode, header};
use reqwest::Response;
use url::Url;

/// Which of a file's two objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// The picture or video itself.
    Original,
    /// Its small picture.
    Thumbnail,
}

/// The ciphertext of one object, arriving.
#[derive(Debug)]
pub struct ObjectBody {
    api: Api,
    response: Response,
    /// Bytes of ciphertext that are still to come before the position that was asked for.
    to_skip: u64,
}

/// Where an object is.
#[derive(Debug)]
pub enum Located {
    /// Its bytes come at once.
    Here(ObjectBody),
    /// At a URL of its own, which is valid for days, so that an interrupted download can go on with it.
    There(Url),
}

const FETCH: &str = "fetch a file";

fn path_of(kind: ObjectKind, file: FileId) -> String {
    match kind {
        ObjectKind::Original => format!("/files/download/{file}"),
        ObjectKind::Thumbnail => format!("/files/preview/{file}"),
    }
}

impl Api {
    /// The object from its beginning, if the server sends it at once (RFC 7240 §4.2); otherwise where it is.
    pub async fn object(&self, kind: ObjectKind, file: FileId) -> Result<Located, ApiFailure> {
        let path = path_of(kind, file);
        self.repeat(|| self.located(Call::get(FETCH, &path))).await
    }

    /// Where an object's bytes are.
    pub async fn object_location(&self, kind: ObjectKind, file: FileId) -> Result<Url, ApiFailure> {
        let path = path_of(kind, file);
        self.repeat(|| self.redirect_of(Call::get(FETCH, &path))).await
    }

    /// The bytes at `location` from `position` on. Asked once: whoever reads them asks again from where it got to.
    pub async fn open_object(&self, location: &Url, position: u64) -> Result<ObjectBody, ApiFailure> {
        let mut request = self.0.http.get(location.clone());
        if position > 0 {
            request = request.header(header::RANGE, format!("bytes={position}-"));
        }
        let response = self.send(FETCH, request).await?;
        let to_skip = match response.status() {
            StatusCode::OK => position,
            StatusCode::PARTIAL_CONTENT if starts_at(&response, position) => 0,
            _ => return Err(self.failure(FETCH, Reason::Header("Content-Range"))),
        };
        Ok(ObjectBody { api: self.clone(), response, to_skip })
    }

    async fn located(&self, call: Call<'_>) -> Result<Located, ApiFailure> {
        let request = self.0.http.get(self.server().at(call.path)).header("prefer", "return=representation");
        let response = self.send(call.attempt, self.authenticated(request)).await?;
        if response.status() == StatusCode::OK {
            return Ok(Located::Here(ObjectBody { api: self.clone(), response, to_skip: 0 }));
        }
        self.target_of(call, &response).map(Located::There)
    }

    async fn redirect_of(&self, call: Call<'_>) -> Result<Url, ApiFailure> {
        let url = self.server().at(call.path);
        let response = self.send(call.attempt, self.authenticated(self.0.http.get(url))).await?;
        self.target_of(call, &response)
    }

    fn target_of(&self, call: Call<'_>, response: &Response) -> Result<Url, ApiFailure> {
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| self.failure(call.attempt, Reason::Header("Location")))?;
        let base = self.server().as_url();
        base.join(location).map_err(|error| self.failure(call.attempt, Reason::Address(error)))
    }
}

impl ObjectBody {
    /// The next piece, `None` at the end. A connection that breaks off is an error, never an end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiFailure> {
        loop {
            let chunk = self.response.chunk().await.map_err(|error| self.api.unreachable(FETCH, error))?;
            let Some(mut chunk) = chunk else { return Ok(None) };
            let skipped = usize::try_from(self.to_skip).unwrap_or(usize::MAX).min(chunk.len());
            self.to_skip -= skipped as u64;
            let rest = chunk.split_off(skipped);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
    }
}

fn starts_at(response: &Response, position: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.and_then(first_byte) == Some(position)
}

/// `bytes 5-9/10` begins at 5.
fn first_byte(content_range: &str) -> Option<u64> {
    let (first, _) = content_range.trim().strip_prefix("bytes")?.trim_start().split_once('-')?;
    first.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::first_byte;

    #[test]
    fn reads_where_a_range_begins() {
        for (header, first) in [
            ("bytes 5-9/10", Some(5)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */10", None),
            ("items 5-9/10", None),
        ] {
            assert_eq!(first_byte(header), first, "{header}");
        }
    }
}
