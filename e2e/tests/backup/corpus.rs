//! Real media: every picture and video goes in, everything else is named.

use crate::scene::{Scene, copy_tree, picture, settings};
use darkslide_client::library::AlbumRule;
use std::path::{Path, PathBuf};

/// The corpus, or nothing where it is not: then generated files stand in. In CI it must be there.
pub(crate) fn corpus() -> Option<PathBuf> {
    let given = std::env::var_os("DARKSLIDE_CORPUS").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let found = given.into_iter().chain([usual]).find(|path| path.join("MANIFEST.tsv").is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "CI needs the corpus: set DARKSLIDE_CORPUS");
    found
}

/// Shows E3.
#[tokio::test(flavor = "multi_thread")]
async fn real_media_are_backed_up_whole() {
    let scene = Scene::new().await;
    match corpus() {
        Some(corpus) => copy_tree(&corpus, &scene.pictures().join("corpus")),
        None => generate(&scene),
    }
    let report = scene.back_up_with(&settings(AlbumRule::PerFolder)).await.unwrap();
    assert_eq!(report.failed, [], "{report:#?}");
    assert!(report.uploaded > 0 && report.not_media.files > 0, "{report:#?}");
    scene.verify_all(report.uploaded).await;
    let again = scene.back_up_with(&settings(AlbumRule::PerFolder)).await.unwrap();
    assert_eq!(
        (again.bytes_sent, again.bytes_hashed, again.uploaded, again.linked),
        (0, 0, 0, 0),
        "{again:#?}"
    );
    assert_eq!(again.unchanged, report.uploaded + report.linked);
    assert_eq!(again.not_media, report.not_media);
}

/// What the corpus is about, as far as it can be made here: odd names, an empty file, damage, things that are not media.
fn generate(scene: &Scene) {
    for (path, bytes) in [
        ("corpus/jpeg/café 東京 🗼.jpg", picture(1, 10_000)),
        ("corpus/jpeg/IMG_0001.JPG.jpg", picture(2, 20_000)),
        ("corpus/dupes/phone-a/IMG_0001.jpg", picture(3, 30_000)),
        ("corpus/dupes/phone-b/IMG_0001.jpg", picture(3, 30_000)),
        ("corpus/corrupt/empty.jpg", Vec::new()),
        ("corpus/sidecar/a.xmp", b"<x:xmpmeta/>".to_vec()),
    ] {
        scene.write(path, &bytes);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_utf8_are_kept_byte_for_byte() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new().await;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 50%.jpg");
    std::fs::write(scene.pictures().join(name), picture(1, 5000)).unwrap();
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let row = &scene.vault().await[0];
    assert_eq!(row.title.as_deref(), Some("caf\u{fffd} 50%.jpg"));
    let metadata: serde_json::Value = serde_json::from_str(row.metadata.as_ref().unwrap()).unwrap();
    assert_eq!(metadata["darkslide"]["rawTitle"], "caf%E9 50%25.jpg");
    assert_eq!(scene.back_up().await.unchanged, 1);
}
