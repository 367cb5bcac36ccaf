//! Which way things go to the server and come from it: what it was asked, and what it was not.

use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::Settings;
use darkslide_client::library::AlbumRule;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::trash::trash_files;
use darkslide_crypto::stream::CHUNK_LEN;
use darkslide_e2e::bitmap::bitmap;
use std::collections::{BTreeMap, BTreeSet};

/// How often each kind of request was made that brings bytes, or leave to bring some. Those of the base API are the only ones that ask for a MD5,
/// or take one.
fn sent(scene: &Scene, before: usize) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for (method, route) in scene.server.requests().into_iter().skip(before) {
        let is_a_way = route.starts_with("/v1/uploads")
            || route.contains("upload-url")
            || route.contains("blob")
            || ["/v1/batch", "/files", "/files/update", "/files/thumbnail"].contains(&route.as_str());
        if is_a_way && method != "HEAD" {
            *sent.entry(format!("{method} {route}")).or_default() += 1;
        }
    }
    sent
}

fn ways(sent: &BTreeMap<String, usize>) -> Vec<&str> {
    sent.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_small_goes_in_batches_and_what_is_large_resumably() {
    let scene = Scene::new().await;
    let asked = || scene.server.requests().len();
    let before = asked();
    for seed in 0..20 {
        scene.write(&format!("small/{seed}.jpg"), &picture(seed, 40_000));
    }
    // The most that goes in a batch, and pictures whose thumbnails are made.
    scene.write("small/most.jpg", &picture(100, CHUNK_LEN));
    for seed in 0..5 {
        scene.write(&format!("small/{seed}.bmp"), &bitmap(60, 50 + seed));
    }
    let settings = Settings { thumbnailer: Thumbnailer::without_tools(), ..settings(AlbumRule::PerRoot) };
    let report = scene.back_up_with(&settings).await.unwrap();
    assert_eq!((report.uploaded, report.failed.len(), report.thumbnails_left), (26, 0, 0), "{report:?}");
    let small = sent(&scene, before);
    assert_eq!(ways(&small), ["POST /v1/batch"], "{small:?}");
    assert!(small["POST /v1/batch"] < 26, "{small:?}");

    // Large ones of all sizes: in one stretch, in several, and sent while they are hashed.
    let before = asked();
    let lengths = [CHUNK_LEN + 1, 9_000_000, 17_000_000, 140_000_000];
    for (seed, length) in (101..).zip(lengths) {
        scene.write(&format!("large/{seed}.mp4"), &picture(seed, length));
    }
    let report = scene.back_up_with(&settings).await.unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (4, 0), "{report:?}");
    let large = sent(&scene, before);
    assert_eq!(ways(&large), ["PATCH /v1/uploads/{id}", "POST /v1/batch", "POST /v1/uploads"], "{large:?}");
    assert_eq!(large["POST /v1/uploads"], lengths.len(), "{large:?}");
    scene.verify_all(30).await;
}

/// What the base API tells of changes, in parts that have no order among each other, is never asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_read_from_the_ordered_feed_alone() {
    let mut scene = Scene::new().await;
    for (seed, path) in (1..).zip(["one/a.jpg", "one/b.jpg", "two/c.jpg"]) {
        scene.write(path, &picture(seed, 5000));
    }
    let per_folder = settings(AlbumRule::PerFolder);
    assert_eq!(scene.back_up_with(&per_folder).await.unwrap().uploaded, 3);
    let before = scene.server.requests().len();
    assert_eq!(scene.titles().await, ["a.jpg", "b.jpg", "c.jpg"], "a new device has all of it");
    let asked: BTreeSet<_> =
        scene.server.requests().into_iter().skip(before).map(|(_, route)| route).collect();
    assert!(asked.contains("/v1/changes"), "{asked:?}");
    assert!(asked.iter().all(|route| ["/v1/changes", "/v1/server"].contains(&route.as_str())), "{asked:?}");

    // Two devices in turn, with something deleted in between.
    let first = scene.catalog.clone();
    scene.forget().await;
    assert_eq!(scene.back_up_with(&per_folder).await.unwrap().uploaded, 0);
    let file = scene.vault().await[0].id;
    trash_files(&scene.session, &scene.catalog, &[file]).await.unwrap();
    scene.catalog = first;
    scene.write("three/d.jpg", &picture(4, 5000));
    assert_eq!(scene.back_up_with(&per_folder).await.unwrap().uploaded, 1);
    scene.verify_all(3).await;
    let asked: BTreeSet<_> = scene.server.requests().into_iter().collect();
    let of_the_base = |(_, route): &&(String, String)| {
        let lists = ["/collections", "/collections/v2", "/collections/v3"];
        route.ends_with("/diff") || lists.contains(&route.as_str())
    };
    assert_eq!(asked.iter().find(of_the_base), None, "{asked:?}");
}
