//! The ordered feed of the whole account, and the news of it.

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure, Reason};
use darkslide_protocol::Version;
use darkslide_protocol::change::{Changes, Newest};
use reqwest::Response;

const LISTEN: &str = "listen for changes";

/// The longest line of a stream of news, in bytes: many times what one has.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Server-sent events, arriving: the newest version, again and again.
#[derive(Debug)]
pub struct NewsStream {
    api: Api,
    response: Response,
    text: Vec<u8>,
}

impl Api {
    /// One page of what changed in the whole account after the cursor, oldest first.
    pub async fn changes(&self, after: Version, limit: u16) -> Result<Changes, ApiFailure> {
        let (after, limit) = (after.to_string(), limit.to_string());
        let query = [("after", after.as_str()), ("limit", limit.as_str())];
        self.ask(Call::get("list what changed", "/v1/changes").query(&query), NOTHING).await
    }

    /// Begins to listen. Asked once: whoever listens knows when to ask again.
    pub async fn open_news(&self) -> Result<NewsStream, ApiFailure> {
        let url = self.server().at("/v1/changes/live");
        let response = self.send(LISTEN, self.authenticated(self.0.http.get(url))).await?;
        Ok(NewsStream { api: self.clone(), response, text: Vec::new() })
    }
}

impl NewsStream {
    /// The next version; `None` when the server has ended the stream. Heartbeats are passed over; without one in time the line is
    /// taken for broken. Nothing is lost when it is dropped while it waits.
    pub async fn next(&mut self) -> Result<Option<Version>, ApiFailure> {
        loop {
            while let Some(line) = take_line(&mut self.text) {
                if let Some(version) = self.read(&line)? {
                    return Ok(Some(version));
                }
            }
            let chunk = self.response.chunk().await.map_err(|error| self.api.unreachable(LISTEN, error))?;
            let Some(chunk) = chunk else { return Ok(None) };
            if self.text.len() + chunk.len() > LINE_BYTES_MAX {
                return Err(self.api.failure(LISTEN, Reason::TooLong));
            }
            self.text.extend_from_slice(&chunk);
        }
    }

    /// An event here is one line of data; comments and fields of other kinds are passed over.
    fn read(&self, line: &[u8]) -> Result<Option<Version>, ApiFailure> {
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(None) };
        let newest: Newest = serde_json::from_slice(data.trim_ascii())
            .map_err(|error| self.api.failure(LISTEN, Reason::NotUnderstood(error)))?;
        Ok(Some(newest.version))
    }
}

/// Takes the first whole line, without its end.
fn take_line(text: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let rest = text.split_off(end + 1);
    let mut line = std::mem::replace(text, rest);
    line.pop();
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::take_line;

    #[test]
    fn lines_are_taken_whole() {
        let mut text = b"data: 1\r\n\ndata: ".to_vec();
        assert_eq!(take_line(&mut text).unwrap(), b"data: 1\r");
        assert_eq!(take_line(&mut text).unwrap(), b"");
        assert_eq!((take_line(&mut text), text.as_slice()), (None, b"data: ".as_slice()));
    }
}
