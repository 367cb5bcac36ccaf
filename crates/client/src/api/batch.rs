//! Many small objects and the commits that name them, in one call.

use super::{Api, ApiFailure, Reason, Refusal};
use bytes::Bytes;
use darkslide_protocol::Problem;
use darkslide_protocol::batch::{BATCH, BatchAnswer};
use http::{StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SEND: &str = "send files";

impl Api {
    /// Sends one batch, whose frames are `pieces` one after the other, once. The same batch again is answered as the first time.
    /// `sent` counts the bytes that were handed to the network.
    pub async fn batch(&self, pieces: Vec<Bytes>, sent: &Arc<AtomicU64>) -> Result<BatchAnswer, ApiFailure> {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let sent = Arc::clone(sent);
        let counted = pieces.into_iter().map(move |piece| {
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece)
        });
        let request = self
            .authenticated(self.0.uploads.post(self.server().at("/v1/batch")))
            .timeout(self.time_for(length))
            .header(header::CONTENT_LENGTH, length)
            .header(header::CONTENT_TYPE, BATCH)
            .body(reqwest::Body::wrap_stream(futures_util::stream::iter(counted)));
        let response = self.send(SEND, request).await?;
        let body = self.read_all(SEND, response).await?;
        self.parse(SEND, &body)
    }

    /// One item's problem as the failure that it would have been alone.
    pub fn refusal(&self, problem: Problem) -> ApiFailure {
        let refusal = Refusal {
            status: StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: Some(problem.code),
            message: problem.detail,
            is_own: true,
            lacks_time: false,
            retry_after: None,
            conflicts: None,
        };
        self.failure(SEND, Reason::Refused { refusal })
    }
}
