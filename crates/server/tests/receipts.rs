//! Receipts: what the server says of bytes that it has just read back, whole and damaged.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::Opaque;
use darkslide_protocol::receipt::{Damage, EarlierReceipt, ObjectKind, Receipt, Receipts, Verdict};
use serde_json::{Value, json};
use support::TestServer;
use support::damage::{Harm, blobs_of, execute, keys_of};
use support::vault::{Vault, commit_body, noise};

async fn receipts(vault: &Vault<'_>, files: &[i64]) -> Receipts {
    let answer = vault.post("/v1/receipts", json!({ "fileIDs": files })).await.ok();
    serde_json::from_value(answer).unwrap()
}

/// Gives a file other contents, and says which version it was before.
async fn edit(vault: &Vault<'_>, album: i64, file: i64, seed: u64) -> i64 {
    let mut body = vault.stored_pair(album, &noise(seed, 7000), &noise(seed + 1, 200)).await;
    body["id"] = file.into();
    vault.put("/files/update", body).await.ok();
    let listed = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
    listed["versions"][0]["version"].as_i64().unwrap()
}

async fn with_earlier(vault: &Vault<'_>, files: &[i64], earlier: &[(i64, i64)]) -> Receipts {
    let earlier: Vec<_> = earlier.iter().map(|(file, version)| earlier_id(*file, *version)).collect();
    let answer = vault.post("/v1/receipts", json!({ "fileIDs": files, "earlier": earlier })).await.ok();
    serde_json::from_value(answer).unwrap()
}

fn earlier_id(file: i64, version: i64) -> Value {
    json!({ "fileID": file, "version": version })
}

/// What is said of one earlier version.
async fn earlier_receipt(vault: &Vault<'_>, file: i64, version: i64) -> EarlierReceipt {
    let mut said = with_earlier(vault, &[], &[(file, version)]).await;
    assert_eq!((said.receipts.len(), said.earlier.len(), said.more), (0, 1, false));
    let receipt = said.earlier.remove(0);
    assert_eq!((receipt.file_id.0, receipt.version.0), (file, version));
    receipt
}

async fn receipt(vault: &Vault<'_>, file: i64) -> Receipt {
    let Receipts { mut receipts, earlier, more } = receipts(vault, &[file]).await;
    assert_eq!((receipts.len(), earlier.len(), more), (1, 0, false));
    assert_eq!(receipts[0].file_id.0, file);
    receipts.remove(0)
}

fn blake3_text(bytes: &[u8]) -> String {
    format!("blake3 {}", Opaque::encode(blake3::hash(bytes).as_bytes()).0)
}

#[tokio::test]
async fn whole_objects_are_vouched_for_with_their_digests() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (original, thumbnail) = (noise(1, 3_000_000), noise(2, 500));
    let file = vault.commit(album, &original, &thumbnail).await["id"].as_i64().unwrap();
    let before = server.shared.store.objects_health().await.unwrap();
    assert_eq!((before.objects, before.verified_objects), (2, 0));
    let receipt = receipt(&vault, file).await;
    assert_eq!(receipt.verdict, Verdict::Verified);
    for (object, kind, bytes) in
        [(0, ObjectKind::Original, &original), (1, ObjectKind::Thumbnail, &thumbnail)]
    {
        let said = &receipt.objects[object];
        assert_eq!((said.kind, said.size, said.damage), (kind, i64::try_from(bytes.len()).unwrap(), None));
        assert_eq!(said.digest, Some(blake3_text(bytes)));
        assert!(said.verified_at.unwrap() > 1_700_000_000_000_000);
    }
    let after = server.shared.store.objects_health().await.unwrap();
    assert_eq!((after.verified_objects, after.verified_bytes), (2, 3_000_500));
}

#[tokio::test]
async fn every_kind_of_damage_is_told_and_none_is_vouched_for() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for (seed, harm) in (0..).zip(Harm::ALL) {
        for which in [0, 1] {
            let file = vault.file(album, seed * 10 + which).await;
            let keys = keys_of(&server.shared.store, vault.person.id, file).await;
            let which = usize::try_from(which).unwrap();
            harm.do_to(&blobs_of(server.folder(), &keys[which])[0]);
            let receipt = receipt(&vault, file).await;
            assert_eq!(receipt.verdict, Verdict::Damaged, "{harm:?}");
            let harmed = &receipt.objects[which];
            assert_eq!(harmed.damage, Some(Damage::of_name(harm.name())));
            assert_eq!((&harmed.digest, harmed.verified_at), (&None, None));
            assert_eq!(receipt.objects[1 - which].damage, None);
        }
    }
    let health = server.shared.store.objects_health().await.unwrap();
    assert_eq!((health.damaged, health.missing), (6, 2));
}

#[tokio::test]
async fn damage_is_known_until_the_bytes_are_back_or_given_up() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let store = &server.shared.store;
    let (back, gone) = (vault.file(album, 1).await, vault.file(album, 2).await);
    let [key, _] = keys_of(store, vault.person.id, back).await;
    let blob = blobs_of(server.folder(), &key)[0].clone();
    let away = blob.with_extension("away");
    std::fs::rename(&blob, &away).unwrap();
    assert_eq!(receipt(&vault, back).await.verdict, Verdict::Damaged);
    let [lost, _] = keys_of(store, vault.person.id, gone).await;
    Harm::Remove.do_to(&blobs_of(server.folder(), &lost)[0]);
    assert_eq!(receipt(&vault, gone).await.verdict, Verdict::Damaged);
    let known = store.damaged_objects(10).await.unwrap();
    assert_eq!(known.iter().map(|object| &object.key).collect::<Vec<_>>(), [&key, &lost]);
    assert!(known.iter().all(|object| object.damage == Damage::Missing));
    assert_eq!(known[0].blob.as_deref(), blob.file_name().unwrap().to_str());
    // Asked again, it is known since the same moment.
    assert_eq!(receipt(&vault, back).await.verdict, Verdict::Damaged);
    assert_eq!(store.damaged_objects(10).await.unwrap(), known);
    std::fs::rename(&away, &blob).unwrap();
    assert_eq!(receipt(&vault, back).await.verdict, Verdict::Verified);
    vault.trash(&[(gone, album)]).await.ok();
    vault.post("/trash/delete", json!({ "fileIDs": [gone] })).await.ok();
    assert_eq!(store.damaged_objects(10).await.unwrap(), []);
    assert_eq!(receipt(&vault, gone).await.verdict, Verdict::Purged);
}

/// The device that still has the original sends it again.
#[tokio::test]
async fn what_is_damaged_is_replaced_by_the_same_content_and_is_no_earlier_version() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let store = &server.shared.store;
    let tag = |seed: u8| Opaque::encode([seed; 32]).0;
    for (seed, harm) in (0_u8..).zip([Harm::FlipByte, Harm::Remove]) {
        let seeds = u64::from(seed) * 10;
        let mut body = vault.stored_pair(album, &noise(seeds, 1000), &noise(seeds + 1, 100)).await;
        body["contentTag"] = tag(seed).into();
        let file = vault.post("/files", body).await.ok()["id"].as_i64().unwrap();
        let [original, _] = keys_of(store, vault.person.id, file).await;
        harm.do_to(&blobs_of(server.folder(), &original)[0]);
        assert_eq!(receipt(&vault, file).await.verdict, Verdict::Damaged);
        let mut body = vault.stored_pair(album, &noise(seeds + 2, 1000), &noise(seeds + 3, 100)).await;
        body["id"] = file.into();
        body["contentTag"] = tag(seed).into();
        vault.put("/files/update", body).await.ok();
        assert_eq!(receipt(&vault, file).await.verdict, Verdict::Verified, "{harm:?}");
        let health = store.objects_health().await.unwrap();
        assert_eq!((health.damaged, health.missing, health.earlier_objects), (0, 0, 0), "{harm:?}");
        let listed = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
        assert_eq!(listed["versions"], json!([]));
        let tags = vault.post("/v1/lookup", json!({ "tags": [tag(seed)] })).await.ok();
        assert!(tags.to_string().contains(&file.to_string()), "{tags}");
    }
    // An edit is no mending: what was damaged is kept, for it may be brought back from a backup.
    let file = vault.file(album, 99).await;
    let [original, _] = keys_of(store, vault.person.id, file).await;
    Harm::FlipByte.do_to(&blobs_of(server.folder(), &original)[0]);
    assert_eq!(receipt(&vault, file).await.verdict, Verdict::Damaged);
    edit(&vault, album, file, 77).await;
    let health = store.objects_health().await.unwrap();
    assert_eq!((health.damaged, health.earlier_objects), (1, 2));
}

#[tokio::test]
async fn trash_is_vouched_for_and_what_is_not_the_callers_is_not_told_from_what_never_was() {
    let server = TestServer::start().await;
    let (vault, other) =
        (Vault::new(&server, "a@example.org").await, Vault::new(&server, "b@example.org").await);
    let (album, others_album) = (vault.album().await, other.album().await);
    let (own, others) = (vault.file(album, 1).await, other.file(others_album, 2).await);
    vault.trash(&[(own, album)]).await.ok();
    let said = receipts(&vault, &[others, own, 987_654_321]).await;
    let verdicts: Vec<Verdict> = said.receipts.iter().map(|receipt| receipt.verdict).collect();
    assert_eq!(verdicts, [Verdict::Unknown, Verdict::Verified, Verdict::Unknown]);
    assert!(said.receipts[0].objects.is_empty() && said.receipts[2].objects.is_empty());
}

#[tokio::test]
async fn an_object_that_the_database_does_not_know_is_missing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for (seed, which) in [(1, 0), (2, 1)] {
        let file = vault.file(album, seed).await;
        let keys = keys_of(&server.shared.store, vault.person.id, file).await;
        execute(&server, &format!("DELETE FROM objects WHERE key = '{}'", keys[which])).await;
        let receipt = receipt(&vault, file).await;
        assert_eq!(receipt.verdict, Verdict::Damaged);
        let [lost, other] = [&receipt.objects[which], &receipt.objects[1 - which]];
        assert_eq!((lost.damage, &lost.digest, lost.verified_at), (Some(Damage::Missing), &None, None));
        assert_eq!(other.damage, None);
    }
    assert_eq!(server.shared.store.count_lost().await.unwrap(), 2);
}

async fn swap_parts(server: &TestServer) {
    execute(server, "UPDATE object_parts SET part_number = -part_number").await;
    execute(server, "UPDATE object_parts SET part_number = 3 + part_number").await;
}

#[tokio::test]
async fn an_object_in_parts_is_compared_part_by_part_and_then_as_a_whole() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let original = noise(1, 6 * 1024 * 1024);
    let parts: Vec<&[u8]> = original.chunks(5 * 1024 * 1024).collect();
    let minted = vault
        .post(
            "/files/multipart-upload-url",
            json!({
                "contentLength": original.len(), "partLength": parts[0].len(),
                "partMd5s": parts.iter().map(|part| support::vault::md5_of(part)).collect::<Vec<_>>(),
            }),
        )
        .await
        .ok();
    let mut list = String::from("<CompleteMultipartUpload>");
    for (number, (part, url)) in (1..).zip(parts.iter().zip(minted["partURLs"].as_array().unwrap())) {
        let answer = vault.put_bytes(url.as_str().unwrap(), part).await;
        let etag = answer.header("etag");
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    list += "</CompleteMultipartUpload>";
    let complete = server.http.post(minted["completeURL"].as_str().unwrap()).body(list).send().await.unwrap();
    assert!(complete.status().is_success());
    let (key, thumbnail) = (minted["objectKey"].as_str().unwrap(), noise(2, 100));
    let thumbnail_key = vault.store(&thumbnail).await;
    let body = commit_body(album, (key, original.len()), (&thumbnail_key, 100));
    let file = vault.post("/files", body).await.ok()["id"].as_i64().unwrap();
    for _ in 0..2 {
        let whole = receipt(&vault, file).await;
        assert_eq!(
            (whole.verdict, &whole.objects[0].digest),
            (Verdict::Verified, &Some(blake3_text(&original)))
        );
    }
    // The parts' own digests are right, and their order is not.
    swap_parts(&server).await;
    assert_eq!(receipt(&vault, file).await.objects[0].damage, Some(Damage::Altered));
    swap_parts(&server).await;
    assert_eq!(receipt(&vault, file).await.verdict, Verdict::Verified);
    let [key, _] = keys_of(&server.shared.store, vault.person.id, file).await;
    Harm::FlipByte.do_to(&blobs_of(server.folder(), &key)[1]);
    assert_eq!(receipt(&vault, file).await.objects[0].damage, Some(Damage::Altered));
    execute(&server, "DELETE FROM object_parts WHERE part_number = 2").await;
    assert_eq!(receipt(&vault, file).await.objects[0].damage, Some(Damage::Unknown));
}

#[tokio::test]
async fn digests_of_earlier_versions_count_and_become_new_ones() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (original, thumbnail) = (noise(1, 5000), noise(2, 100));
    let file = vault.commit(album, &original, &thumbnail).await["id"].as_i64().unwrap();
    let old = blake2b_simd::Params::new().hash_length(32).hash(&original).to_hex();
    execute(&server, &format!("UPDATE objects SET digest = '{old}' WHERE length = 5000")).await;
    let said = receipt(&vault, file).await;
    assert_eq!((said.verdict, &said.objects[0].digest), (Verdict::Verified, &Some(blake3_text(&original))));
    let [key, _] = keys_of(&server.shared.store, vault.person.id, file).await;
    Harm::FlipByte.do_to(&blobs_of(server.folder(), &key)[0]);
    // By the new digest and by the old one.
    assert_eq!(receipt(&vault, file).await.verdict, Verdict::Damaged);
    execute(&server, &format!("UPDATE objects SET digest = '{old}' WHERE length = 5000")).await;
    assert_eq!(receipt(&vault, file).await.verdict, Verdict::Damaged);
    execute(&server, "UPDATE objects SET digest = 'nonsense' WHERE length = 5000").await;
    assert_eq!(receipt(&vault, file).await.objects[0].damage, Some(Damage::Unknown));
}

#[tokio::test]
async fn of_a_shared_blob_only_the_objects_own_range_counts() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (original, thumbnail) = (noise(1, 5000), noise(2, 100));
    let file = vault.commit(album, &original, &thumbnail).await["id"].as_i64().unwrap();
    // Both objects into one blob that is named after neither, with somebody else's bytes around them.
    let pack = "00000000-0000-4000-8000-000000000000.00000.00000000";
    let path = server.folder().join("objects/00").join(pack);
    let bytes = [&original[..], b"others", &thumbnail, b"others"].concat();
    std::fs::write(&path, &bytes).unwrap();
    execute(&server, &format!("UPDATE objects SET blob = '{pack}'")).await;
    execute(&server, "UPDATE objects SET blob_offset = 5006 WHERE length = 100").await;
    assert_eq!(receipt(&vault, file).await.verdict, Verdict::Verified);
    let check = |at: usize, verdict: Verdict| {
        let mut harmed = bytes.clone();
        harmed[at] ^= 1;
        std::fs::write(&path, harmed).unwrap();
        let vault = &vault;
        async move { assert_eq!(receipt(vault, file).await.verdict, verdict, "{at}") }
    };
    check(5003, Verdict::Verified).await;
    check(5107, Verdict::Verified).await;
    check(4999, Verdict::Damaged).await;
    check(5006, Verdict::Damaged).await;
    std::fs::write(&path, &bytes[..5105]).unwrap();
    let said = receipt(&vault, file).await;
    assert_eq!((said.objects[0].damage, said.objects[1].damage), (None, Some(Damage::Shorter)));
}

#[tokio::test]
async fn one_call_reads_so_much_and_says_what_is_left() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (first, second) = (vault.file(album, 1).await, vault.file(album, 2).await);
    // The database says that each is half as large again as what one call reads.
    execute(&server, "UPDATE files SET file_size = 805306368").await;
    let said = receipts(&vault, &[second, first]).await;
    let verdicts: Vec<Verdict> = said.receipts.iter().map(|receipt| receipt.verdict).collect();
    assert_eq!((verdicts, said.more), (vec![Verdict::Verified, Verdict::NotChecked], true));
    assert!(said.receipts[1].objects.is_empty());
    let said = receipts(&vault, &[first]).await;
    assert_eq!((said.receipts[0].verdict, said.more), (Verdict::Verified, false));
}

#[tokio::test]
async fn what_a_file_was_is_vouched_for_by_its_own_bytes() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (original, thumbnail) = (noise(1, 5000), noise(2, 100));
    let file = vault.commit(album, &original, &thumbnail).await["id"].as_i64().unwrap();
    let version = edit(&vault, album, file, 3).await;
    let said = with_earlier(&vault, &[file], &[(file, version)]).await;
    let (now, before) = (&said.receipts[0], &said.earlier[0]);
    assert_eq!((now.verdict, now.objects[0].size), (Verdict::Verified, 7000));
    assert_eq!(before.verdict, Verdict::Verified);
    for (object, bytes) in before.objects.iter().zip([&original, &thumbnail]) {
        assert_eq!((object.size, object.damage), (i64::try_from(bytes.len()).unwrap(), None));
        assert_eq!(object.digest, Some(blake3_text(bytes)));
        assert!(object.verified_at.is_some());
    }
    // In the trash it is what it was all the same.
    vault.trash(&[(file, album)]).await.ok();
    assert_eq!(earlier_receipt(&vault, file, version).await.verdict, Verdict::Verified);
}

#[tokio::test]
async fn a_damaged_earlier_version_is_not_vouched_for_however_whole_the_file_is() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let store = &server.shared.store;
    for (seed, harm) in (0..).zip(Harm::ALL) {
        for which in [0, 1] {
            let file = vault.file(album, seed * 10 + which).await;
            let keys = keys_of(store, vault.person.id, file).await;
            let version = edit(&vault, album, file, 100 + seed * 10 + which * 2).await;
            let which = usize::try_from(which).unwrap();
            let blob = blobs_of(server.folder(), &keys[which])[0].clone();
            let whole = std::fs::read(&blob).unwrap();
            harm.do_to(&blob);
            let before = earlier_receipt(&vault, file, version).await;
            assert_eq!(before.verdict, Verdict::Damaged, "{harm:?}");
            let harmed = &before.objects[which];
            assert_eq!(harmed.damage, Some(Damage::of_name(harm.name())));
            assert_eq!((&harmed.digest, harmed.verified_at), (&None, None));
            assert_eq!(before.objects[1 - which].damage, None);
            assert_eq!(receipt(&vault, file).await.verdict, Verdict::Verified);
            assert!(store.damaged_objects(10).await.unwrap()[0].is_earlier);
            std::fs::write(&blob, whole).unwrap();
            assert_eq!(earlier_receipt(&vault, file, version).await.verdict, Verdict::Verified);
            assert_eq!(store.damaged_objects(10).await.unwrap(), []);
        }
    }
    // One of which the database has lost an object.
    let file = vault.file(album, 1000).await;
    let [original, _] = keys_of(store, vault.person.id, file).await;
    let version = edit(&vault, album, file, 2000).await;
    execute(&server, &format!("DELETE FROM objects WHERE key = '{original}'")).await;
    let before = earlier_receipt(&vault, file, version).await;
    assert_eq!((before.verdict, before.objects[0].damage), (Verdict::Damaged, Some(Damage::Missing)));
}

#[tokio::test]
async fn what_cannot_be_brought_back_is_no_earlier_version() {
    let server = TestServer::start().await;
    let (vault, other) =
        (Vault::new(&server, "a@example.org").await, Vault::new(&server, "b@example.org").await);
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let version = edit(&vault, album, file, 3).await;
    assert_eq!(earlier_receipt(&vault, file, version).await.verdict, Verdict::Verified);
    for (who, file, version) in
        [(&other, file, version), (&vault, file, version + 1), (&vault, 987_654_321, version)]
    {
        let said = earlier_receipt(who, file, version).await;
        assert_eq!((said.verdict, said.objects), (Verdict::Unknown, vec![]));
    }
    // Brought back, it is what the file is.
    vault.post(&format!("/v1/files/{file}/versions/{version}/restore"), json!({})).await.ok();
    assert_eq!(earlier_receipt(&vault, file, version).await.verdict, Verdict::Unknown);
    // Its time is over; and of a purged file nothing is left.
    for ends_it in
        ["UPDATE objects SET expires_at = 1 WHERE state = 'earlier'", "UPDATE files SET is_purged = 1"]
    {
        let file = vault.file(album, 10).await;
        let version = edit(&vault, album, file, 20).await;
        execute(&server, ends_it).await;
        assert_eq!(earlier_receipt(&vault, file, version).await.verdict, Verdict::Unknown, "{ends_it}");
    }
}

#[tokio::test]
async fn earlier_versions_count_in_what_one_call_reads() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let earlier = [edit(&vault, album, file, 3).await, edit(&vault, album, file, 5).await];
    // The database says that each is half as large again as what one call reads.
    execute(&server, "UPDATE file_versions SET file_size = 805306368").await;
    let asked = earlier.map(|version| (file, version));
    let said = with_earlier(&vault, &[file], &asked).await;
    let verdicts: Vec<Verdict> = said.earlier.iter().map(|receipt| receipt.verdict).collect();
    assert_eq!((said.receipts[0].verdict, said.more), (Verdict::Verified, true));
    assert_eq!(verdicts, [Verdict::NotChecked, Verdict::NotChecked]);
    // One at least is read.
    let said = with_earlier(&vault, &[], &asked).await;
    let verdicts: Vec<Verdict> = said.earlier.iter().map(|receipt| receipt.verdict).collect();
    assert_eq!((verdicts, said.more), (vec![Verdict::Verified, Verdict::NotChecked], true));
}

#[tokio::test]
async fn refusals_are_problems() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    assert_eq!(receipts(&vault, &[]).await, Receipts::default());
    let many: Vec<i64> = (1..=1001).collect();
    vault.post("/v1/receipts", json!({ "fileIDs": many })).await.failed(413, Some("TOO_LARGE"));
    vault.post("/v1/receipts", json!({ "fileIDs": [1, 1] })).await.failed(400, Some("BAD_REQUEST"));
    let earlier: Vec<_> = (1..=1001).map(|version| earlier_id(1, version)).collect();
    let many = json!({ "fileIDs": [], "earlier": earlier });
    vault.post("/v1/receipts", many).await.failed(413, Some("TOO_LARGE"));
    let twice = json!({ "fileIDs": [], "earlier": [earlier_id(1, 2), earlier_id(1, 2)] });
    let said = vault.post("/v1/receipts", twice).await.ok();
    assert_eq!(said["earlier"].as_array().map(Vec::len), Some(1), "{said}");
    let half = json!({ "fileIDs": [], "earlier": [{ "fileID": 1 }] });
    vault.post("/v1/receipts", half).await.failed(400, Some("BAD_REQUEST"));
    vault.post("/v1/receipts", json!({})).await.failed(400, Some("BAD_REQUEST"));
    server.post("/v1/receipts", "", &json!({ "fileIDs": [] })).await.failed(401, Some("UNAUTHORIZED"));
}

#[tokio::test]
async fn a_receipt_looks_as_documented() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let [_, thumbnail] = keys_of(&server.shared.store, vault.person.id, file).await;
    Harm::Remove.do_to(&blobs_of(server.folder(), &thumbnail)[0]);
    let mut answer = vault.post("/v1/receipts", json!({ "fileIDs": [file, 7] })).await.ok();
    answer["receipts"][0]["fileID"] = "(id)".into();
    answer["receipts"][0]["objects"][0]["verifiedAt"] = "(µs since the epoch)".into();
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn a_receipt_of_an_earlier_version_looks_as_documented() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let version = edit(&vault, album, file, 3).await;
    let request = json!({ "fileIDs": [], "earlier": [earlier_id(file, version), earlier_id(7, 1)] });
    let mut answer = vault.post("/v1/receipts", request).await.ok();
    let whole = &mut answer["earlier"][0];
    (whole["fileID"], whole["version"]) = ("(id)".into(), "(version)".into());
    for object in [0, 1] {
        whole["objects"][object]["verifiedAt"] = "(µs since the epoch)".into();
    }
    insta::assert_json_snapshot!(answer);
}
