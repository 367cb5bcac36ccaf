//! The JSON of an export: the sidecar of a picture, the description of an album, or something else.
//!
//! Told apart by content, because names are translated (`metadata.json`, `Metadaten.json`, `métadonnées.json`, …). Reading is
//! lenient: a value of another type than expected counts as absent, and only what is no JSON object at all is nothing.

use serde_json::{Map, Value};

use crate::place::Place;

/// The largest JSON that is worth reading, in bytes. Real sidecars have one or two kilobytes; those with many people, ten.
pub const JSON_MAX: u64 = 1 << 20;

/// Characters of a title or a description that are kept: more than Google takes, and little enough for the metadata of a file.
const TEXT_MAX: usize = 4000;

/// What one JSON file of an export is.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// Of one picture or video.
    Sidecar(Box<Sidecar>),
    /// Of the album whose folder it lies in.
    Album(AlbumDocument),
    /// Comments, print orders and their like, or no JSON.
    Other,
}

/// What a sidecar says of its picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sidecar {
    /// The name that it had at Google, before clipping and replacement of characters.
    pub title: Option<String>,
    /// The description that its owner wrote.
    pub description: Option<String>,
    /// `photoTakenTime`: the date that Google shows, as corrected by the owner; µs since the epoch.
    pub taken: Option<i64>,
    /// `geoData`: the place that Google shows, as corrected by the owner or guessed.
    pub place: Option<Place>,
    /// `geoDataExif`: the place that the picture had when it was uploaded.
    pub exif_place: Option<Place>,
    /// Marked as a favourite.
    pub favourite: bool,
    /// Kept out of the main view.
    pub archived: bool,
    /// In Google's trash.
    pub trashed: bool,
}

/// What an album's own file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlbumDocument {
    /// Its name; none where the owner gave none.
    pub title: Option<String>,
}

/// Reads one JSON file.
pub fn read(bytes: &[u8]) -> Document {
    // Some exports begin with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(Value::Object(object)) = serde_json::from_slice(bytes) else { return Document::Other };
    if object.contains_key("photoTakenTime") {
        return Document::Sidecar(Box::new(sidecar(&object)));
    }
    // Until 2019 albums were described one level down.
    let album = object.get("albumData").and_then(Value::as_object).unwrap_or(&object);
    // Every file of a picture has an address, or numbers of its own; an album's has a title, and at most a description and a date.
    let is_picture =
        ["url", "imageViews", "creationTime", "mediaMetadata"].iter().any(|key| album.contains_key(*key));
    match album.get("title") {
        Some(Value::String(_)) if !is_picture => {
            Document::Album(AlbumDocument { title: text(album, "title") })
        }
        Some(Value::String(_)) => Document::Sidecar(Box::new(sidecar(&object))),
        _ => Document::Other,
    }
}

fn sidecar(object: &Map<String, Value>) -> Sidecar {
    let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(false);
    Sidecar {
        title: text(object, "title"),
        description: text(object, "description"),
        taken: object.get("photoTakenTime").and_then(moment),
        place: object.get("geoData").and_then(place),
        exif_place: object.get("geoDataExif").and_then(place),
        favourite: flag("favorited"),
        archived: flag("archived"),
        trashed: flag("trashed"),
    }
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    let text: String = unescaped(object.get(key)?.as_str()?).trim().chars().take(TEXT_MAX).collect();
    (!text.is_empty()).then_some(text)
}

/// Google writes some characters as HTML does, though this is JSON: `&#39;`, `&amp;`.
fn unescaped(text: &str) -> String {
    const NAMED: [(&str, char); 5] = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')];
    let decode = |name: &str| {
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, character)| *character);
        named.or_else(|| name.strip_prefix('#')?.parse().ok().and_then(char::from_u32))
    };
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(name, behind)| Some((decode(name)?, behind))) {
            Some((character, behind)) => {
                plain.push(character);
                rest = behind;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain + rest
}

/// `{"timestamp":"1741000000"}`: seconds, negative before 1970. Zero is how Google writes that it does not know.
fn moment(value: &Value) -> Option<i64> {
    let timestamp = value.get("timestamp")?;
    let seconds = timestamp.as_i64().or_else(|| timestamp.as_str()?.trim().parse().ok())?;
    (seconds != 0).then(|| seconds.checked_mul(1_000_000)).flatten()
}

/// 0, 0 is how Google writes that there is none.
fn place(value: &Value) -> Option<Place> {
    let degrees = |key: &str| value.get(key).and_then(Value::as_f64);
    let (latitude, longitude) = (degrees("latitude")?, degrees("longitude")?);
    (latitude != 0.0 || longitude != 0.0).then(|| Place::new(latitude, longitude)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sidecar_of(json: &str) -> Sidecar {
        match read(json.as_bytes()) {
            Document::Sidecar(sidecar) => *sidecar,
            other => panic!("{json} is {other:?}"),
        }
    }

    #[test]
    fn told_apart_by_content() {
        let album = |title: Option<&str>| Document::Album(AlbumDocument { title: title.map(str::to_owned) });
        for (json, expected) in [
            (
                r#"{"title":"Paris","description":"","access":"protected","date":{"timestamp":"1"}}"#,
                album(Some("Paris")),
            ),
            (r#"{"albumData":{"title":"Paris","date":{}}}"#, album(Some("Paris"))),
            (r#"{"title":""}"#, album(None)),
            ("\u{feff}{\"title\":\" x \"}", album(Some("x"))),
            ("{}", Document::Other),
            (r#"{"title":["a","b"]}"#, Document::Other),
            (r#"{"comments":[]}"#, Document::Other),
            ("[1]", Document::Other),
            ("<html>", Document::Other),
            ("", Document::Other),
        ] {
            assert_eq!(read(json.as_bytes()), expected, "{json}");
        }
        assert_eq!(sidecar_of(r#"{"title":"a.jpg","url":"https://x"}"#).title.as_deref(), Some("a.jpg"));
    }

    #[test]
    fn everything_that_a_sidecar_says() {
        let json = r#"{"title":"A.jpg","description":"one\ntwo ","photoTakenTime":{"timestamp":"1700000001"},
            "creationTime":{"timestamp":"1767225600"},
            "geoData":{"latitude":48.5,"longitude":2.25,"altitude":0.0},"geoDataExif":{"latitude":48.0,"longitude":2.0},
            "favorited":true,"archived":true,"trashed":true,"people":[{"name":"Ana"}]}"#;
        let expected = Sidecar {
            title: Some("A.jpg".to_owned()),
            description: Some("one\ntwo".to_owned()),
            taken: Some(1_700_000_001_000_000),
            place: Place::new(48.5, 2.25),
            exif_place: Place::new(48.0, 2.0),
            favourite: true,
            archived: true,
            trashed: true,
        };
        assert_eq!(sidecar_of(json), expected);
    }

    #[test]
    fn texts_are_written_as_in_html() {
        for (text, expected) in [
            ("a/b:c?&#39;.jpg", "a/b:c?'.jpg"),
            ("Tom &amp; Jerry &lt;3&gt; &quot;", "Tom & Jerry <3> \""),
            ("&amp;lt;", "&lt;"),
            ("R&B; A & B", "R&B; A & B"),
            ("&#1114112;&#;&", "&#1114112;&#;&"),
        ] {
            assert_eq!(unescaped(text), expected);
        }
    }

    #[test]
    fn endless_texts_are_cut() {
        let json = format!(r#"{{"photoTakenTime":{{}},"description":"{}"}}"#, "é".repeat(100_000));
        assert_eq!(sidecar_of(&json).description, Some("é".repeat(TEXT_MAX)));
    }

    #[test]
    fn dates() {
        for (json, expected) in [
            (r#"{"timestamp":"-466300800"}"#, Some(-466_300_800)),
            (r#"{"timestamp":1700000001}"#, Some(1_700_000_001)),
            (r#"{"timestamp":"0"}"#, None),
            (r#"{"timestamp":"soon"}"#, None),
            (r#"{"timestamp":"9223372036854775807"}"#, None),
            (r#"{"formatted":"1 Jan"}"#, None),
            ("7", None),
        ] {
            let taken = sidecar_of(&format!(r#"{{"photoTakenTime":{json}}}"#)).taken;
            assert_eq!(taken, expected.map(|seconds: i64| seconds * 1_000_000), "{json}");
        }
    }

    #[test]
    fn places() {
        for (json, expected) in [
            (r#"{"latitude":0.0,"longitude":0.0}"#, None),
            (r#"{"latitude":0.0,"longitude":9.5}"#, Place::new(0.0, 9.5)),
            (r#"{"latitude":91.0,"longitude":0.0}"#, None),
            (r#"{"latitude":"48","longitude":2}"#, None),
            (r#"{"latitude":48}"#, None),
        ] {
            let place = sidecar_of(&format!(r#"{{"photoTakenTime":{{}},"geoData":{json}}}"#)).place;
            assert_eq!(place, expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }
    }
}
