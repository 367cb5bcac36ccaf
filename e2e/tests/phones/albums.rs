//! Albums: which pictures are chosen, and how the vault mirrors them.

use darkslide_client::backup::rules::conditions::{Network, Trigger};
use darkslide_client::backup::rules::explanation::{Explanation, Skip};
use darkslide_client::free_up::FreeUpRule;
use darkslide_client::library::device::{AlbumChoice, AssetKind};
use darkslide_e2e::phone::day::{Day, Told};
use darkslide_e2e::phone::home::Home;
use darkslide_e2e::phone::{DAY, Phone};
use std::collections::BTreeSet;

/// An album is excluded after its pictures were sent: they stay in the vault, and new ones are left alone.
/// Shows M2.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_excluded_after_its_pictures_were_sent() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.add_album("Screenshots");
    let before = phone.take(2, 10_000);
    phone.file_into("Screenshots", &before);
    phone.run(Trigger::Opened).await.report();
    phone.choose("Screenshots", Some(AlbumChoice::Excluded)).await;
    let after = phone.take(1, 10_000);
    phone.file_into("Screenshots", &after);
    phone.run(Trigger::Opened).await.report();
    let excluded = Skip::Excluded("Screenshots".into());
    assert_eq!(phone.explain(&after[0]).await, Explanation::Skipped(excluded.clone()));
    let left_alone = Day {
        // What is in the vault stays there.
        vault: before.iter().map(|photo| phone.content_of(photo)).collect(),
        sent: &[(Network::Unmetered, 20_000..=24_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(2, Told::Kept(excluded.clone())), (1, Told::Skipped(excluded))],
    };
    phone.day_ends(&home, left_alone).await;
    phone.choose("Screenshots", None).await;
    phone.run(Trigger::Opened).await.report();
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Unmetered, 30_000..=36_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(3, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// An album is emptied for a while and filled again: its choice stays, and nothing is sent twice.
/// Shows M2.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_emptied_and_filled_again() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photos = phone.take(3, 10_000);
    phone.run(Trigger::Opened).await.report();
    phone.empty_album("Camera");
    phone.run(Trigger::Opened).await.report();
    let vault: BTreeSet<String> = photos.iter().map(|photo| phone.content_of(photo)).collect();
    let sent = [(Network::Unmetered, 30_000..=36_000)];
    let empty = Day {
        vault: vault.clone(),
        sent: &sent,
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(3, Told::Kept(Skip::NotSelected))],
    };
    phone.day_ends(&home, empty).await;
    phone.file_into("Camera", &photos);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!(ran.report.bytes_sent, 0);
    let end = Day { vault, sent: &sent, fetched: &[], peak_cache: 0..=0, told: &[(3, Told::Safe)] };
    phone.day_ends(&home, end).await;
}

/// The mirror is additive and one way: pictures go into all their albums, and what the owner took out in the vault stays out.
/// Shows M5.
#[tokio::test(flavor = "multi_thread")]
async fn the_vault_mirrors_the_phones_albums() {
    let home = Home::new().await;
    let mut phone = Phone::new(&home, "phone").await;
    phone.mirror = true;
    for album in ["Ski", "Family"] {
        phone.add_album(album);
        phone.choose(album, Some(AlbumChoice::Selected)).await;
    }
    let photos = phone.take(4, 10_000);
    phone.file_into("Ski", &photos[..2]);
    phone.file_into("Family", &photos[1..3]);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!(ran.report.uploaded, 4, "each is sent once");
    let albums = |list: &[(&str, usize)]| {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(home.albums().await, albums(&[("Camera", 4), ("Family", 2), ("Ski", 2)]));
    // Taken out of an album in the vault.
    let files = home.files().await;
    assert_eq!(home.albums().await.len(), 3);
    let (_, elsewhere) = home.elsewhere();
    let mut taken = None;
    for row in &files {
        if elsewhere.collection(row.collection).await.unwrap().unwrap().name == "Ski" {
            taken = Some(row.clone());
        }
    }
    home.take_out(&taken.unwrap()).await;
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!(ran.report.bytes_sent, 0);
    assert_eq!(home.albums().await, albums(&[("Camera", 4), ("Family", 2), ("Ski", 1)]));
    // A picture goes into a further album on the phone.
    phone.file_into("Family", &photos[3..]);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(home.albums().await, albums(&[("Camera", 4), ("Family", 3), ("Ski", 1)]));
    assert_eq!(phone.check_explanations(&home).await, 4);
}

/// What was sent into one album is filed into the phone's albums later, without sending anything.
/// Shows M5.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_were_sent_before_are_filed() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.add_album("Ski");
    phone.choose("Ski", Some(AlbumChoice::Selected)).await;
    let photos = phone.take(3, 10_000);
    phone.file_into("Ski", &photos[..2]);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(home.albums().await, [("Phone".to_owned(), 3)]);
    let ran = phone.reorganise().await.report();
    assert_eq!(ran.report.bytes_sent, 0);
    let expected = [("Camera", 3), ("Phone", 3), ("Ski", 2)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(home.albums().await, expected);
    assert_eq!(phone.check_explanations(&home).await, 3);
}

/// Freeing space: only what the server has just proved to hold, with both components, old enough and no favourite; absence means nothing.
/// Shows E8, E11.
#[tokio::test(flavor = "multi_thread")]
async fn space_is_freed_of_what_is_proved_to_be_safe() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photos = phone.take(4, 10_000);
    let live = phone.record(AssetKind::LivePhoto, 10_000);
    let half = phone.record_live(10_000, 0);
    phone.favour(&photos[0]);
    phone.run(Trigger::Opened).await.report();
    let new = phone.take(1, 10_000);
    let all = FreeUpRule { taken_before: phone.now() + 1, favourites: false };
    let mut expected = [&photos[1..], std::slice::from_ref(&live)].concat();
    expected.sort();
    assert_eq!(phone.may_be_freed(all).await, expected, "no favourite, nothing half, nothing unsent");
    let with_favourites = phone.may_be_freed(FreeUpRule { favourites: true, ..all }).await;
    assert_eq!(with_favourites.len(), 5);
    let early = FreeUpRule { taken_before: phone.now() - DAY, ..all };
    assert_eq!(phone.may_be_freed(early).await, []);
    phone.free(&expected).await;
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, home.files().await.len()), (1, 7));
    assert!(phone.explain(&new[0]).await.is_backed_up() && phone.explain(&half).await.is_backed_up());
    home.verify(7).await;
}

/// An album that is renamed on the phone is renamed in the vault, unless its owner gave it another name there; nothing is sent for it, and what
/// vanished for a while keeps its name and its choice.
/// Shows M2, M5.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_renamed_on_the_phone() {
    let home = Home::new().await;
    let mut phone = Phone::new(&home, "phone").await;
    phone.mirror = true;
    for album in ["Ski", "Family", "Pets"] {
        phone.add_album(album);
        phone.choose(album, Some(AlbumChoice::Selected)).await;
    }
    let photos = phone.take(3, 10_000);
    phone.file_into("Ski", &photos[..1]);
    phone.file_into("Family", &photos[1..2]);
    // Never in the vault under its old name.
    phone.rename_album("Pets", "Dogs");
    phone.file_into("Pets", &photos[2..]);
    phone.run(Trigger::Opened).await.report();
    home.rename_album("Family", "Our people").await;
    phone.rename_album("Ski", "Ski 2026");
    phone.rename_album("Family", "Relatives");
    let names = |list: &[(&str, usize)]| {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let ran = phone.run(Trigger::Opened).await.report();
        assert_eq!(ran.report.bytes_sent, 0);
        let expected = names(&[("Camera", 3), ("Dogs", 1), ("Our people", 1), ("Ski 2026", 1)]);
        assert_eq!(home.albums().await, expected);
    }
    phone.remove_album("Ski");
    phone.run(Trigger::Opened).await.report();
    phone.rename_album("Ski", "Snow");
    phone.file_into("Ski", &photos[..2]);
    phone.run(Trigger::Opened).await.report();
    let expected = names(&[("Camera", 3), ("Dogs", 1), ("Our people", 1), ("Snow", 2)]);
    assert_eq!(home.albums().await, expected);
    assert_eq!(phone.check_explanations(&home).await, 3);
}
