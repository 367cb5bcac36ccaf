//! Originals go from a device only as long as the vault has them.

use crate::scene::{Scene, picture};
use darkslide_client::catalog::Catalog;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::free_up::{Candidate, FreeUpError, FreeUpRule, meant, plan_free_up, remove};
use darkslide_client::trash::{empty_trash, trash_files};

pub(crate) async fn candidates(scene: &Scene) -> Vec<Candidate> {
    let paths = [meant(&scene.pictures()).unwrap()];
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
