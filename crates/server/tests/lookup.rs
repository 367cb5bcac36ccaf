//! Content tags: what an account is told of them, and what trash, restoration, purge and update do to them.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::file::UpdateRequest;
use darkslide_protocol::lookup::{FoundTag, LookupResponse, TagState};
use darkslide_protocol::problem::PROBLEM_JSON;
use darkslide_protocol::{ContentTag, FileId, Version};
use serde_json::json;
use support::shelf::Shelf;
use support::stored::key;
use support::vault::{Vault, noise};
use support::{TestServer, stores};

fn tag(number: u32) -> ContentTag {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    ContentTag::encode(bytes)
}

impl Shelf<'_> {
    /// What the account has of one tag.
    async fn found(&self, tag: &ContentTag) -> Option<FoundTag> {
        let mut found = self.store.look_up(self.owner, std::slice::from_ref(tag)).await.unwrap();
        assert!(found.len() <= 1, "{found:?}");
        found.pop()
    }

    async fn state(&self, tag: &ContentTag) -> Option<(TagState, FileId)> {
        self.found(tag).await.map(|found| (found.state, found.file_id))
    }
}

#[tokio::test]
async fn a_tag_follows_its_file_from_live_to_purged() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let (album, other) = (shelf.album().await, shelf.album().await);
        let wanted = tag(1);
        assert_eq!(shelf.found(&wanted).await, None);
        let file = shelf.tagged_file(album, Some(&wanted)).await;
        store.add_files(shelf.owner, other, &[key(file)]).await.unwrap();
        let version = shelf.version(file, &[album, other]).await;
        let live =
            FoundTag { tag: wanted.clone(), state: TagState::Live, file_id: file, version, trashed_at: None };
        assert_eq!(shelf.found(&wanted).await, Some(live));
        store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
        for state in [TagState::Trash, TagState::Purged] {
            let item = shelf.trash_item(file).await;
            let (version, trashed_at) = (item.updated_at, Some(item.created_at));
            let found = FoundTag { tag: wanted.clone(), state, file_id: file, version, trashed_at };
            assert_eq!(shelf.found(&wanted).await, Some(found));
            store.purge_files(shelf.owner, &[file]).await.unwrap();
        }
        let somebody = Shelf::new(&store, "b@example.org").await;
        assert_eq!(somebody.found(&wanted).await, None, "one account learns nothing of another");
    }
}

#[tokio::test]
async fn of_several_files_the_most_alive_is_found_and_then_the_latest() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let wanted = tag(1);
        let mut files = Vec::new();
        for _ in 0..4 {
            let file = shelf.tagged_file(album, Some(&wanted)).await;
            store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
            files.push(file);
        }
        assert_eq!(shelf.state(&wanted).await, Some((TagState::Trash, files[3])));
        let live = shelf.tagged_file(album, Some(&wanted)).await;
        assert_eq!(shelf.state(&wanted).await, Some((TagState::Live, live)));
        store.purge_files(shelf.owner, &files[1..]).await.unwrap();
        store.trash_files(shelf.owner, &[(live, album)]).await.unwrap();
        store.purge_files(shelf.owner, &[live]).await.unwrap();
        assert_eq!(shelf.state(&wanted).await, Some((TagState::Trash, files[0])));
        store.purge_files(shelf.owner, &files[..1]).await.unwrap();
        assert_eq!(shelf.state(&wanted).await, Some((TagState::Purged, files[0])));
    }
}

#[tokio::test]
async fn a_restored_file_gives_its_tag_up_where_a_live_one_has_it() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let (taken, shared, alone) = (tag(1), tag(2), tag(3));
        let mut trashed = Vec::new();
        for wanted in [&taken, &shared, &shared, &alone] {
            let file = shelf.tagged_file(album, Some(wanted)).await;
            store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
            trashed.push(file);
        }
        let live = shelf.tagged_file(album, Some(&taken)).await;
        let keys: Vec<_> = trashed.iter().copied().map(key).collect();
        store.restore_files(shelf.owner, album, &keys).await.unwrap();
        assert_eq!(shelf.state(&taken).await, Some((TagState::Live, live)));
        assert_eq!(shelf.state(&shared).await, Some((TagState::Live, trashed[1])));
        assert_eq!(shelf.state(&alone).await, Some((TagState::Live, trashed[3])));
        // Those that gave theirs up have none: when the others go, nothing live is left.
        store.trash_files(shelf.owner, &[(live, album), (trashed[1], album)]).await.unwrap();
        assert_eq!(shelf.state(&taken).await, Some((TagState::Trash, live)));
        assert_eq!(shelf.state(&shared).await, Some((TagState::Trash, trashed[1])));
    }
}

#[tokio::test]
async fn an_update_brings_its_own_tag_or_none() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let (one, two, three) = (tag(1), tag(2), tag(3));
        let file = shelf.tagged_file(album, Some(&one)).await;
        let other = shelf.tagged_file(album, Some(&two)).await;
        let edit = shelf.edit(file).await;
        shelf.update(&UpdateRequest { content_tag: Some(three.clone()), ..edit }).await;
        assert_eq!(
            (shelf.found(&one).await, shelf.state(&three).await),
            (None, Some((TagState::Live, file)))
        );
        let edit = shelf.edit(file).await;
        shelf.update(&UpdateRequest { content_tag: Some(two.clone()), ..edit }).await;
        assert_eq!(
            (shelf.found(&three).await, shelf.state(&two).await),
            (None, Some((TagState::Live, other)))
        );
        let edit = shelf.edit(other).await;
        shelf.update(&UpdateRequest { content_tag: Some(two.clone()), ..edit }).await;
        assert_eq!(shelf.state(&two).await, Some((TagState::Live, other)), "its own tag is not another's");
        shelf.update(&shelf.edit(other).await).await;
        assert_eq!(shelf.found(&two).await, None);
    }
}

/// Ten thousand tags, a few of which are there, some asked for twice.
#[tokio::test]
async fn a_full_lookup_finds_each_once() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let mut expected = Vec::new();
        for number in [0, 998, 999, 1000, 5000, 9998] {
            expected.push((tag(number), shelf.tagged_file(album, Some(&tag(number))).await));
        }
        let mut tags: Vec<ContentTag> = (0..9_999).map(tag).collect();
        tags.push(tag(0));
        let found = store.look_up(shelf.owner, &tags).await.unwrap();
        let mut found: Vec<_> = found.into_iter().map(|found| (found.tag, found.file_id)).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

/// The snapshot: while a file goes back and forth between vault and trash, every lookup finds it in one of them, at a version
/// that never goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_beside_a_writer_sees_one_moment() {
    for (_folder, store) in stores().await {
        let shelf = Shelf::new(&store, "a@example.org").await;
        let album = shelf.album().await;
        let file = shelf.tagged_file(album, Some(&tag(2000))).await;
        // The tag is asked for in the first and in the last statement of the call: both must see the same.
        let tags: Vec<ContentTag> = std::iter::once(2000).chain(0..2001).map(tag).collect();
        let writer = async {
            for _ in 0..25 {
                store.trash_files(shelf.owner, &[(file, album)]).await.unwrap();
                store.restore_files(shelf.owner, album, &[key(file)]).await.unwrap();
            }
        };
        let reader = async {
            let mut last = Version::default();
            for _ in 0..25 {
                let found = store.look_up(shelf.owner, &tags).await.unwrap();
                assert_eq!(found.len(), 1, "{found:?}");
                assert_eq!(found[0].trashed_at.is_some(), found[0].state == TagState::Trash);
                assert!(found[0].version >= last);
                last = found[0].version;
            }
        };
        tokio::join!(writer, reader);
    }
}

#[tokio::test]
async fn over_http_a_tag_comes_with_a_commit_and_is_found() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let mut body = vault.stored_pair(album, &noise(1, 1000), &noise(2, 100)).await;
    body["contentTag"] = json!(tag(7));
    let file = vault.post("/files", body).await.ok();
    let answer = vault.post("/v1/lookup", json!({ "tags": [tag(7), tag(8)] })).await.ok();
    let found: LookupResponse = serde_json::from_value(answer.clone()).unwrap();
    assert_eq!(found.found.len(), 1);
    let expected = json!({
        "tag": tag(7), "state": "live", "fileID": file["id"], "version": file["updationTime"],
    });
    assert_eq!(answer, json!({ "found": [expected] }));
    assert_eq!(vault.post("/v1/lookup", json!({ "tags": [] })).await.ok(), json!({ "found": [] }));

    let many = vec![tag(1); 10_001];
    for (body, status, code) in [
        (json!({ "tags": many }), 413, "TOO_LARGE"),
        (json!({ "tags": ["AAAA"] }), 400, "BAD_REQUEST"),
        (json!({}), 400, "BAD_REQUEST"),
    ] {
        let answer = vault.post("/v1/lookup", body).await;
        answer.failed(status, Some(code));
        assert_eq!(answer.header("content-type"), PROBLEM_JSON);
    }
    server.post("/v1/lookup", "", &json!({ "tags": [] })).await.failed(401, Some("UNAUTHORIZED"));
    let mut body = vault.stored_pair(album, &noise(3, 1000), &noise(4, 100)).await;
    body["contentTag"] = json!("not a tag");
    vault.post("/files", body).await.failed(400, None);
}
