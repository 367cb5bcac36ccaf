//! Query parameters and path members, read so that nothing a client adds can fail a request.

use crate::error::{ApiError, ApiResult};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use darkslide_protocol::Version;
use std::convert::Infallible;
use std::num::IntErrorKind;
use std::str::FromStr;

/// A request's query parameters. Those that nobody asks for are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or("")))
    }
}

impl Parameters {
    /// From the text after the question mark.
    pub(crate) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first parameter of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The parameter of that name, when it is there and means something.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// A number that is bounded by whoever asks: one that is larger than any means as many as there may be.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)?.parse::<i64>() {
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(i64::MAX),
            parsed => parsed.ok(),
        }
    }

    /// The parameter of that name, or 400.
    pub(crate) fn required<T: FromStr>(&self, name: &str) -> ApiResult<T> {
        self.parsed(name).ok_or(ApiError::BAD_REQUEST)
    }

    /// A cursor. Missing or unreadable, it is the beginning.
    pub(crate) fn cursor(&self, name: &str) -> Version {
        self.parsed(name).unwrap_or_default()
    }
}

/// An id in a path, or 400.
pub(crate) fn id<T: FromStr>(text: &str) -> ApiResult<T> {
    text.parse().map_err(|_| ApiError::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_forgiving_and_ids_are_not() {
        let check = |query, expected| {
            assert_eq!(Parameters::parse(query).cursor("sinceTime"), Version(expected), "{query}");
        };
        check("sinceTime=5&ts=1&source=fg", 5);
        check("", 0);
        check("sinceTime=", 0);
        check("sinceTime=abc", 0);
        let number = |query| Parameters::parse(query).number("limit");
        assert_eq!((number("limit=5"), number("limit=x"), number("")), (Some(5), None, None));
        assert_eq!(number("limit=99999999999999999999"), Some(i64::MAX));
        assert_eq!(number("limit=-99999999999999999999"), None);
        assert!(Parameters::parse("id=x").required::<i64>("id").is_err());
    }
}
