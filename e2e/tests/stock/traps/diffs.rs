//! Traps of collections, membership, diffs and the trash.

use crate::scene::{album, another, new_web, on_each_engine, small_picture, upload};
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::reading::read_wrapped_collection;
use darkslide_e2e::stock::{CollectionKind, Device, FileRow, PullRule, web};
use darkslide_e2e::vault::{Picture, seal_picture};
use reqwest::Method;
use std::collections::BTreeSet;

/// Traps 12 and 13: deleted rows and purged items keep every member that a strict reader wants.
#[tokio::test]
async fn trap_13_deleted_and_purged_rows_are_whole() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Rows").await;
        let (_, row) = small_picture(&mut device, album, "purged.jpg").await;
        device.trash(&[(row.id, album)]).await.ok();
        device.purge(&[row.id]).await.ok();
        device.purge(&[row.id]).await.ok();
        let mut fresh = another(server, &device, ANDROID).await;
        mobile::sync(&mut fresh).await;
        let tombstone = &fresh.mirror.files[&(album, row.id)];
        assert!(tombstone.deleted, "a tombstone stays from the very beginning of the diff");
        let item = &fresh.mirror.trash[&row.id];
        assert!(item.purged && item.file.id == row.id);
        fresh.http.call(Method::GET, &format!("/files/download/{}", row.id), None).await.refused(404);
        assert_eq!(web::check_details(&device).await.0, 0, "purging frees the space at once");
        // I6: what was purged does not come back through an album, nor through a restore.
        let second = device.create_collection("Second", CollectionKind::Album).await;
        device.add_to(second, &[&row]).await.refused_with(409, "FILE_IN_TRASH");
        device.restore_to(album, &[&row]).await.refused(400);
    })
    .await;
}

/// Traps 14 and 36: trashed files can still be seen; restored ones keep their metadata in the trash's diff.
#[tokio::test]
async fn trap_14_trashed_and_restored_files_stay_readable() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Trash").await;
        let (picture, row) = small_picture(&mut device, album, "back.jpg").await;
        device.trash(&[(row.id, album)]).await.ok();
        web::pull(&mut device).await;
        let trashed = device.mirror.trash[&row.id].file.clone();
        assert_eq!(web::download(&device, &trashed).await.content, picture.content);
        device.add_to(album, &[&row]).await.refused_with(409, "FILE_IN_TRASH");
        let other = device.create_collection("Other", CollectionKind::Album).await;
        let (_, never_trashed) = small_picture(&mut device, other, "other.jpg").await;
        device.restore_to(album, &[&row, &never_trashed]).await.refused(400);
        device.restore_to(album, &[&row]).await.ok();
        let mut fresh = another(server, &device, ANDROID).await;
        mobile::sync(&mut fresh).await;
        assert!(fresh.mirror.trash[&row.id].restored);
        assert_eq!(fresh.metadata(&fresh.mirror.trash[&row.id].file), picture.metadata);
        assert!(!fresh.mirror.files[&(album, row.id)].deleted);
    })
    .await;
}

/// Trap 15, and I9: a deleted collection is listed for ever, with its keys, and can be asked for.
#[tokio::test]
async fn trap_15_deleted_collections_stay_listed() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let doomed = album(&mut device, "Doomed").await;
        let other = album(&mut device, "Other").await;
        let (picture, row) = small_picture(&mut device, doomed, "kept.jpg").await;
        device.add_to(other, &[&row]).await.ok();
        // Trap 35: not silently.
        device.delete_collection(doomed, true).await.refused_with(409, "COLLECTION_NOT_EMPTY");
        device.delete_collection(doomed, false).await.ok();
        device.delete_collection(doomed, false).await.ok();
        let mut fresh = another(server, &device, ANDROID).await;
        mobile::sync(&mut fresh).await;
        assert!(fresh.mirror.collections[&doomed].deleted);
        assert_eq!(fresh.collection_name(doomed), "Doomed");
        assert!(fresh.mirror.albums_of(row.id).is_empty(), "out of the other album too");
        let path = format!("/collections/{doomed}");
        let answer = fresh.http.call(Method::GET, &path, None).await.ok();
        assert!(read_wrapped_collection(&answer).deleted);
        let item = fresh.mirror.trash[&row.id].file.clone();
        assert_eq!((item.collection, fresh.metadata(&item)), (doomed, picture.metadata));
        fresh.restore_to(doomed, &[&item]).await.refused(404);
        fresh.restore_to(other, &[&item]).await.ok();
    })
    .await;
}

/// Traps 16 and 38: nothing is an empty list, not an error and not null.
#[tokio::test]
async fn trap_38_an_empty_account_has_empty_diffs() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Empty").await;
        for path in [
            "/trash/v2/diff?sinceTime=0".to_owned(),
            "/trash/v2/diff".to_owned(),
            format!("/collections/v2/diff?collectionID={album}&sinceTime=0"),
            format!("/collections/v2/diff?collectionID={album}"),
        ] {
            let answer = device.http.call(Method::GET, &path, None).await.ok();
            assert_eq!(answer, serde_json::json!({"diff": [], "hasMore": false}), "{path}");
        }
    })
    .await;
}

/// Trap 17: no two rows of a diff have the same time, so that none is skipped where a page ends; oldest first, over several pages.
#[tokio::test]
async fn trap_17_no_two_rows_share_a_time_where_a_page_may_end() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let first = album(&mut device, "First").await;
        let second = album(&mut device, "Second").await;
        let (_, seed) = small_picture(&mut device, first, "seed.jpg").await;
        let ids = copy_file(server, &seed).await;
        let rows: Vec<FileRow> = ids.iter().map(|id| FileRow { id: *id, ..seed.clone() }).collect();
        for chunk in rows.chunks(1000) {
            device.add_to(second, &chunk.iter().collect::<Vec<_>>()).await.ok();
        }
        let mut times = times_of(&device, second, "/collections/v2/diff", "updationTime").await;
        assert_eq!(times.len(), ids.len());
        assert!(times.is_sorted_by(|earlier, later| earlier < later), "two rows with one time");
        for chunk in ids.chunks(1000) {
            device.trash(&chunk.iter().map(|id| (*id, second)).collect::<Vec<_>>()).await.ok();
        }
        times = times_of(&device, second, "/trash/v2/diff", "updatedAt").await;
        assert_eq!(times.len(), ids.len());
        assert!(times.is_sorted_by(|earlier, later| earlier < later), "two items with one time");
        times = times_of(&device, second, "/collections/v2/diff", "updationTime").await;
        assert_eq!(times.len(), ids.len(), "tombstones");
        assert!(times.is_sorted_by(|earlier, later| earlier < later), "two tombstones with one time");
    })
    .await;
}

/// More rows than two pages of the server hold.
const COPIES: i64 = 6000;

/// Copies of a file, under new ids, beside the server: as many uploads would take minutes. Only the file is copied; everything that
/// has a time is left to the server.
async fn copy_file(server: &ServerProcess, seed: &FileRow) -> Vec<i64> {
    // Beyond every id that the server gives out itself, and small enough for JavaScript.
    let first = 1_i64 << 40;
    let pool = darkslide_e2e::engine::open(server.database_url()).await;
    let columns = "owner_id, file_object, file_header, file_size, thumbnail_object, thumbnail_header, thumbnail_size, metadata,
        metadata_header, magic_metadata, pub_magic_metadata, is_purged, version, created_at";
    let copies = format!(
        "WITH RECURSIVE numbers(number) AS (SELECT $1 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < $2)
         INSERT INTO files (id, {columns}) SELECT number, {columns} FROM numbers, files WHERE id = $3"
    );
    let copies = sqlx::query(sqlx::AssertSqlSafe(copies)).bind(first).bind(first + COPIES).bind(seed.id);
    let made = copies.execute(&pool).await.unwrap().rows_affected();
    pool.close().await;
    assert_eq!(made, COPIES.cast_unsigned());
    (first..first + COPIES).collect()
}

/// The times of all rows of a diff, in the order that they come in, page by page from the last time that was seen.
async fn times_of(device: &Device, album: i64, path: &str, name: &str) -> Vec<i64> {
    let mut times: Vec<i64> = Vec::new();
    for page in 1.. {
        let since = times.last().copied().unwrap_or(0);
        let path = format!("{path}?collectionID={album}&sinceTime={since}");
        let answer = device.http.call(Method::GET, &path, None).await.ok();
        let rows = answer["diff"].as_array().unwrap();
        times.extend(rows.iter().map(|row| row[name].as_i64().unwrap()));
        if answer["hasMore"] == false {
            assert!(page > 2, "this many rows are more than one page");
            break;
        }
    }
    times
}

/// Trap 18: while many write, a reader that follows its cursor misses nothing.
#[tokio::test]
async fn trap_18_a_cursor_passes_over_nothing() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Busy").await;
        let writer = another(server, &device, ANDROID).await;
        let key = device.collection_key(album);
        let uploads = async {
            let upload = async |index: usize| {
                let picture = Picture::generate(&format!("{index}.jpg"), 500);
                let sealed = seal_picture(&key, &picture);
                let body = mobile::upload_objects(&writer, album, &sealed).await;
                let answer = writer.http.call(Method::POST, "/files", Some(&body)).await.ok();
                answer["id"].as_i64().unwrap()
            };
            futures_util::future::join_all((0..40).map(upload)).await
        };
        let mut reader = another(server, &device, ANDROID).await;
        let over = std::cell::Cell::new(false);
        let uploads = async {
            let ids = uploads.await;
            over.set(true);
            ids
        };
        // A pull is never broken off: a mirror that is half told believes that it is whole.
        let reads = async {
            while !over.get() {
                reader.pull(PullRule::Later, None).await;
            }
        };
        let (ids, ()) = tokio::join!(uploads, reads);
        reader.pull(PullRule::Later, None).await;
        let seen: BTreeSet<i64> = reader.mirror.live(album).iter().map(|row| row.id).collect();
        assert_eq!(seen, ids.into_iter().collect());
    })
    .await;
}

/// Traps 19 and 20, and I1: every kind of change raises the collection's time to, or beyond, its rows'.
#[tokio::test]
async fn trap_19_every_change_bumps_its_collections() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let (first, second) = (album(&mut device, "First").await, album(&mut device, "Second").await);
        let third = album(&mut device, "Third").await;
        let (_, row) = small_picture(&mut device, first, "bumps.jpg").await;
        let mut times = vec![time_of(&device, first)];
        device.add_to(second, &[&row]).await.ok();
        times.push(bumped(&mut device, second).await);
        device.move_to(second, third, &[&row]).await.ok();
        times.push(bumped(&mut device, third).await);
        assert!(time_of(&device, second) > times[1], "the album that it left is bumped too");
        device.set_visibility(&row, 0, 1).await.ok();
        times.push(bumped(&mut device, first).await);
        device.rename(first, "Renamed").await.ok();
        times.push(bumped(&mut device, first).await);
        device.trash(&[(row.id, first)]).await.ok();
        times.push(bumped(&mut device, first).await);
        device.restore_to(first, &[&row]).await.ok();
        times.push(bumped(&mut device, first).await);
        assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
    })
    .await;
}

fn time_of(device: &darkslide_e2e::stock::Device, album: i64) -> i64 {
    device.mirror.collections[&album].time
}

/// Pulls; the album must have been listed anew, no older than any of its rows.
async fn bumped(device: &mut darkslide_e2e::stock::Device, album: i64) -> i64 {
    let before = device.mirror.collections_cursor();
    web::pull(device).await;
    let time = time_of(device, album);
    assert!(time > before, "the collection was not bumped");
    let rows = device.mirror.files.values().filter(|row| row.collection == album);
    assert!(rows.map(|row| row.time).all(|row| row <= time), "a row is newer than its collection");
    time
}

/// Traps 33 and 34: trashing leaves every album, an owner's own file leaves by moving only.
#[tokio::test]
async fn trap_34_an_owner_moves_and_does_not_remove() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let first = album(&mut device, "First").await;
        let rest = device.create_collection("Rest", CollectionKind::Uncategorized).await;
        let (_, row) = small_picture(&mut device, first, "moved.jpg").await;
        device.remove_from(first, &[row.id]).await.refused(400);
        device.move_to(first, first, &[&row]).await.refused(400);
        device.move_to(first, rest, &[&row]).await.ok();
        device.move_to(first, rest, &[&row]).await.ok();
        web::pull(&mut device).await;
        assert_eq!(device.mirror.albums_of(row.id), [rest]);
        device.add_to(first, &[&row, &row]).await.refused(400);
        device.add_to(first, &[&row]).await.ok();
        device.add_to(first, &[&row]).await.ok();
        device.trash(&[(row.id, rest), (row.id, first)]).await.refused(400);
        device.trash(&[(row.id, rest)]).await.ok();
        web::pull(&mut device).await;
        assert!(device.mirror.albums_of(row.id).is_empty());
    })
    .await;
}

/// Emptying takes what the client saw and leaves what came later.
#[tokio::test]
async fn emptying_the_trash_spares_what_the_client_never_saw() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Trash").await;
        let (_, first) = upload(&device, album, "first.jpg").await;
        let (_, second) = upload(&device, album, "second.jpg").await;
        device.trash(&[(first.row.id, album)]).await.ok();
        web::pull(&mut device).await;
        let seen = device.mirror.trash[&first.row.id].updated_at;
        device.empty_trash(0).await.ok();
        device.trash(&[(second.row.id, album)]).await.ok();
        device.empty_trash(seen).await.ok();
        web::pull(&mut device).await;
        assert!(device.mirror.trash[&first.row.id].purged);
        assert!(!device.mirror.trash[&second.row.id].purged);
        let many: Vec<(i64, i64)> = (0..1001).map(|id| (1_000_000 + id, album)).collect();
        device.trash(&many).await.refused(413);
    })
    .await;
}
