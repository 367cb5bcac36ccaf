//! Google Takeout: where two things are said of one picture, or one name is that of two.

use crate::scene::{Scene, picture};
use crate::takeout::{
    Pack, SECONDS, YEAR, albums, caption, check_that_nothing_is_left, counts, imported, listed, of_name,
    sidecar, video,
};
use serde_json::json;
use std::collections::BTreeSet;

/// Once, what was said of the video was lost, whatever it was.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_of_a_video_is_lost_in_a_live_photo() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let of_video = |name: &str, seconds: i64| {
        json!({
            "title": format!("{name}.MP4"), "description": "the wedding", "favorited": true,
            "photoTakenTime": { "timestamp": seconds.to_string() },
        })
    };
    // Two at Google, of which one date would be lost; and two of one moment.
    let add = |pack: Pack, (name, seed, seconds): (&str, u8, i64)| {
        let place = format!("{YEAR}/{name}");
        let mut video = video();
        video.push(seed);
        pack.file(&format!("{place}.JPG"), picture(seed, 5000))
            .json(&format!("{place}.JPG.json"), &sidecar(&format!("{name}.JPG"), SECONDS))
            .file(&format!("{place}.MP4"), video)
            .json(&format!("{place}.MP4.json"), &of_video(name, seconds))
    };
    let pack =
        [("apart", 1, SECONDS + 9_000_000), ("one", 2, SECONDS + 20)].into_iter().fold(Pack::default(), add);
    let paths = [pack.zip(&folder.path().join("1.zip"))];
    let report = imported(&scene, &paths).await;
    assert_eq!(counts(&report.backup), (3, 0, 0, 0, 0), "{report:#?}");
    let files = listed(&scene).await;
    let (plain, loved) = (albums(&["Google Photos"]), albums(&["Favorites", "Google Photos"]));
    assert_eq!(of_name(&files, "apart.JPG"), [(plain, SECONDS)]);
    assert_eq!(of_name(&files, "apart.MP4"), [(loved.clone(), SECONDS + 9_000_000)]);
    assert_eq!(of_name(&files, "one.JPG"), [(loved, SECONDS)]);
    let rows = scene.vault().await;
    let captions: BTreeSet<_> =
        rows.iter().map(|row| (row.title.as_deref().unwrap(), row.kind, caption(row))).collect();
    let wedding = || Some("the wedding".to_owned());
    assert_eq!(
        captions,
        [("apart.JPG", 0, None), ("apart.MP4", 1, wedding()), ("one.JPG", 2, wedding())].into()
    );
    scene.verify_all(3).await;
    check_that_nothing_is_left(&scene, &paths, &report).await;
}
