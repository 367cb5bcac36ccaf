//! Edits in a folder: a picture that says that it was taken at the same moment is a new version of the same file, any other is one of its own.

use crate::scene::{Scene, picture};
use darkslide_client::backup::explain;
use darkslide_client::backup::standing::{Agent, Cause, Kept, KeptAs, Next, Standing};
use darkslide_client::catalog::FileRow;
use darkslide_client::feed;
use darkslide_client::library::raw;
use darkslide_client::trash::trash_files;
use darkslide_client::versions::{list_versions, restore_version};
use darkslide_crypto::ContentHash;
use std::path::Path;
use std::time::Duration;

/// A JPEG that says when it was taken, to the second, and has so many bytes of nothing behind that.
pub(crate) fn taken(second: u8, seed: u8) -> Vec<u8> {
    let date = format!("2019:07:20 16:17:{second:02}\0");
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let mut entry = Vec::new();
        entry.extend(tag.to_le_bytes());
        entry.extend(kind.to_le_bytes());
        entry.extend(count.to_le_bytes());
        entry.extend(value.to_le_bytes());
        entry
    };
    let directory = |entry: Vec<u8>| [&1_u16.to_le_bytes()[..], &entry, &[0; 4]].concat();
    // The header, one directory that points to the next, and that one's date behind it.
    let tiff = [
        b"II*\0\x08\0\0\0".to_vec(),
        directory(entry(0x8769, 4, 1, 26)),
        directory(entry(0x9003, 2, 20, 44)),
        date.into_bytes(),
    ]
    .concat();
    let exif = [&b"Exif\0\0"[..], &tiff].concat();
    let length = u16::try_from(exif.len() + 2).unwrap();
    [&[0xff, 0xd8, 0xff, 0xe1][..], &length.to_be_bytes(), &exif, &picture(seed, 5000)[2..]].concat()
}

/// Lets a file look as if it had been written so many seconds later.
pub(crate) fn edit(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified + Duration::from_secs(seconds)).unwrap();
}

/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_picture_becomes_a_version_of_its_file() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &taken(18, 1));
    scene.write("plain.jpg", &picture(7, 3000));
    scene.back_up().await;
    let before = scene.vault().await;
    let id = |name: &str| before.iter().find(|row| row.title.as_deref() == Some(name)).unwrap().id;
    // Of a burst, written within moments: as many pictures as there are.
    scene.write("a.jpg", &taken(18, 9));
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 3);
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    // Nothing says that this is the same picture: cameras use names again.
    scene.write("plain.jpg", &picture(8, 3000));
    let report = scene.back_up().await;
    assert_eq!(report.uploaded, 2, "{report:?}");
    let after = scene.vault().await;
    assert_eq!(after.len(), 4);
    let named = after.iter().filter(|row| row.title.as_deref() == Some("a.jpg")).collect::<Vec<_>>();
    assert_eq!(named.len(), 2);
    let edited = named.iter().find(|row| row.id != id("a.jpg")).unwrap().id;
    let plain = after.iter().filter(|row| row.title.as_deref() == Some("plain.jpg"));
    assert_eq!(plain.count(), 2, "both pictures of that name are kept");
    let versions = list_versions(&scene.session, &scene.catalog, edited).await.unwrap();
    assert_eq!(versions.len(), 1, "what it was before can still be had");
    scene.verify_all(4).await;
    // Another moment at the same place is another picture.
    edit(&scene.write("a.jpg", &taken(19, 3)), 240);
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 5);
    let again = scene.back_up().await;
    assert_eq!((again.bytes_sent, again.bytes_hashed), (0, 0));
}

/// Its owner brings an earlier version back in the vault, while the device has the later one as it was backed up: no run undoes that, nor makes a
/// second file of it. Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_chosen_in_the_vault_stays_chosen() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &taken(18, 1));
    scene.back_up().await;
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    let file = scene.vault().await[0].id;
    let explained = async || explain(&scene.catalog, &path, &Agent::Works).await.unwrap();
    assert!(matches!(explained().await, Standing::Safe { kept: Kept { how: KeptAs::It(_), .. }, .. }));
    let earlier = list_versions(&scene.session, &scene.catalog, file).await.unwrap()[0].version;
    restore_version(&scene.session, file, earlier).await.unwrap();
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let displaced = Standing::Pending { cause: Cause::Displaced, next: Next::Nothing };
    assert_eq!(explained().await, displaced, "not what is safe, before a run has looked");
    // Also where it was touched, which changes nothing of it.
    edit(&path, 60);
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.bytes_sent, report.failed.len()), (0, 0, 0), "{report:?}");
    }
    let vault = scene.vault().await;
    let contents: Vec<_> = vault.iter().map(|row| row.content_hash).collect();
    assert_eq!(contents, [Some(ContentHash::of(&taken(18, 1)))]);
    let told = explained().await;
    assert!(matches!(&told, Standing::Safe { kept: Kept { how: KeptAs::Replaced(_), .. }, .. }), "{told}");
    // Under another name it is the same file, and the same choice.
    let renamed = scene.pictures().join("trip/b.jpg");
    std::fs::create_dir(renamed.parent().unwrap()).unwrap();
    std::fs::rename(&path, &renamed).unwrap();
    let path = renamed;
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.bytes_sent, report.failed.len()), (0, 0, 0), "{report:?}");
    }
    assert_eq!(scene.vault().await.len(), 1);
    let explained = async || explain(&scene.catalog, &path, &Agent::Works).await.unwrap();
    let told = explained().await;
    assert!(matches!(&told, Standing::Safe { kept: Kept { how: KeptAs::Replaced(_), .. }, .. }), "{told}");
    // The owner deletes the picture, and with it this version.
    trash_files(&scene.session, &scene.catalog, &[file]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(scene.back_up().await.uploaded, 0);
    }
    assert!(matches!(explained().await, Standing::Skipped(_)), "{}", explained().await);
}

/// What found no room is taken for what it is when there is some: an edit is a version, also after it was looked at again in between.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_found_no_room_becomes_a_version_later() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &taken(18, 1));
    scene.write("plain.jpg", &picture(7, 3000));
    scene.back_up().await;
    let before = scene.vault().await;
    scene.set_quota(1).await;
    let path = scene.write("a.jpg", &taken(18, 2));
    edit(&path, 120);
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.uploaded, report.without_room), (0, 1), "{report:?}");
    }
    // Edited once more while there is no room: of what it was in the vault, too.
    scene.write("a.jpg", &taken(18, 3));
    edit(&path, 240);
    assert_eq!(scene.back_up().await.uploaded, 0);
    scene.set_quota(100_000_000).await;
    assert_eq!(scene.back_up().await.uploaded, 1);
    let after = scene.vault().await;
    let ids = |rows: &[FileRow]| rows.iter().map(|row| row.id).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids(&after), ids(&before), "no file of its own");
    let edited = after.iter().find(|row| row.title.as_deref() == Some("a.jpg")).unwrap();
    assert_eq!(edited.content_hash, Some(ContentHash::of(&taken(18, 3))));
    assert_eq!(list_versions(&scene.session, &scene.catalog, edited.id).await.unwrap().len(), 1);
    scene.verify_all(2).await;
    let again = scene.back_up().await;
    assert_eq!((again.bytes_sent, again.bytes_hashed), (0, 0));
}

/// What comes to an old place without room, and was taken at another moment, is a picture of its own when there is some.
#[tokio::test(flavor = "multi_thread")]
async fn another_picture_that_found_no_room_is_no_version() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &taken(18, 1));
    scene.back_up().await;
    scene.set_quota(1).await;
    edit(&scene.write("a.jpg", &taken(19, 2)), 120);
    assert_eq!(scene.back_up().await.uploaded, 0);
    scene.set_quota(100_000_000).await;
    assert_eq!(scene.back_up().await.uploaded, 1);
    assert_eq!(scene.vault().await.len(), 2);
}

/// Two copies of a picture are one file; when one of them is edited, what the other is must stay safe.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_takes_nothing_from_another_copy() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &taken(18, 1));
    scene.write("copy of a.jpg", &taken(18, 1));
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 1);
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    let contents: std::collections::BTreeSet<_> =
        scene.vault().await.into_iter().map(|row| row.content_hash).collect();
    assert_eq!(contents.len(), 2, "the copy's content is still there");
}

/// What another device of the account replaced is not what this device has: that is sent again, as a picture of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_on_another_device_takes_nothing_from_this_one() {
    let mut scene = Scene::new().await;
    let path = scene.write("a.jpg", &taken(18, 1));
    scene.back_up().await;
    // The other device has the same picture, edits it, and replaces the file with that.
    let here = scene.catalog.clone();
    scene.forget().await;
    scene.back_up().await;
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 1, "one file, edited");
    // Here it is as it was.
    let before =
        here.asset(&raw(&scene.pictures().canonicalize().unwrap()), b"a.jpg").await.unwrap().unwrap();
    std::fs::write(&path, taken(18, 1)).unwrap();
    let nanos = u64::try_from(before.fingerprint.modified_ns).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_nanos(nanos)).unwrap();
    scene.catalog = here;
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.unchanged), (1, 0), "{report:?}");
    let contents: std::collections::BTreeSet<_> =
        scene.vault().await.into_iter().map(|row| row.content_hash).collect();
    assert_eq!(contents.len(), 2);
    let again = scene.back_up().await;
    assert_eq!((again.bytes_sent, again.bytes_hashed), (0, 0));
}

/// Once, what was gone was looked for in every run, and its file with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_was_renamed_and_edited_is_left_alone_then() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &taken(18, 1));
    scene.back_up().await;
    let renamed = scene.pictures().join("b.jpg");
    std::fs::rename(&path, &renamed).unwrap();
    scene.back_up().await;
    edit(&scene.write("b.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 1, "a version");
    let again = scene.back_up().await;
    assert_eq!((again.unchanged, again.linked, again.bytes_hashed), (1, 0, 0), "{again:?}");
}
