//! How much goes in one request, as far as a run knows: something on the way to the server, such as a proxy, may take less than the server does.
//!
//! Nobody tells that limit beforehand, and a refusal does not name it. So it is searched for from above: what was refused is halved, and
//! nothing larger is tried again in the same run.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::AssetError;

/// Bytes of the smallest request that is worth trying: what takes less takes no pictures at all.
const BYTES_LEAST: u64 = 64 << 10;

/// Shared by all that sends in a run.
#[derive(Debug)]
pub(super) struct RequestLimit(AtomicU64);

impl Default for RequestLimit {
    /// Nothing was refused so far.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl RequestLimit {
    /// The most bytes of a body that are worth trying.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a body of so many bytes is.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        bytes <= self.bytes()
    }

    /// Learns from what a body of so many bytes met, and gives it back: as what it was, or as
    /// [`RequestTooLarge`](AssetError::RequestTooLarge) if that was it.
    pub(super) fn weigh(&self, bytes: u64, error: AssetError) -> AssetError {
        match error {
            AssetError::Api(failure) if failure.is_too_large_on_the_way() => {
                self.0.fetch_min((bytes / 2).max(BYTES_LEAST), Ordering::Relaxed);
                AssetError::RequestTooLarge { bytes }
            }
            error => error,
        }
    }
}

/// Whether a body of so many bytes that was refused can be sent in smaller pieces.
pub(super) fn is_divisible(bytes: u64) -> bool {
    bytes > BYTES_LEAST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ApiFailure, Reason, Refusal};

    fn refused(status: u16, code: Option<&str>) -> AssetError {
        let refusal = Refusal {
            status: http::StatusCode::from_u16(status).unwrap(),
            code: code.map(str::to_owned),
            message: Some("<html>".to_owned()),
            is_own: code.is_some(),
            lacks_time: false,
            retry_after: None,
            conflicts: None,
        };
        let reason = Reason::Refused { refusal };
        AssetError::Api(ApiFailure { server: "photos.example".into(), attempt: "send files", reason })
    }

    #[test]
    fn what_was_refused_is_halved_and_nothing_larger_is_tried() {
        let limit = RequestLimit::default();
        assert!(limit.takes(u64::MAX));
        for (error, bytes, is_size, expected) in [
            (refused(403, None), 8 << 20, false, u64::MAX),
            // The server's own refusal says nothing of requests.
            (refused(413, Some("TOO_LARGE")), 8 << 20, false, u64::MAX),
            (AssetError::Damaged, 8 << 20, false, u64::MAX),
            (refused(413, None), 8 << 20, true, 4 << 20),
            (refused(413, None), 16 << 20, true, 4 << 20),
            (refused(413, None), 3 << 20, true, 3 << 19),
            (refused(413, None), 100 << 10, true, BYTES_LEAST),
            (refused(413, None), 1, true, BYTES_LEAST),
        ] {
            let weighed = limit.weigh(bytes, error);
            assert_eq!(
                matches!(weighed, AssetError::RequestTooLarge { bytes: told } if told == bytes),
                is_size
            );
            assert_eq!(limit.bytes(), expected, "{weighed:?}");
        }
        assert!(limit.takes(BYTES_LEAST) && !limit.takes(BYTES_LEAST + 1));
        assert!(is_divisible(BYTES_LEAST + 1) && !is_divisible(BYTES_LEAST));
    }
}
