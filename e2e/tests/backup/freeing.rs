//! Originals go from a device only as long as the vault has them.

use crate::edits::{edit, taken};
use crate::scene::{Scene, picture};
use darkslide_client::catalog::Catalog;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::free_up::{Candidate, FreeUpError, FreeUpRule, meant, plan_free_up, remove};
use darkslide_client::trash::{empty_trash, trash_files};
use darkslide_crypto::ContentHash;
use std::path::Path;

pub(crate) async fn candidates(scene: &Scene) -> Vec<Candidate> {
    candidates_in(scene, &scene.pictures()).await
}

async fn candidates_in(scene: &Scene, path: &Path) -> Vec<Candidate> {
    let paths = [meant(path).unwrap()];
    let rule = FreeUpRule { taken_before: i64::MAX, favourites: true };
    let events = Events::silent();
    let plan = plan_free_up(&scene.session, &scene.catalog, &paths, rule, &events).await.unwrap().unwrap();
    plan.candidates
}

/// Once, the proof was as old as the question: what another device purged while it stood open was then nowhere.
/// Shows E11.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_the_question_stands_open_stays() {
    let scene = Scene::new().await;
    for seed in 0..4 {
        scene.write(&format!("{seed}.jpg"), &picture(seed, 3000));
    }
    scene.back_up().await;
    let listed = candidates(&scene).await;
    assert_eq!(listed.len(), 4);

    let folder = tempfile::tempdir().unwrap();
    let other = Catalog::open(&folder.path().join("other.db")).await.unwrap();
    feed::pull(&scene.session, &other).await.unwrap();
    trash_files(&scene.session, &other, &[listed[0].file]).await.unwrap();
    empty_trash(&scene.session, &other).await.unwrap();
    trash_files(&scene.session, &other, &[listed[1].file]).await.unwrap();

    let removal = remove(&scene.session, &scene.catalog, &listed, &Events::silent()).await;
    let kept: Vec<_> = removal.kept.iter().map(|kept| matches!(kept, FreeUpError::Unproven(_))).collect();
    assert_eq!((removal.removed, removal.bytes, kept), (2, 6000, vec![true, true]), "{:?}", removal.kept);
    let is_there: Vec<_> = listed.iter().map(|candidate| candidate.paths[0].exists()).collect();
    assert_eq!(is_there, [true, true, false, false]);
}

/// Nothing goes upon a proof that cannot be renewed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_while_the_vault_cannot_be_asked() {
    let scene = Scene::new().await;
    for seed in 0..2 {
        scene.write(&format!("{seed}.jpg"), &picture(seed, 3000));
    }
    scene.back_up().await;
    let listed = candidates(&scene).await;
    let nobody = scene.through("http://127.0.0.1:1");
    let removal = remove(&nobody, &scene.catalog, &listed, &Events::silent()).await;
    assert!(matches!(&removal.kept[..], [FreeUpError::Unasked { count: 2, .. }]), "{:?}", removal.kept);
    assert_eq!(removal.removed, 0);
    assert!(listed.iter().all(|candidate| candidate.paths[0].exists()));
    let removal = remove(&scene.session, &scene.catalog, &listed, &Events::silent()).await;
    assert_eq!((removal.removed, removal.kept.len()), (2, 0), "{:?}", removal.kept);
}

/// Once, another picture at its place took away what kept it: an edit of a copy then replaced the only original, in the vault.
/// Shows E11.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_freed_stays_in_the_vault_whatever_takes_its_place() {
    for is_taken in [false, true] {
        let scene = Scene::new().await;
        let freed = scene.write("a.jpg", &taken(18, 1));
        let copy = scene.write("copy.jpg", &taken(18, 1));
        scene.back_up().await;
        let listed = candidates_in(&scene, &freed).await;
        let removal = remove(&scene.session, &scene.catalog, &listed, &Events::silent()).await;
        assert_eq!((removal.removed, freed.exists()), (1, false), "{:?}", removal.kept);
        scene.back_up().await;
        if is_taken {
            scene.write("a.jpg", &taken(40, 2));
            scene.back_up().await;
        }
        edit(&scene.write("copy.jpg", &taken(18, 3)), 120);
        scene.back_up().await;
        let contents: Vec<_> = scene.vault().await.iter().filter_map(|row| row.content_hash).collect();
        assert!(contents.contains(&ContentHash::of(&taken(18, 1))), "{is_taken}: {contents:?}");
        assert!(contents.contains(&ContentHash::of(&std::fs::read(&copy).unwrap())), "{contents:?}");
    }
}
