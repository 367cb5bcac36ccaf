//! What is said of a file of the vault by its number: since when it is safe, and where it lies.

use crate::edits::edit;
use crate::scene::{Scene, picture};
use darkslide_client::FileId;
use darkslide_client::backup::explain::explain_file;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::receipt::ask_for_receipts;
use darkslide_client::verify::VerifyScope;
use std::fs;

async fn told(scene: &Scene, file: FileId) -> String {
    explain_file(&scene.catalog, file).await.unwrap().unwrap()
}

/// Once, it named paths that were gone, and neither the date nor the receipt.
#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_file_tells_where_it_lies_and_since_when_it_is_safe() {
    let scene = Scene::new().await;
    for name in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        scene.write(name, &picture(1, 5000));
    }
    scene.back_up().await;
    let file = scene.vault().await[0].id;
    let whole = told(&scene, file).await;
    assert!(whole.contains(".jpg: backed up on 20") && !whole.contains("read it back"), "{whole}");
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let scope = VerifyScope::Everything;
    ask_for_receipts(&scene.session, &scene.catalog, scope, &Events::silent()).await.unwrap();
    let whole = told(&scene, file).await;
    assert!(whole.contains(", in Pictures; the server read it back whole on 20"), "{whole}");

    // Before anybody has seen that, and after.
    let root = scene.pictures().canonicalize().unwrap();
    fs::remove_file(root.join("b.jpg")).unwrap();
    edit(&scene.write("c.jpg", &picture(2, 5000)), 120);
    let [a, c, d] = ["a.jpg", "c.jpg", "d.jpg"].map(|name| root.join(name).display().to_string());
    let here = told(&scene, file).await;
    assert!(here.ends_with(&format!(". On this device: {a}, {c} (changed since), {d}.")), "{here}");
    scene.back_up().await;
    let here = told(&scene, file).await;
    assert!(here.ends_with(&format!(". On this device: {a}, {d}.")), "{here}");

    // A folder that is away has lost nothing.
    let away = root.with_extension("away");
    fs::rename(&root, &away).unwrap();
    let unseen = told(&scene, file).await;
    assert!(unseen.ends_with(&format!(". Last seen where nobody can look now: {a}, {d}.")), "{unseen}");
    fs::rename(&away, &root).unwrap();
    for name in ["a.jpg", "d.jpg"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    let nowhere = told(&scene, file).await;
    assert!(nowhere.ends_with(". No copy of it is known on this device."), "{nowhere}");
}
