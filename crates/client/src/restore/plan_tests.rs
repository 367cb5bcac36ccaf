//! Where files go, as tables.

use super::*;
use darkslide_protocol::collection::CollectionType;
use darkslide_protocol::{AccountId, Opaque, Version};

fn album(id: i64, name: &str) -> CollectionRow {
    CollectionRow {
        id: CollectionId(id),
        owner: AccountId(1),
        name: name.to_owned(),
        kind: CollectionType::Album,
        encrypted_key: Opaque::default(),
        key_nonce: None,
        version: Version(1),
        deleted: false,
    }
}

fn file(id: i64, album: i64, title: &str, own: &str) -> FileRow {
    let kind = i64::from(title.ends_with("LIVE.HEIC")) * 2;
    let metadata = format!(
        r#"{{"title":{title:?},"fileType":{kind},"creationTime":1,"modificationTime":1500000,"darkslide":{own}}}"#
    );
    FileRow {
        id: FileId(id),
        collection: CollectionId(album),
        owner: AccountId(1),
        encrypted_key: Opaque::default(),
        key_nonce: Opaque::default(),
        title: Some(title.to_owned()),
        content_hash: None,
        kind,
        taken: 1,
        modified: 1_500_000,
        object_size: 0,
        thumbnail_size: 0,
        object_header: Opaque::default(),
        thumbnail_header: Opaque::default(),
        metadata: Some(metadata),
        public_metadata: None,
        private_metadata: None,
        version: Version(1),
        deleted: false,
    }
}

/// The paths that the plan tries first, in order.
fn paths(rows: Vec<FileRow>, albums: &[CollectionRow]) -> Vec<String> {
    let plan = plan(rows, albums, AccountId(1), false);
    let mut paths = Vec::new();
    for file in &plan.files {
        for place in &file.places {
            for part in &place.parts {
                let path = place.folder.join(part.name.candidate(place.number));
                paths.push(path.to_string_lossy().into_owned());
            }
        }
    }
    paths
}

#[test]
fn albums_are_folders_and_folders_stay_folders() {
    let albums = [album(1, "Photos"), album(2, "Photos"), album(3, "")];
    let rows = vec![
        file(1, 1, "a.jpg", "{}"),
        file(2, 1, "a.jpg", r#"{"folder":"2019/Paris"}"#),
        file(3, 2, "a.jpg", "{}"),
        file(4, 3, "a.jpg", "{}"),
    ];
    assert_eq!(
        paths(rows, &albums),
        ["Photos/a.jpg", "Photos/2019/Paris/a.jpg", "Photos (1)/a.jpg", "_/a.jpg"]
    );
}

#[test]
fn one_name_in_one_folder_is_numbered() {
    let albums = [album(1, "A")];
    let titles = ["a.jpg", "A.JPG", "a.jpg", "caf\u{e9}.jpg", "cafe\u{301}.jpg", "a.jpg"];
    let rows = (1..).zip(titles).map(|(id, title)| file(id, 1, title, "{}")).collect();
    assert_eq!(
        paths(rows, &albums),
        ["A/a.jpg", "A/A.JPG", "A/a (1).jpg", "A/caf\u{e9}.jpg", "A/cafe\u{301}.jpg", "A/a (2).jpg"]
    );
}

#[test]
fn a_file_in_two_albums_goes_to_both() {
    let albums = [album(1, "A"), album(2, "B")];
    let plan = plan(vec![file(1, 1, "a.jpg", "{}"), file(1, 2, "a.jpg", "{}")], &albums, AccountId(1), false);
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.files[0].places.len(), 2);
}

#[test]
fn the_halves_of_a_live_photo_keep_their_names_or_one_number() {
    let albums = [album(1, "A")];
    let named = r#"{"videoTitle":"other.MOV","videoModificationTime":-500000}"#;
    let rows =
        vec![file(1, 1, "LIVE.HEIC", named), file(2, 1, "other.MOV", "{}"), file(3, 1, "LIVE.HEIC", named)];
    assert_eq!(
        paths(rows.clone(), &albums),
        ["A/LIVE.HEIC", "A/other.MOV", "A/other (1).MOV", "A/LIVE (2).HEIC", "A/other (2).MOV"]
    );
    let plan = plan(rows, &albums, AccountId(1), false);
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
    assert_eq!(plan.files[0].places[0].parts[1].modified, before_1970);
}

#[test]
fn a_video_without_a_name_takes_the_still_s() {
    let albums = [album(1, "A")];
    let plan = plan(vec![file(1, 1, "LIVE.HEIC", "{}")], &albums, AccountId(1), false);
    let video = plan.files[0].places[0].parts[1].name.clone().with_extension("MP4");
    assert_eq!(video.candidate(0), "LIVE.MP4");
}

#[test]
fn nothing_leaves_the_folder() {
    let albums = [album(1, "..")];
    for own in [r#"{"folder":"../../etc"}"#, r#"{"folder":"/etc"}"#, r#"{"rawTitle":"..%2F..%2Fx"}"#] {
        for path in paths(vec![file(1, 1, "../x/..", own)], &albums) {
            let components: Vec<_> = Path::new(&path).components().collect();
            let plain =
                |component: &std::path::Component<'_>| matches!(component, std::path::Component::Normal(_));
            assert!(components.iter().all(plain), "{path}");
        }
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_come_back_as_they_were() {
    let albums = [album(1, "A")];
    let plan = plan(
        vec![file(1, 1, "caf\u{fffd}.jpg", r#"{"rawTitle":"caf%E9.jpg"}"#)],
        &albums,
        AccountId(1),
        false,
    );
    assert_eq!(plan.files[0].places[0].parts[0].name.candidate(0), raw_name(b"caf\xE9.jpg"));
}

#[test]
fn times_are_exact() {
    for (micros, nanos, expected) in [
        (1_500_000, None, Duration::new(1, 500_000_000)),
        (1_500_000, Some(500_000_001), Duration::new(1, 500_000_001)),
        (0, Some(999_999_999), Duration::new(0, 999_999_999)),
    ] {
        assert_eq!(time_of(micros, nanos), SystemTime::UNIX_EPOCH + expected);
    }
}

#[test]
fn further_names_of_one_content_come_back_in_their_albums() {
    let albums = [album(1, "A"), album(2, "B")];
    let mut in_a = file(1, 1, "a.jpg", "{}");
    in_a.private_metadata = Some(
        r#"{"visibility":0,"darkslide":{"also":[
            {"collection":1,"folder":"x","title":"a (1).jpg","modificationTime":2500000},
            {"collection":2,"title":"b.jpg","instead":true},{"collection":2,"title":"c.jpg"},
            {"collection":1,"title":"a.jpg"},{"collection":1},7]}}"#
            .to_owned(),
    );
    let in_b = FileRow { collection: CollectionId(2), ..in_a.clone() };
    let rows = vec![in_a, in_b];
    assert_eq!(paths(rows.clone(), &albums), ["A/a.jpg", "A/x/a (1).jpg", "B/b.jpg", "B/c.jpg"]);
    let planned = plan(rows, &albums, AccountId(1), false);
    assert_eq!(planned.files[0].places[1].parts[0].modified, time_of(2_500_000, None));
}
