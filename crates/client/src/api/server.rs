//! What the server can beyond the base API.

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure, Reason};
use darkslide_protocol::server::{Extension, ServerInfo};
use std::sync::PoisonError;
use std::time::Instant;

impl Api {
    /// Whether the server has an extension. It is asked once, as long as these connections are used; one that says nothing of itself is asked
    /// again after a while ([`Limits::unknown_for`](super::Limits::unknown_for)): something on the way to it may have answered in its place.
    pub async fn offers(&self, extension: Extension) -> Result<bool, ApiFailure> {
        if self.0.info.get().is_none() && self.said_nothing_lately() {
            return Ok(false);
        }
        match self.0.info.get_or_try_init(|| self.ask_for_info()).await {
            Ok(info) => Ok(info.extensions.contains(&extension)),
            Err(failure) if says_nothing(&failure) => {
                *self.0.said_nothing.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    fn said_nothing_lately(&self) -> bool {
        let said = *self.0.said_nothing.lock().unwrap_or_else(PoisonError::into_inner);
        said.is_some_and(|said| said.elapsed() < self.0.limits.unknown_for)
    }

    /// What the server says of itself.
    async fn ask_for_info(&self) -> Result<ServerInfo, ApiFailure> {
        self.ask(Call::get("ask what the server can", "/v1/server"), NOTHING).await
    }
}

/// 404 from a stock server; a page of some other kind from what stands before one.
fn says_nothing(failure: &ApiFailure) -> bool {
    !failure.is_transient() && matches!(failure.reason, Reason::Refused { .. } | Reason::NotUnderstood(_))
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, ServerUrl};
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const INFO: &str = r#"{"name":"darkslide","version":"1","extensions":["changes"],"signUpOpen":true,"limits":{"objectBytesMax":1,
        "itemsMax":1,"batchBytesMax":1,"batchObjectsMax":1,"batchCommitsMax":1,"collectionsMax":1,"lookupTagsMax":1,"changesMax":1,
        "uploadLifetimeMicros":1,"trashRetentionMicros":1}}"#;

    /// An agent that began just when its server was being started took it for a stock one for as long as it ran.
    #[tokio::test]
    async fn a_server_in_whose_place_another_answered_is_asked_again() {
        for (unknown_for, expected) in
            [(Duration::ZERO, [false, true, true]), (Duration::MAX, [false, false, false])]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = ServerUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let answering = tokio::spawn(async move {
                for (status, body) in [("404 Not Found", "404 page not found"), ("200 OK", INFO)] {
                    let (mut client, _) = listener.accept().await.unwrap();
                    let mut head = [0; 4096];
                    assert!(client.read(&mut head).await.unwrap() > 0);
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                    );
                    client.write_all(answer.as_bytes()).await.unwrap();
                }
            });
            let api = Api::new(server, None, Limits { unknown_for, ..Limits::default() }).unwrap();
            let mut told = Vec::new();
            for _ in 0..3 {
                told.push(api.offers(Extension::Changes).await.unwrap());
            }
            assert_eq!(told, expected);
            answering.abort();
        }
    }
}
