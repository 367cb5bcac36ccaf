//! Full phones, slow clouds, servers that are away, and vaults that are full.

use darkslide_client::backup::rules::conditions::{Network, Trigger};
use darkslide_client::backup::rules::explanation::{Explanation, Wait};
use darkslide_client::library::device::AssetKind;
use darkslide_e2e::phone::home::Home;
use darkslide_e2e::phone::iphone::IPhone;
use darkslide_e2e::phone::{DAY, Phone, Ran};

/// A phone that is full to the last 100 MB, with originals in iCloud only: each is fetched once, through a small cache that ends empty.
/// Shows M8.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_phone_with_originals_in_the_cloud_only() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let room = 10_000_000;
    iphone.phone.set(|conditions| conditions.cache_room = room);
    iphone.phone.take(200, 100_000);
    let film = iphone.phone.record(AssetKind::Video, 6_000_000);
    let long = iphone.phone.record(AssetKind::Video, 12_000_000);
    iphone.phone.offload();
    iphone.phone.network(Network::Metered, 4_000_000);
    iphone.phone.allow(|permissions| permissions.photos_on_metered = true);
    iphone.open().await.report();
    assert_eq!(home.contents().await.len(), 0, "originals are not fetched over mobile data");
    iphone.phone.network(Network::Unmetered, 4_000_000);
    iphone.phone.break_cloud(1);
    let first = iphone.open().await.report();
    assert_eq!(first.report.failed.len(), 1, "one was not delivered: {:?}", first.report.failed);
    iphone.open().await.report();
    assert_eq!(iphone.phone.explain(&long).await, Explanation::Waiting(Wait::CacheRoom(12_000_000)));
    assert!(iphone.phone.explain(&film).await.is_backed_up());
    assert_eq!(home.contents().await.len(), 201);
    assert!(iphone.phone.fetches().values().all(|times| *times == 1), "each is pulled once");
    assert!(iphone.phone.peak_cache() <= room, "{}", iphone.phone.peak_cache());
    assert_eq!(iphone.phone.cache_now(), 0);
    assert_eq!(iphone.phone.check_explanations(&home).await, 201);
}

/// Killed while a fetched original is being sent: the copy is gone after the next run, and the original is not lost.
/// Shows M8, E4.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_copies_behind() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    iphone.phone.record(AssetKind::Video, 12_000_000);
    iphone.phone.offload();
    iphone.phone.kill_after(6_000_000);
    let ran = iphone.open().await;
    assert!(matches!(ran, Ran::Killed), "{ran:?}");
    iphone.open().await.report();
    assert_eq!(iphone.phone.cache_now(), 0);
    assert_eq!(home.contents().await, iphone.phone.contents());
    let sent = iphone.phone.sent_over(Network::Unmetered);
    assert!(sent < 12_100_000 + 9_000_000, "it went on from what was acknowledged: {sent}");
}

/// The server is down for a day: nothing is lost, nothing is blamed on the pictures, and the next run sends it all.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_down_for_a_day() {
    let mut home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.take(5, 20_000);
    home.server.kill();
    for _ in 0..3 {
        let ran = phone.run(Trigger::Periodic).await;
        assert!(matches!(ran, Ran::Failed(_)), "{ran:?}");
        phone.wait(DAY / 3);
    }
    for (asset, told) in phone.explanations().await {
        assert_eq!(told, Explanation::Waiting(Wait::Turn), "{}", asset.name);
    }
    home.server.restart();
    phone.run(Trigger::Periodic).await.report();
    assert_eq!(home.contents().await, phone.contents());
    assert_eq!(phone.check_explanations(&home).await, 5);
}

/// The quota is reached: it is told once, what is safe stays safe, and with more room the rest goes.
#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_reached() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.take(3, 100_000);
    phone.run(Trigger::Opened).await.report();
    home.set_quota(Some(320_000)).await;
    phone.take(600, 100_000);
    let ran = phone.run(Trigger::Opened).await.report();
    assert!(ran.report.storage_full.is_some() && !ran.is_complete);
    let safe = phone.check_explanations(&home).await;
    assert!((3..603).contains(&safe), "{safe}");
    home.set_quota(None).await;
    phone.run(Trigger::Opened).await.report();
    assert_eq!(phone.check_explanations(&home).await, 603);
    assert_eq!(home.contents().await, phone.contents());
}

/// A picture whose bytes cannot be had is named with its reason, is tried again, and stops no other.
/// Shows E12.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_picture_never_stops_the_others() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photos = phone.take(10, 10_000);
    phone.spoil(&photos[4]);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, ran.report.failed.len()), (9, 1), "{:?}", ran.report);
    let told = phone.explain(&photos[4]).await;
    assert!(matches!(told, Explanation::Blocked(_)), "{told}");
    phone.edit(&photos[4], 11_000);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(phone.check_explanations(&home).await, 10);
}
