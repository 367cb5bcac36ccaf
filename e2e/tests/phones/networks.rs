//! Trains, borders and mobile data: what may go over which network.

use darkslide_client::backup::rules::conditions::{Network, Trigger};
use darkslide_client::backup::rules::explanation::{Explanation, Wait};
use darkslide_client::library::device::AssetKind;
use darkslide_e2e::phone::android::Android;
use darkslide_e2e::phone::day::{Day, Told};
use darkslide_e2e::phone::home::Home;
use std::collections::BTreeSet;

/// Forty photos and a video are taken on a train with mobile data; nothing is sent until Wi-Fi at home, unless the owner allows photos.
/// Shows M4.
#[tokio::test(flavor = "multi_thread")]
async fn a_train_ride_on_mobile_data() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.network(Network::Metered, 500_000);
    let photos = phone.take(40, 20_000);
    let video = phone.record(AssetKind::Video, 6_000_000);
    android.library_changed().await.unwrap().report();
    assert_eq!(phone.explain(&video).await, Explanation::Waiting(Wait::Unmetered(AssetKind::Video)));
    let on_the_train = Day {
        vault: BTreeSet::new(),
        sent: &[],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[
            (40, Told::Waits(Wait::Unmetered(AssetKind::Photo))),
            (1, Told::Waits(Wait::Unmetered(AssetKind::Video))),
        ],
    };
    phone.day_ends(&home, on_the_train).await;
    // The owner allows photos, and not videos.
    phone.allow(|permissions| permissions.photos_on_metered = true);
    let ran = android.open().await.report();
    assert_eq!(ran.report.uploaded, 40);
    let allowed = Day {
        vault: photos.iter().map(|photo| phone.content_of(photo)).collect(),
        sent: &[(Network::Metered, 800_000..=900_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(40, Told::Safe), (1, Told::Waits(Wait::Unmetered(AssetKind::Video)))],
    };
    phone.day_ends(&home, allowed).await;
    phone.network(Network::Unmetered, 4_000_000);
    android.periodic().await.unwrap().report();
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Metered, 800_000..=900_000), (Network::Unmetered, 6_000_000..=6_100_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(41, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// Wi-Fi is lost in the middle of a video, and mobile data comes instead: at most the part that was on its way crosses the border.
/// Shows M4, E4.
#[tokio::test(flavor = "multi_thread")]
async fn the_network_changes_in_the_middle_of_a_video() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    let video = phone.record(AssetKind::Video, 24_000_000);
    phone.after_bytes(9_000_000, |conditions| conditions.network = Network::Metered);
    let ran = android.open().await.report();
    assert_eq!(ran.held, [(video.clone(), Wait::Unmetered(AssetKind::Video))]);
    assert_eq!(phone.sent_over(Network::Metered), 0, "the rule is asked before every part");
    let sent = phone.sent_over(Network::Unmetered);
    assert!((9_000_000..15_000_000).contains(&sent), "{sent}");
    assert_eq!(phone.check_explanations(&home).await, 0);
    phone.network(Network::Unmetered, 4_000_000);
    android.periodic().await.unwrap().report();
    let end = Day {
        vault: phone.contents(),
        // What was acknowledged is not sent again.
        sent: &[(Network::Unmetered, 24_000_000..=24_100_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// Abroad nothing is sent, whatever mobile data may be used for, until a switch of its own says so.
/// Shows M4.
#[tokio::test(flavor = "multi_thread")]
async fn roaming_abroad() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.allow(|permissions| {
        permissions.photos_on_metered = true;
        permissions.videos_on_metered = true;
    });
    phone.network(Network::Roaming, 300_000);
    phone.take(1, 30_000);
    android.open().await.report();
    let abroad = Day {
        vault: BTreeSet::new(),
        sent: &[],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Waits(Wait::Home))],
    };
    phone.day_ends(&home, abroad).await;
    phone.allow(|permissions| permissions.while_roaming = true);
    android.open().await.report();
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Roaming, 30_000..=32_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// A flight: no network, then the process is killed while the airport's Wi-Fi carries a video; nothing is lost, little is sent twice.
/// Shows E4.
#[tokio::test(flavor = "multi_thread")]
async fn a_flight_with_a_kill_at_the_airport() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.network(Network::None, 0);
    phone.take(12, 50_000);
    phone.record(AssetKind::Video, 20_000_000);
    assert!(android.periodic().await.is_none(), "a worker that needs a network does not run without one");
    let in_the_air = Day {
        vault: BTreeSet::new(),
        sent: &[],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(13, Told::Waits(Wait::Network))],
    };
    phone.day_ends(&home, in_the_air).await;
    phone.network(Network::Unmetered, 2_000_000);
    phone.kill_after(11_000_000);
    let ran = android.open().await;
    assert!(matches!(ran, darkslide_e2e::phone::Ran::Killed), "{ran:?}");
    phone.check_explanations(&home).await;
    android.open().await.report();
    let end = Day {
        vault: phone.contents(),
        // All of it, and what was on its way.
        sent: &[(Network::Unmetered, 20_600_000..=20_700_000 + 2 * 4_200_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(13, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
    let again = phone.run(Trigger::Asked).await.report();
    assert_eq!((again.report.bytes_sent, again.is_complete), (0, true));
}
