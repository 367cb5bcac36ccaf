//! Where a file was and what it was called: the first time in its metadata, every further time in a list beside them.
//!
//! Equal content is one file in the vault. So that each of its copies comes back under its own name, the file's private
//! magic metadata list the copies after the first: `{"darkslide":{"also":[{…}]}}`. An entry has the keys of the
//! metadata's own `darkslide` object ([`backup::describe`](crate::backup::describe)) and
//!
//! | key | meaning |
//! |---|---|
//! | `collection` | the collection that this copy was backed up to |
//! | `title`, `modificationTime` | as the stock keys of the metadata |
//! | `instead` | true where the file came to this collection by this copy: the first name does not belong there |
//!
//! Stock clients keep keys that they do not know. It only describes; who links and who restores is elsewhere.

use crate::catalog::FileRow;
use darkslide_media::metadata::FileMetadata;
use darkslide_protocol::CollectionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The key under which everything of this program's own stands.
pub(crate) const OWN: &str = "darkslide";

/// The key of what a file was before, where that is only the beginning of what it is.
pub(crate) const SUPERSEDES: &str = "supersedes";

/// The key that says that somebody else than the file said when it was taken.
pub(crate) const DATED: &str = "dated";

/// The key of the list.
const ALSO: &str = "also";

/// Copies of one content that are remembered.
const ALSO_MAX: usize = 1000;

/// One copy: its folder, names and times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Appearance {
    /// Below the folder that the album stands for, `/`-separated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<String>,
    /// The name; not UTF-8 replaced.
    pub(crate) title: String,
    /// The name's bytes, percent-encoded, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw_title: Option<String>,
    /// µs since the epoch.
    pub(crate) modification_time: i64,
    /// Nanoseconds within the second, where the microseconds do not say it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modification_time_nanos: Option<u64>,
    /// A Live Photo's video, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video_title: Option<String>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw_video_title: Option<String>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video_modification_time: Option<i64>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video_modification_time_nanos: Option<u64>,
}

/// A copy after the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Also {
    collection: CollectionId,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    instead: bool,
    #[serde(flatten)]
    appearance: Appearance,
}

impl Appearance {
    /// Whether both stand in one folder under one name.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let names = |it: &Self| (it.folder.clone(), it.title.clone(), it.raw_title.clone());
        names(self) == names(other)
    }
}

/// Every copy of this membership's file in this membership's collection; at least one.
pub(crate) fn appearances(row: &FileRow) -> Vec<Appearance> {
    let here = also_in(row.private_metadata.as_deref()).into_iter();
    let here: Vec<Also> = here.filter(|also| also.collection == row.collection).collect();
    let mut all = Vec::new();
    if !here.iter().any(|also| also.instead) {
        all.push(first(row));
    }
    for Also { appearance, .. } in here {
        // What was seen of a place last is what it is.
        match all.iter_mut().find(|known| known.is_same_place(&appearance)) {
            Some(known) => *known = appearance,
            None => all.push(appearance),
        }
    }
    all
}

/// How the file was first backed up. Own keys that are damaged count as absent.
pub(crate) fn first(row: &FileRow) -> Appearance {
    let metadata = row.metadata.as_deref().and_then(|text| FileMetadata::from_json(text.as_bytes()).ok());
    let own = metadata.as_ref().and_then(|metadata| metadata.unknown.get(OWN));
    let own = own.and_then(|own| serde_json::from_value(own.clone()).ok()).unwrap_or_default();
    let title = row.title.clone().unwrap_or_else(|| format!("file-{}", row.id));
    Appearance { title, modification_time: row.modified, ..own }
}

/// The private magic metadata with a copy in their list, in the stead of one at the same place; `None` where it is remembered already,
/// or too many are. `instead`: the file came to the collection by this copy.
pub(crate) fn remember(
    private: Option<&str>,
    collection: CollectionId,
    appearance: &Appearance,
    instead: bool,
) -> Option<Map<String, Value>> {
    let mut also = Also { collection, instead, appearance: appearance.clone() };
    let mut private = private.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let list = list_of(&mut private);
    let read = |entry: &Value| serde_json::from_value::<Also>(entry.clone()).ok();
    let is_here = |also: &Also| also.collection == collection && also.appearance.is_same_place(appearance);
    for entry in &mut *list {
        let Some(known) = read(entry).filter(is_here) else { continue };
        if known.appearance == *appearance {
            return None;
        }
        also.instead |= known.instead;
        *entry = value(&also);
        return Some(private);
    }
    // Damaged entries count: the bound is on what is stored.
    if list.len() >= ALSO_MAX {
        return None;
    }
    list.push(value(&also));
    Some(private)
}

fn value(also: &Also) -> Value {
    serde_json::to_value(also).expect("text and numbers are JSON")
}

/// The list, made where it is not there. What stands in its place and is none is replaced.
fn list_of(private: &mut Map<String, Value>) -> &mut Vec<Value> {
    let own = private.entry(OWN).or_insert_with(|| Value::Object(Map::new()));
    if !own.is_object() {
        *own = Value::Object(Map::new());
    }
    let own = own.as_object_mut().expect("it was just made one");
    let list = own.entry(ALSO).or_insert_with(|| Value::Array(Vec::new()));
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut().expect("it was just made one")
}

/// The remembered copies; entries that are damaged are left out.
fn also_in(private: Option<&str>) -> Vec<Also> {
    let private = private.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let list = private.get(OWN).and_then(|own| own.get(ALSO)).and_then(Value::as_array);
    let read = |also: &Value| serde_json::from_value::<Also>(also.clone()).ok();
    let named = |also: &Also| !also.appearance.title.is_empty();
    list.into_iter().flatten().take(ALSO_MAX).filter_map(read).filter(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(folder: &str, title: &str) -> Appearance {
        let folder = (!folder.is_empty()).then(|| folder.to_owned());
        Appearance { folder, title: title.to_owned(), modification_time: 5, ..Appearance::default() }
    }

    #[test]
    fn a_copy_is_remembered_once_and_other_keys_are_kept() {
        let album = CollectionId(1);
        let before = r#"{"visibility":1,"darkslide":{"x":2}}"#;
        let once = remember(Some(before), album, &at("x", "a.jpg"), false).unwrap();
        let text = Value::Object(once).to_string();
        assert_eq!(
            text,
            r#"{"darkslide":{"also":[{"collection":1,"folder":"x","modificationTime":5,"title":"a.jpg"}],"x":2},"visibility":1}"#
        );
        assert_eq!(remember(Some(&text), album, &at("x", "a.jpg"), false), None);
        assert!(remember(Some(&text), album, &at("", "a.jpg"), false).is_some());
        let later = Appearance { modification_time: 6, ..at("x", "a.jpg") };
        let replaced = Value::Object(remember(Some(&text), album, &later, false).unwrap()).to_string();
        assert_eq!(
            also_in(Some(&replaced)).iter().map(|also| &also.appearance).collect::<Vec<_>>(),
            [&later]
        );
        assert!(remember(Some(&text), CollectionId(2), &at("x", "a.jpg"), true).is_some());
    }

    #[test]
    fn the_list_is_bounded_and_damage_is_passed_over() {
        let mut private = Some(r#"{"darkslide":{"also":[7,{"collection":"x"},{"title":""}]}}"#.to_owned());
        assert_eq!(also_in(private.as_deref()), []);
        for number in 0.. {
            let next = remember(private.as_deref(), CollectionId(1), &at("", &format!("{number}")), false);
            let Some(next) = next else { break };
            private = Some(Value::Object(next).to_string());
            assert!(number < 2 * ALSO_MAX, "it never ends");
        }
        assert!(also_in(private.as_deref()).len() <= ALSO_MAX);
        let made = remember(Some(r#"{"darkslide":3}"#), CollectionId(1), &at("", "a"), false).unwrap();
        assert_eq!(also_in(Some(&Value::Object(made).to_string())).len(), 1);
    }
}
