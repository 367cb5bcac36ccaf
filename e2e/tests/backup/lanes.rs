//! What is large holds up nothing else.

use crate::interrupted::drain;
use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::{Memory, Settings, backup};
use darkslide_client::event::{Event, Events, Outcome};
use darkslide_client::library::AlbumRule;
use darkslide_e2e::proxy::Proxy;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Bytes after which the wire holds a connection up: more than a large photo has, and less than a film.
const HELD_AFTER: u64 = 28_000_000;

fn film(seed: u8) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    bytes.extend(picture(seed, 40_000_000));
    bytes
}

/// Films whose bytes go no further do not hold up a photo of any size: it is in the vault before they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_photo_does_not_wait_for_films() {
    for memory in [Memory::LITTLE, Memory::USUAL] {
        let scene = Scene::new().await;
        for seed in 1..4 {
            scene.write(&format!("a_film_{seed}.mp4"), &film(seed));
        }
        scene.write("b_large.jpg", &picture(4, 17_000_000));
        scene.write("c_medium.jpg", &picture(5, 6_000_000));
        scene.write("d_small.jpg", &picture(6, 50_000));
        let proxy = Proxy::holding(&scene.server.base(), HELD_AFTER).await;
        let (session, catalog) = (scene.through(&proxy.base()), scene.catalog.clone());
        let (roots, (events, mut told)) = ([scene.pictures()], Events::channel());
        let running = tokio::spawn(async move {
            let settings = Settings { memory, ..settings(AlbumRule::PerRoot) };
            backup(session, catalog, &roots, &settings, &events, &CancellationToken::new()).await
        });
        let photos = async {
            let mut left = 3_u32;
            while left > 0 {
                let event = told.recv().await.expect("the films are not through");
                left -= u32::from(matches!(event, Event::Finished { outcome: Outcome::Uploaded, .. }));
            }
        };
        // Without a lane of its own the photo waits for ever.
        tokio::time::timeout(Duration::from_mins(1), photos).await.unwrap();
        assert_eq!(scene.titles().await, ["b_large.jpg", "c_medium.jpg", "d_small.jpg"]);
        proxy.release();
        drain(told).await;
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.uploaded, report.failed.len()), (6, 0), "{report:?}");
    }
}
