//! Full phones, slow clouds, servers that are away, and vaults that are full.

use darkslide_client::backup::rules::conditions::{Network, Trigger, free_for_copy};
use darkslide_client::backup::rules::explanation::{Explanation, Wait};
use darkslide_client::catalog::FileRow;
use darkslide_client::free_up::FreeUpRule;
use darkslide_client::library::device::{AssetKind, Locality};
use darkslide_e2e::damage::{Object, flip};
use darkslide_e2e::phone::day::{Day, Told};
use darkslide_e2e::phone::home::Home;
use darkslide_e2e::phone::iphone::IPhone;
use darkslide_e2e::phone::{DAY, HOUR, MINUTE, Phone, Ran};
use std::collections::BTreeSet;

/// A phone that is full to the last 100 MB, with originals in iCloud only: each is fetched once, through a small cache that ends empty.
/// Shows M8.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_phone_with_originals_in_the_cloud_only() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let room = 10_000_000;
    iphone.phone.set(|conditions| conditions.free_bytes = Some(10 * room));
    iphone.phone.take(200, 100_000);
    let film = iphone.phone.record(AssetKind::Video, 6_000_000);
    let long = iphone.phone.record(AssetKind::Video, 12_000_000);
    iphone.phone.offload();
    iphone.phone.network(Network::Metered, 4_000_000);
    iphone.phone.allow(|permissions| permissions.photos_on_metered = true);
    iphone.open().await.report();
    // Originals are not fetched over mobile data, and videos are not sent over it.
    let on_the_way = Day {
        vault: BTreeSet::new(),
        sent: &[],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(200, Told::Waits(Wait::Fetch)), (2, Told::Waits(Wait::Unmetered(AssetKind::Video)))],
    };
    iphone.phone.day_ends(&home, on_the_way).await;
    iphone.phone.network(Network::Unmetered, 4_000_000);
    iphone.phone.break_cloud(1);
    let first = iphone.open().await.report();
    assert_eq!(first.report.failed.len(), 1, "one was not delivered: {:?}", first.report.failed);
    iphone.open().await.report();
    // An eighth of the cache is for photos, and the cache is a tenth of what is free.
    let needed = free_for_copy(12_000_000).unwrap();
    assert_eq!(iphone.phone.explain(&long).await, Explanation::Waiting(Wait::CacheRoom(needed)));
    assert!(iphone.phone.explain(&film).await.is_backed_up());
    let mut all_but_one = iphone.phone.contents();
    all_but_one.remove(&iphone.phone.content_of(&long));
    // Each is pulled once.
    let full = Day {
        vault: all_but_one,
        sent: &[(Network::Unmetered, 26_000_000..=26_500_000)],
        fetched: &[(Network::Unmetered, 26_000_000..=26_000_000)],
        peak_cache: 6_000_000..=room,
        told: &[(201, Told::Safe), (1, Told::Waits(Wait::CacheRoom(needed)))],
    };
    iphone.phone.day_ends(&home, full).await;
    iphone.phone.set(|conditions| conditions.free_bytes = Some(needed));
    iphone.open().await.report();
    let end = Day {
        vault: iphone.phone.contents(),
        sent: &[(Network::Unmetered, 38_000_000..=38_500_000)],
        fetched: &[(Network::Unmetered, 38_000_000..=38_000_000)],
        peak_cache: 12_000_000..=needed / 10,
        told: &[(202, Told::Safe)],
    };
    iphone.phone.day_ends(&home, end).await;
}

/// Pictures larger than what photos have of the cache for themselves, films, and Live Photos whose videos are exported though they are here:
/// together they never take more than the cache may hold.
/// Shows M8.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_cache_and_large_pictures() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let room = 10_000_000;
    iphone.phone.set(|conditions| conditions.free_bytes = Some(10 * room));
    for _ in 0..3 {
        iphone.phone.take(2, 5_000_000);
        iphone.phone.take(20, 200_000);
        iphone.phone.record(AssetKind::Video, 8_000_000);
    }
    iphone.phone.offload();
    for _ in 0..20 {
        iphone.phone.record(AssetKind::LivePhoto, 100_000);
    }
    let ran = iphone.open().await.report();
    assert!(ran.is_complete, "{:?}", ran.report);
    assert!(iphone.phone.peak_cache() <= room, "{}", iphone.phone.peak_cache());
    assert!(iphone.phone.peak_cache() > 5_000_000, "{}", iphone.phone.peak_cache());
    assert_eq!(iphone.phone.check_explanations(&home).await, 89);
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
    assert!(iphone.phone.cache_now() >= 12_000_000, "nobody removes what a killed process had");
    iphone.open().await.report();
    let end = Day {
        vault: iphone.phone.contents(),
        // It went on from what was acknowledged.
        sent: &[(Network::Unmetered, 12_000_000..=12_100_000 + 2 * 4_200_000)],
        // The copy was lost with the process.
        fetched: &[(Network::Unmetered, 24_000_000..=24_000_000)],
        peak_cache: 12_000_000..=12_000_000,
        told: &[(1, Told::Safe)],
    };
    iphone.phone.day_ends(&home, end).await;
}

/// Pushes in which a film is fetched and not sent to its end: it is fetched once, whatever the network and the cloud are like then, and the copy
/// goes with the last part.
/// Shows M8, M7.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_in_one_grant_is_sent_in_the_next() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let phone = &iphone.phone;
    let film = phone.record(AssetKind::Video, 20_000_000);
    phone.offload();
    phone.network(Network::Unmetered, 1_000_000);
    let ran = iphone.push().await.unwrap().report();
    assert_eq!(ran.held, [(film.clone(), Wait::Grant)]);
    assert_eq!((phone.cache_now(), phone.fetched_over(Network::Unmetered)), (20_000_000, 20_000_000));
    phone.wait(HOUR);
    // Neither the network nor the cloud would give it now.
    phone.network(Network::Metered, 1_000_000);
    phone.allow(|permissions| permissions.videos_on_metered = true);
    phone.break_cloud(1);
    let mut pushes = 0;
    while !phone.explain(&film).await.is_backed_up() {
        iphone.push().await.unwrap().report();
        phone.wait(HOUR);
        pushes += 1;
        assert!(pushes < 3);
    }
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Unmetered, 4_000_000..=10_000_000), (Network::Metered, 10_000_000..=16_100_000)],
        fetched: &[(Network::Unmetered, 20_000_000..=20_000_000)],
        peak_cache: 20_000_000..=20_000_000,
        told: &[(1, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
    // What is not there any more is not kept either.
    let film = phone.record(AssetKind::Video, 20_000_000);
    phone.lies(std::slice::from_ref(&film), Locality::Cloud);
    phone.network(Network::Unmetered, 1_000_000);
    phone.break_cloud(0);
    iphone.push().await.unwrap().report();
    assert_eq!(phone.cache_now(), 20_000_000);
    phone.delete(&[film]);
    iphone.push().await.unwrap().report();
    assert_eq!(phone.cache_now(), 0);
}

/// The server is down for a day: nothing is lost, nothing is blamed on the pictures, and the next run sends it all.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_down_for_a_day() {
    let mut home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photos = phone.take(5, 20_000);
    home.server.kill();
    for _ in 0..3 {
        let ran = phone.run(Trigger::Periodic).await;
        assert!(matches!(ran, Ran::Failed(_)), "{ran:?}");
        phone.wait(DAY / 3);
    }
    phone.network(Network::None, 1);
    assert_eq!(phone.explain(&photos[0]).await, Explanation::Waiting(Wait::Network));
    phone.network(Network::Unmetered, 4_000_000);
    for (asset, told) in phone.explanations().await {
        assert_eq!(told, Explanation::Waiting(Wait::Server), "{}", asset.name);
    }
    home.server.restart();
    let away = Day {
        vault: BTreeSet::new(),
        sent: &[],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(5, Told::Waits(Wait::Server))],
    };
    phone.day_ends(&home, away).await;
    phone.run(Trigger::Periodic).await.report();
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Unmetered, 100_000..=110_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(5, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// Of a Live Photo that was fetched in a push and not sent, the copy of the video is lost, and the cloud does not give it again. It waits alone and
/// says so, what is kept of it makes the cache no larger than it may be, and it is whole when the cloud gives the video.
/// Shows M8, E8.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_live_photo_that_is_kept_stops_no_other() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let room = 24_000_000;
    iphone.phone.set(|conditions| conditions.free_bytes = Some(10 * room));
    let live = iphone.phone.record(AssetKind::LivePhoto, 20_000_000);
    iphone.phone.offload();
    iphone.phone.network(Network::Unmetered, 1_000_000);
    let ran = iphone.push().await.unwrap().report();
    assert_eq!(ran.held, [(live.clone(), Wait::Grant)]);
    assert_eq!(iphone.phone.lose_kept_motions(), 1);
    iphone.phone.hold_motions_back(true);
    iphone.phone.wait(HOUR);
    iphone.phone.network(Network::Unmetered, 4_000_000);
    iphone.phone.take(10, 100_000);
    let film = iphone.phone.record(AssetKind::Video, 15_000_000);
    iphone.phone.lies(std::slice::from_ref(&film), Locality::Cloud);
    for uploaded in [11, 0] {
        let ran = iphone.open().await.report();
        assert_eq!((ran.report.uploaded, ran.report.failed.len()), (uploaded, 1), "{:?}", ran.report);
        assert!(ran.report.failed[0].reason.contains("iCloud does not have the video"), "{:?}", ran.report);
        assert_eq!(iphone.phone.explain(&live).await, Explanation::Waiting(Wait::Turn));
        assert_eq!(iphone.phone.check_explanations(&home).await, 11);
    }
    iphone.phone.hold_motions_back(false);
    iphone.open().await.report();
    let end = Day {
        vault: iphone.phone.contents(),
        sent: &[(Network::Unmetered, 36_000_000..=58_000_000)],
        // The still once more at most: where the film needed its room.
        fetched: &[(Network::Unmetered, 35_000_000..=56_000_000)],
        peak_cache: 20_000_000..=room,
        told: &[(12, Told::Safe)],
    };
    iphone.phone.day_ends(&home, end).await;
}

/// The quota is reached: it is told once, what is safe stays safe, nothing is read or sent again until there is room, and then the rest goes.
#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_reached() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.take(3, 100_000);
    phone.run(Trigger::Opened).await.report();
    home.set_quota(Some(3_000_000)).await;
    let photos = phone.take(200, 100_000);
    let film = phone.record(AssetKind::Video, 60_000_000);
    let ran = phone.run(Trigger::Opened).await.report();
    assert!(ran.report.storage_full.is_some() && !ran.is_complete);
    assert!(ran.report.bytes_sent < 12_000_000, "it stops soon: {}", ran.report.bytes_sent);
    let safe = phone.check_explanations(&home).await;
    assert!((20..100).contains(&safe), "{safe}");
    let waiting = 204 - safe;
    assert_eq!((ran.report.without_room, ran.report.failed.len()), (waiting as u64, 0), "{:?}", ran.report);
    let before = phone.sent_over(Network::Unmetered);
    for trigger in [Trigger::Periodic, Trigger::Opened, Trigger::Asked] {
        let again = phone.run(trigger).await.report();
        assert_eq!((again.report.bytes_hashed, again.report.bytes_sent), (0, 0), "{trigger:?}");
        assert!(again.held.iter().all(|(_, wait)| *wait == Wait::Storage), "{:?}", again.held);
        assert_eq!((again.held.len(), again.report.without_room, again.is_complete), (waiting, 0, false));
    }
    // What comes later is looked at once, since the vault may have it, and is not told of; what lies in the cloud is not even fetched.
    let new = phone.record(AssetKind::Photo, 100_000);
    let in_cloud = phone.record(AssetKind::Photo, 100_000);
    phone.lies(std::slice::from_ref(&in_cloud), Locality::Cloud);
    for bytes_hashed in [100_000, 0] {
        let again = phone.run(Trigger::LibraryChanged).await.report();
        assert_eq!((again.report.bytes_hashed, again.report.bytes_sent), (bytes_hashed, 0));
    }
    assert_eq!((phone.fetches().len(), phone.sent_over(Network::Unmetered)), (0, before));
    for asset in [&photos[100], &film, &new, &in_cloud] {
        assert_eq!(phone.explain(asset).await, Explanation::Waiting(Wait::Storage));
        phone.check_explanations(&home).await;
    }
    let [told] = phone.told_full().try_into().expect("it is told once");
    // Whether the film or a picture was the first that found none.
    assert!(told.starts_with("the vault "), "{told}");
    assert!(
        told.ends_with(": it may hold 3 MB; free some space in the vault, or ask its owner for more"),
        "{told}"
    );
    let explained = phone.explanations().await;
    let safe_ones = explained.iter().filter(|(_, told)| told.is_backed_up());
    let full = Day {
        vault: safe_ones.map(|(asset, _)| phone.content_of(&asset.id)).collect(),
        sent: &[(Network::Unmetered, before..=before)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(safe, Told::Safe), (waiting + 2, Told::Waits(Wait::Storage))],
    };
    phone.day_ends(&home, full).await;
    home.set_quota(None).await;
    phone.run(Trigger::Opened).await.report();
    let end = Day {
        vault: phone.contents(),
        // What the server refused in the first run is sent again.
        sent: &[(Network::Unmetered, 80_500_000..=81_500_000 + 12_000_000)],
        fetched: &[(Network::Unmetered, 100_000..=100_000)],
        peak_cache: 100_000..=100_000,
        told: &[(206, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// One film for which there is no room takes none from the pictures.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_leaves_it_to_the_others() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    home.set_quota(Some(4_000_000)).await;
    let film = phone.record(AssetKind::Video, 60_000_000);
    phone.take(10, 100_000);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, ran.report.without_room), (10, 1), "{:?}", ran.report);
    assert_eq!(phone.explain(&film).await, Explanation::Waiting(Wait::Storage));
    phone.check_explanations(&home).await;
    phone.take(10, 100_000);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, ran.report.bytes_hashed), (10, 1_000_000));
    assert_eq!(phone.told_full().len(), 1);
    assert_eq!(phone.check_explanations(&home).await, 20);
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
    assert!(matches!(told, Explanation::Blocked { until: Some(_), .. }), "{told}");
    // It is left alone for a while, which keeps no run from being through, and is tried when somebody asks for that.
    for (trigger, failures) in [(Trigger::Opened, 0), (Trigger::Asked, 1), (Trigger::Periodic, 0)] {
        let ran = phone.run(trigger).await.report();
        assert_eq!((ran.report.failed.len(), ran.is_complete), (failures, true), "{trigger:?}");
        assert_eq!(phone.check_explanations(&home).await, 9);
    }
    phone.wait(15 * MINUTE);
    assert_eq!(phone.run(Trigger::Periodic).await.report().report.failed.len(), 1);
    phone.wait(16 * MINUTE);
    assert_eq!(phone.run(Trigger::Periodic).await.report().report.failed.len(), 1);
    // It has been failing for half an hour: its next pause is as long.
    phone.wait(16 * MINUTE);
    assert_eq!(phone.run(Trigger::Periodic).await.report().report.failed.len(), 0);
    phone.edit(&photos[4], 11_000);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(phone.check_explanations(&home).await, 10);
}

/// The system says that memory is tight, and at times that it is not: pictures go one by one, a film goes on beside them, and nothing waits
/// for anything that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_tight() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.take(60, 20_000);
    phone.record(AssetKind::LivePhoto, 300_000);
    phone.set(|conditions| conditions.memory_is_tight = true);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, phone.most_at_once()), (61, 1), "{:?}", ran.report);
    phone.take(20, 20_000);
    phone.record(AssetKind::Video, 20_000_000);
    phone.take(20, 20_000);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, ran.is_complete), (41, true), "{:?}", ran.report);
    assert!(phone.most_at_once() <= 2, "{}", phone.most_at_once());
    // It changes while a run goes on.
    phone.take(60, 20_000);
    phone.after_bytes(300_000, |conditions| conditions.memory_is_tight = false);
    phone.after_bytes(900_000, |conditions| conditions.memory_is_tight = true);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, ran.is_complete), (60, true), "{:?}", ran.report);
    assert_eq!(phone.check_explanations(&home).await, 162);
}

/// The library is asked for everything once; then for what changed, while what waits is planned all the same. Everything is listed again when
/// it no longer knows what it told, and after a week, but not in thirty seconds.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_told_again() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let phone = &iphone.phone;
    phone.network(Network::Metered, 4_000_000);
    let photos = phone.take(20, 10_000);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(phone.told(), (1, 20), "nothing may be sent, and all is told");
    let new = phone.take(2, 10_000);
    phone.edit(&photos[3], 11_000);
    phone.delete(&photos[4..5]);
    phone.file_into("Camera", &photos[5..6]);
    phone.network(Network::Unmetered, 4_000_000);
    let ran = phone.run(Trigger::NetworkUnmetered).await.report();
    assert_eq!(
        (ran.report.uploaded, phone.told()),
        (21, (1, 23)),
        "what waited is sent, though it did not change"
    );
    assert!(phone.explain(&new[0]).await.is_backed_up());
    assert_eq!(phone.explanations().await.len(), 21, "what is gone is gone");
    let told = phone.told();
    let ran = phone.run(Trigger::Periodic).await.report();
    assert_eq!((ran.report.bytes_sent, phone.told()), (0, told));
    phone.forget_changes();
    phone.take(1, 10_000);
    phone.run(Trigger::Periodic).await.report();
    assert_eq!(phone.told(), (2, told.1 + 22));
    phone.wait(8 * DAY);
    iphone.push().await.unwrap().report();
    assert_eq!(phone.told().0, 2, "a push is too short to list everything");
    iphone.process().await.unwrap().report();
    assert_eq!(phone.told().0, 3);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(phone.told().0, 3);
    assert_eq!(phone.check_explanations(&home).await, 22);
    assert_eq!(home.contents().await, phone.contents());
}

/// The system moves originals to the cloud without a word, and back: none is fetched over mobile data because it was here once.
/// Shows M8.
#[tokio::test(flavor = "multi_thread")]
async fn an_original_goes_to_the_cloud_without_a_word() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.network(Network::Metered, 4_000_000);
    let photos = phone.take(3, 10_000);
    phone.run(Trigger::Opened).await.report();
    phone.lies(&photos[..2], Locality::Cloud);
    phone.allow(|permissions| permissions.photos_on_metered = true);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, phone.fetches().len()), (1, 0));
    let mut held = ran.held;
    held.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(held, [(photos[0].clone(), Wait::Fetch), (photos[1].clone(), Wait::Fetch)]);
    assert_eq!(phone.explain(&photos[0]).await, Explanation::Waiting(Wait::Fetch));
    phone.check_explanations(&home).await;
    phone.network(Network::Unmetered, 4_000_000);
    phone.lies(&photos[..1], Locality::Here);
    phone.run(Trigger::NetworkUnmetered).await.report();
    assert_eq!(phone.fetches().into_keys().collect::<Vec<_>>(), [photos[1].clone()]);
    assert_eq!(phone.check_explanations(&home).await, 3);
}

/// Wi-Fi is lost in the middle of a run: photos may go on over mobile data, but no further original is fetched from the cloud.
/// Shows M4, M8.
#[tokio::test(flavor = "multi_thread")]
async fn no_original_is_fetched_over_the_network_that_came_meanwhile() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.allow(|permissions| permissions.photos_on_metered = true);
    phone.take(60, 300_000);
    phone.offload();
    phone.after_bytes(1_000_000, |conditions| conditions.network = Network::Metered);
    let ran = phone.run(Trigger::Opened).await.report();
    let fetched = phone.fetches().len();
    assert!((3..60).contains(&fetched), "{fetched}");
    assert!(ran.held.iter().all(|(_, wait)| *wait == Wait::Fetch) && ran.held.len() == 60 - fetched);
    phone.network(Network::Unmetered, 4_000_000);
    phone.run(Trigger::NetworkUnmetered).await.report();
    assert_eq!(phone.check_explanations(&home).await, 60);
    assert!(phone.fetches().values().all(|times| *times == 1));
}

/// What the server has damaged comes from the phone again, also out of the cloud, and no other picture does.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_the_server_is_sent_again() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photos = phone.take(3, 10_000);
    phone.run(Trigger::Opened).await.report();
    let content = phone.content_of(&photos[1]);
    let file = |files: Vec<FileRow>| {
        let is_it = |row: &FileRow| row.content_hash.is_some_and(|hash| hash.to_string() == content);
        files.into_iter().find(is_it).unwrap().id
    };
    let damaged = file(home.files().await);
    flip(&home.server, damaged, Object::Original).await;
    let everything = FreeUpRule { taken_before: i64::MAX, favourites: true };
    // Whoever asks whether originals may go hears of it.
    let mut may_go = phone.may_be_freed(everything).await;
    may_go.sort();
    assert_eq!(may_go.len(), 2);
    assert!(!may_go.contains(&photos[1]));
    assert!(!phone.explain(&photos[1]).await.is_backed_up());
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.uploaded, ran.report.mended), (1, 1), "{:?}", ran.report);
    assert_eq!(file(home.files().await), damaged);
    home.verify(3).await;
    assert!(phone.explain(&photos[1]).await.is_backed_up());
    assert_eq!(phone.may_be_freed(everything).await.len(), 3);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!(ran.report.bytes_sent, 0);
}
