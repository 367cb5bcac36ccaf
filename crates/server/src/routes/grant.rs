//! Signed URLs of blobs: what they allow is written in them, and the signature says that this server wrote it.
//!
//! A download URL is good only as long as the session that it was given to.
//!
//! Minting writes nothing to the database: a URL that is never used leaves no trace. The path must not contain `/files`, by which
//! phones tell failed commits from failed uploads.

use super::parameters::Parameters;
use crate::auth::session::hex;
use crate::auth::signer::Signer;
use crate::objects::checksum::parse_hex;
use crate::store::uploads::ObjectAddress;
use axum::http::Method;
use darkslide_protocol::ObjectKey;
use darkslide_protocol::limits::DAY_MICROS;
use url::Url;

/// How long a URL is good: 7 days, since phones resume days later.
pub(crate) const LIFETIME_MICROS: i64 = 7 * DAY_MICROS;

/// The first member of the path.
const ROOT: &str = "blob/";

/// What a URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `PUT` of a whole object.
    Whole,
    /// `PUT` of one part, counted from 1.
    Part(u32),
    /// `POST` of the list of parts.
    Complete,
    /// `GET` and `HEAD`.
    Download,
}

impl Purpose {
    /// What a method means at a path's last member.
    fn of(method: &Method, tail: Option<&str>) -> Option<Self> {
        match (method, tail) {
            (&Method::PUT, None) => Some(Self::Whole),
            (&Method::PUT, Some(part)) => part.parse().ok().map(Self::Part),
            (&Method::POST, Some("complete")) => Some(Self::Complete),
            (&Method::GET | &Method::HEAD, None) => Some(Self::Download),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Whole => "put",
            Self::Part(_) => "put part",
            Self::Complete => "complete",
            Self::Download => "get",
        }
    }

    fn tail(self) -> String {
        match self {
            Self::Whole | Self::Download => String::new(),
            Self::Part(number) => format!("/{number}"),
            Self::Complete => "/complete".to_owned(),
        }
    }
}

/// What the bearer of a URL may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) at: ObjectAddress,
    pub(crate) purpose: Purpose,
    /// µs since the epoch.
    pub(crate) expires: i64,
    /// Bytes of the body, when it was agreed.
    pub(crate) length: Option<u64>,
    /// MD5 of the body, when it was agreed.
    pub(crate) md5: Option<[u8; 16]>,
    /// How many parts the object has.
    pub(crate) count: Option<u32>,
    /// The session that a download URL was given to: the SHA-256 of its token, in hex. Whoever reads asks whether it still is.
    pub(crate) session: Option<String>,
}

impl Grant {
    /// A grant that says nothing of the body.
    pub(crate) fn new(at: ObjectAddress, purpose: Purpose, now: i64) -> Self {
        Self {
            at,
            purpose,
            expires: now + LIFETIME_MICROS,
            length: None,
            md5: None,
            count: None,
            session: None,
        }
    }

    /// The absolute URL, below `origin`, which ends in a slash.
    pub(crate) fn url(&self, signer: &Signer, origin: &Url) -> String {
        let fields = self.fields();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let signature = signer.sign(self.purpose.word(), &fields);
        let said = |name: &str, value: Option<String>| {
            value.map_or_else(String::new, |value| format!("&{name}={value}"))
        };
        let length = said("length", self.length.map(|length| length.to_string()));
        let md5 = said("md5", self.md5.map(|md5| hex(&md5)));
        let count = said("count", self.count.map(|count| count.to_string()));
        let session = said("session", self.session.clone());
        let (key, tail, expires) = (self.at.key(), self.purpose.tail(), self.expires);
        format!("{origin}{ROOT}{key}{tail}?expires={expires}{length}{md5}{count}{session}&sig={signature}")
    }

    /// What a URL's path and query allow `method` to do at `now`; `None` when they are not ours, were altered, or have expired.
    pub(crate) fn parse(signer: &Signer, method: &Method, path: &str, query: &str, now: i64) -> Option<Self> {
        let (_, rest) = path.rsplit_once(ROOT)?;
        let mut members = rest.splitn(3, '/');
        let key = ObjectKey(format!("{}/{}", members.next()?, members.next()?));
        let parameters = Parameters::parse(query);
        let grant = Self {
            at: ObjectAddress::parse(&key)?,
            purpose: Purpose::of(method, members.next())?,
            expires: parameters.parsed("expires")?,
            length: parameters.parsed("length"),
            md5: parameters.get("md5").and_then(parse_hex),
            count: parameters.parsed("count"),
            session: parameters.get("session").map(str::to_owned),
        };
        let fields = grant.fields();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let genuine = signer.verify(grant.purpose.word(), &fields, parameters.get("sig")?);
        let is_somebodys = grant.purpose != Purpose::Download || grant.session.is_some();
        (genuine && is_somebodys && grant.expires > now).then_some(grant)
    }

    fn fields(&self) -> Vec<String> {
        let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let mut fields = vec![
            self.at.key().0,
            self.purpose.tail(),
            self.expires.to_string(),
            text(self.length),
            self.md5.map_or_else(String::new, |md5| hex(&md5)),
            text(self.count.map(u64::from)),
        ];
        fields.extend(self.session.clone());
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_protocol::AccountId;

    fn parse(url: &str, method: &Method, now: i64) -> Option<Grant> {
        let url = Url::parse(url).unwrap();
        Grant::parse(&Signer::new([1; 32]), method, url.path(), url.query().unwrap_or(""), now)
    }

    fn url_of(grant: &Grant) -> String {
        grant.url(&Signer::new([1; 32]), &Url::parse("https://photos.example/").unwrap())
    }

    #[test]
    fn an_url_allows_what_it_says_and_nothing_else() {
        let at = ObjectAddress::generate(AccountId(5));
        let grant = Grant {
            length: Some(77),
            md5: Some([9; 16]),
            count: Some(3),
            ..Grant::new(at, Purpose::Part(2), 1_000)
        };
        let url = url_of(&grant);
        assert_eq!(parse(&url, &Method::PUT, 1_000), Some(grant.clone()));
        assert_eq!(parse(&format!("{url}&ts=1"), &Method::PUT, 1_000), Some(grant.clone()));
        assert_eq!(parse(&url, &Method::PUT, grant.expires), None, "expired");
        for (from, to) in [
            ("/2?", "/3?"),
            ("/2?", "?"),
            ("length=77", "length=78"),
            ("&count=3", ""),
            ("0909", "0908"),
            ("/5/", "/6/"),
        ] {
            assert_eq!(parse(&url.replacen(from, to, 1), &Method::PUT, 1_000), None, "{from} → {to}");
        }
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert_eq!(parse(&url, &method, 1_000), None, "{method}");
        }
    }

    #[test]
    fn an_upload_url_is_no_download_url() {
        let at = ObjectAddress::generate(AccountId(5));
        let url = url_of(&Grant::new(at, Purpose::Whole, 1_000));
        assert!(parse(&url, &Method::PUT, 1_000).is_some());
        assert_eq!(parse(&url, &Method::GET, 1_000), None);
        let grant = Grant { session: Some("ab".to_owned()), ..Grant::new(at, Purpose::Download, 1_000) };
        let url = url_of(&grant);
        assert_eq!(parse(&url, &Method::HEAD, 1_000), Some(grant));
        assert_eq!(parse(&url, &Method::PUT, 1_000), None);
    }

    #[test]
    fn a_download_url_is_one_session_s() {
        let at = ObjectAddress::generate(AccountId(5));
        let grant = Grant::new(at, Purpose::Download, 1_000);
        let url = url_of(&Grant { session: Some("ab".to_owned()), ..grant.clone() });
        for (from, to) in [("session=ab", "session=ac"), ("&session=ab", ""), ("session=ab", "session=")] {
            assert_eq!(parse(&url.replacen(from, to, 1), &Method::GET, 1_000), None, "{from} → {to}");
        }
        assert_eq!(parse(&url_of(&grant), &Method::GET, 1_000), None, "nobody's");
    }

    #[test]
    fn trap_04_blob_url_has_no_files_in_it() {
        let at = ObjectAddress::generate(AccountId(5));
        for purpose in [Purpose::Whole, Purpose::Part(1), Purpose::Complete, Purpose::Download] {
            assert!(!url_of(&Grant::new(at, purpose, 1_000)).contains("/files"));
        }
    }
}
