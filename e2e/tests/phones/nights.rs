//! Evenings and nights: grants, chargers, pushes, and systems that end the app's time.

use darkslide_client::backup::rules::conditions::{App, Network, Trigger};
use darkslide_client::backup::rules::explanation::{Explanation, Wait};
use darkslide_client::library::device::AssetKind;
use darkslide_e2e::phone::android::Android;
use darkslide_e2e::phone::day::{Day, Told};
use darkslide_e2e::phone::home::Home;
use darkslide_e2e::phone::iphone::IPhone;
use darkslide_e2e::phone::{DAY, HOUR, MINUTE, Phone, Ran, SECOND};
use std::collections::BTreeSet;

/// The first backup of 5,000 pictures over three evenings of ten minutes of Wi-Fi each; new pictures are always safe first.
/// Shows M1, M7.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_over_three_evenings() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.take(5000, 2000);
    // So slow that a worker's ten minutes carry a good third of it.
    phone.network(Network::Unmetered, 9_000);
    let mut safe = 0;
    for evening in 0..3 {
        let new = phone.take(3, 2000);
        let ran = android.periodic().await.unwrap().report();
        let now_safe = phone.check_explanations(&home).await;
        assert!(now_safe > safe, "evening {evening}: {now_safe} after {safe}");
        safe = now_safe;
        for id in &new {
            assert!(phone.explain(id).await.is_backed_up(), "new pictures go first");
        }
        if evening < 2 {
            assert!(ran.held.iter().any(|(_, wait)| *wait == Wait::Grant), "{:?}", ran.report);
            assert!(safe < 5000);
        }
        phone.wait(DAY);
    }
    assert_eq!(safe, 5009);
    let end = Day {
        vault: phone.contents(),
        // Nothing is sent twice.
        sent: &[(Network::Unmetered, 5009 * 2000..=5009 * 4000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(5009, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// iOS gives pushes of thirty seconds and nothing else: photos first, a long video in parts; after a force-kill the app says so.
/// Shows M7, E6.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_second_pushes_and_a_force_kill() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let video = iphone.phone.record(AssetKind::Video, 70_000_000);
    let photos = iphone.phone.take(10, 50_000);
    iphone.phone.network(Network::Unmetered, 1_000_000);
    let began = iphone.phone.now();
    let ran = iphone.push().await.unwrap().report();
    assert_eq!(ran.held, [(video.clone(), Wait::Grant)], "the next push goes on");
    let took = iphone.phone.now() - began;
    assert!((20 * SECOND..=30 * SECOND).contains(&took), "the grant is used, and not for longer: {took}");
    iphone.phone.wait(10 * SECOND);
    let photos: BTreeSet<String> = photos.iter().map(|photo| iphone.phone.content_of(photo)).collect();
    let end = Day {
        // Photos go before videos in the background.
        vault: photos,
        sent: &[(Network::Unmetered, 20_000_000..=30_000_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(10, Told::Safe), (1, Told::Waits(Wait::Grant))],
    };
    iphone.phone.day_ends(&home, end).await;
    iphone.force_kill();
    assert!(iphone.push().await.is_none() && iphone.refresh().await.is_none());
    assert_eq!(iphone.phone.explain(&video).await, Explanation::Waiting(Wait::AppOpened));
    iphone.phone.check_explanations(&home).await;
    iphone.open().await.report();
    let end = Day {
        vault: iphone.phone.contents(),
        // It went on from the last part that was acknowledged, and nothing was cut off.
        sent: &[(Network::Unmetered, 70_500_000..=71_000_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(11, Told::Safe)],
    };
    iphone.phone.day_ends(&home, end).await;
}

/// The system takes a push back halfway, without a word: nothing of what was acknowledged is lost, and the next push goes on from there.
/// Shows M7, E4.
#[tokio::test(flavor = "multi_thread")]
async fn the_system_ends_a_grant_without_a_word() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let phone = &iphone.phone;
    phone.record(AssetKind::Video, 40_000_000);
    phone.network(Network::Unmetered, 1_000_000);
    phone.taken_back_after(15 * SECOND);
    let ran = iphone.push().await.unwrap();
    assert!(matches!(ran, Ran::Killed), "{ran:?}");
    assert_eq!(home.contents().await.len(), 0);
    phone.check_explanations(&home).await;
    let ran = iphone.push().await.unwrap().report();
    assert_eq!(ran.report.uploaded, 1, "{:?}", ran.report);
    let end = Day {
        vault: phone.contents(),
        // The part that was cut off is sent twice, and nothing else. What is killed may begin one more before it knows.
        sent: &[(Network::Unmetered, 40_000_000..=40_100_000 + 2 * 4_200_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// On a line of which nothing is known and that is too slow for a usual part, a push begins with little, sends what goes in the rest of it, and
/// ends by itself.
/// Shows M7.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_line_does_not_carry_within_the_grant_is_not_begun() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let video = iphone.phone.record(AssetKind::Video, 20_000_000);
    // Forty seconds a part.
    iphone.phone.network(Network::Unmetered, 100_000);
    for _ in 0..2 {
        let ran = iphone.push().await.unwrap().report();
        assert_eq!(ran.held, [(video.clone(), Wait::Grant)]);
        iphone.phone.wait(HOUR);
    }
    let sent = iphone.phone.sent_over(Network::Unmetered);
    assert!((5_000_000..6_000_000).contains(&sent), "{sent} bytes of the 6,000,000 that two pushes carry");
    iphone.phone.check_explanations(&home).await;
    // Five minutes are enough for all.
    iphone.process().await.unwrap().report();
    let end = Day {
        vault: iphone.phone.contents(),
        sent: &[(Network::Unmetered, 20_000_000..=20_100_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Safe)],
    };
    iphone.phone.day_ends(&home, end).await;
    assert!(iphone.process().await.unwrap().report().is_complete);
}

/// A push is spent on sending first: what others did is asked for behind that. Where there is time, it is asked for first.
/// Shows M7, E6.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_spent_on_sending_first() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let other = Phone::new(&home, "other").await;
    // The album is there: whoever makes one looks first whether another device did.
    iphone.phone.take(1, 10_000);
    iphone.open().await.report();
    for is_push in [true, false] {
        let elsewhere = other.take(1, 10_000).remove(0);
        other.run(Trigger::Opened).await.report();
        iphone.phone.take(40, 50_000);
        iphone.phone.network(Network::Unmetered, 1_000_000);
        let before = iphone.phone.sent_over(Network::Unmetered);
        iphone.phone.kill_after(500_000);
        let ran = if is_push { iphone.push().await.unwrap() } else { iphone.open().await };
        assert!(matches!(ran, Ran::Killed), "{ran:?}");
        assert!(iphone.phone.sent_over(Network::Unmetered) >= before + 500_000);
        let content = other.content_of(&elsewhere);
        assert_eq!(iphone.phone.knows_of().await.contains(&content), !is_push);
        iphone.phone.wait(HOUR);
        // There is time for it behind all that is sent.
        iphone.push().await.unwrap().report();
        assert!(iphone.phone.knows_of().await.contains(&content));
    }
    assert_eq!(iphone.phone.check_explanations(&home).await, 81);
}

/// When a grant is nearly over no video begins; it goes on the next time.
/// Shows M7, E6.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_nearly_over_begins_no_video() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let video = iphone.phone.record(AssetKind::Video, 8_000_000);
    let photos = iphone.phone.take(12, 20_000);
    // Ten kilobytes a second: the photos take most of the grant.
    iphone.phone.network(Network::Unmetered, 10_000);
    let ran = iphone.push().await.unwrap().report();
    assert_eq!(ran.held, [(video, Wait::Grant)]);
    iphone.phone.wait(10 * SECOND);
    let end = Day {
        vault: photos.iter().map(|photo| iphone.phone.content_of(photo)).collect(),
        // Not a byte of the video.
        sent: &[(Network::Unmetered, 240_000..=280_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(12, Told::Safe), (1, Told::Waits(Wait::Grant))],
    };
    iphone.phone.day_ends(&home, end).await;
}

/// Only while charging: in the background nothing goes on battery, in the foreground it does.
/// Shows M6.
#[tokio::test(flavor = "multi_thread")]
async fn only_while_charging() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.allow(|permissions| permissions.only_while_charging = true);
    phone.set(|conditions| conditions.charging = false);
    let photo = phone.take(1, 10_000).remove(0);
    android.periodic().await.unwrap().report();
    assert_eq!(phone.explain(&photo).await, Explanation::Waiting(Wait::Charger));
    phone.check_explanations(&home).await;
    phone.set(|conditions| conditions.charging = true);
    android.periodic().await.unwrap().report();
    assert!(phone.explain(&photo).await.is_backed_up());
    phone.set(|conditions| conditions.charging = false);
    let other = phone.take(1, 10_000).remove(0);
    android.open().await.report();
    assert!(phone.explain(&other).await.is_backed_up());
    phone.check_explanations(&home).await;
}

/// While power is saved only what the owner asks for is done, and iOS grants nothing.
#[tokio::test(flavor = "multi_thread")]
async fn power_is_saved() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let photo = iphone.phone.take(1, 10_000).remove(0);
    iphone.phone.set(|conditions| conditions.power_saver = true);
    assert!(iphone.push().await.is_none() && iphone.process().await.is_none());
    assert_eq!(iphone.phone.explain(&photo).await, Explanation::Waiting(Wait::Power));
    iphone.phone.check_explanations(&home).await;
    iphone.phone.run(Trigger::Asked).await.report();
    assert!(iphone.phone.explain(&photo).await.is_backed_up());
}

/// Battery optimisation and a locked private space are told, not suffered in silence.
/// Shows M6, E7.
#[tokio::test(flavor = "multi_thread")]
async fn battery_optimisation_and_a_locked_private_space() {
    let home = Home::new().await;
    let mut android = Android::new(&home, "android").await;
    let photo = android.phone.take(1, 10_000).remove(0);
    android.is_exempt = false;
    assert!(android.periodic().await.is_none());
    assert_eq!(android.phone.explain(&photo).await, Explanation::Waiting(Wait::BatteryExemption));
    android.phone.check_explanations(&home).await;
    android.is_exempt = true;
    android.private_space_locked = true;
    assert!(android.periodic().await.is_none());
    assert_eq!(android.phone.explain(&photo).await, Explanation::Waiting(Wait::PrivateSpace));
    let locked = Day {
        vault: BTreeSet::new(),
        sent: &[],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Waits(Wait::PrivateSpace))],
    };
    android.phone.day_ends(&home, locked).await;
    android.private_space_locked = false;
    android.dozes = true;
    assert!(android.library_changed().await.is_none(), "Doze holds content triggers back");
    // A maintenance window is enough.
    android.periodic().await.unwrap().report();
    let end = Day {
        vault: android.phone.contents(),
        sent: &[(Network::Unmetered, 10_000..=12_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Safe)],
    };
    android.phone.day_ends(&home, end).await;
}

/// A delay after capture: what was just taken waits, and goes when its time has come.
/// Shows M6.
#[tokio::test(flavor = "multi_thread")]
async fn a_delay_after_capture() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.allow(|permissions| permissions.delay_after_capture = 3600);
    let photo = phone.take(1, 10_000).remove(0);
    let due = phone.now() + HOUR;
    android.library_changed().await.unwrap().report();
    assert_eq!(phone.explain(&photo).await, Explanation::Waiting(Wait::Delay(due)));
    phone.check_explanations(&home).await;
    phone.wait(HOUR - 16 * MINUTE);
    android.periodic().await.unwrap().report();
    assert!(!phone.explain(&photo).await.is_backed_up());
    android.periodic().await.unwrap().report();
    assert!(phone.explain(&photo).await.is_backed_up());
}

/// Two triggers at once are one run: the second finds the engine taken.
/// Shows M1.
#[tokio::test(flavor = "multi_thread")]
async fn two_triggers_at_once_are_one_run() {
    let home = Home::new().await;
    let android = Android::new(&home, "android").await;
    let phone = &android.phone;
    phone.take(30, 20_000);
    let (one, other) = tokio::join!(phone.run(Trigger::Opened), phone.run(Trigger::LibraryChanged));
    let through = [one, other].into_iter().filter(|ran| matches!(ran, Ran::Through(_))).count();
    assert_eq!(through, 1);
    assert_eq!(home.files().await.len(), 30);
    phone.wait(SECOND);
    let again = phone.run(Trigger::Opened).await.report();
    assert_eq!(again.report.bytes_sent, 0);
}

/// The screen is locked in the middle of the first backup: it goes on in what the system grants. If its owner wishes so, the screen stays on for
/// the first backup, as long as there is power for it, and for no other.
/// Shows E6.
#[tokio::test(flavor = "multi_thread")]
async fn the_screen_stays_on_during_the_first_backup() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    iphone.auto_lock = Some(MINUTE);
    // Five minutes' worth.
    iphone.phone.network(Network::Unmetered, 100_000);
    iphone.phone.take(300, 100_000);
    let mut safe = 0;
    for (keep_awake, battery, charging, stays_on) in
        [(false, 80, false, false), (true, 10, false, false), (true, 10, true, true)]
    {
        iphone.phone.allow(|permissions| permissions.keep_awake = keep_awake);
        iphone.phone.set(|conditions| {
            conditions.battery_level = Some(battery);
            conditions.charging = charging;
        });
        let ran = iphone.open().await.report();
        assert_eq!(ran.is_complete, stays_on, "{keep_awake} {battery} {charging}");
        assert!(stays_on || ran.held.iter().all(|(_, wait)| *wait == Wait::Grant), "{:?}", ran.held);
        let now_safe = iphone.phone.check_explanations(&home).await;
        // Sixty at most, less what a slow machine takes to look.
        assert!(now_safe > safe + 15, "{now_safe} after {safe}");
        safe = now_safe;
    }
    assert_eq!(safe, 300);
    iphone.phone.take(150, 100_000);
    let ran = iphone.open().await.report();
    assert!(!ran.is_complete, "it is not the first backup any more");
    iphone.process().await.unwrap().report();
    assert_eq!(iphone.phone.check_explanations(&home).await, 450);
}

/// A picture that cannot be read and a video that waits for another network keep no backup from being through: the first is behind, and the
/// screen goes off again.
/// Shows E6.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_through_whatever_cannot_be_read() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    iphone.auto_lock = Some(MINUTE);
    iphone.phone.allow(|permissions| {
        permissions.keep_awake = true;
        permissions.photos_on_metered = true;
    });
    iphone.phone.network(Network::Metered, 100_000);
    let photos = iphone.phone.take(5, 100_000);
    iphone.phone.record(AssetKind::Video, 100_000);
    iphone.phone.spoil(&photos[2]);
    let ran = iphone.open().await.report();
    assert_eq!((ran.report.uploaded, ran.report.failed.len(), ran.is_complete), (4, 1, true), "{ran:?}");
    iphone.phone.take(150, 100_000);
    let ran = iphone.open().await.report();
    assert!(!ran.is_complete, "it is not the first backup any more");
    assert!(ran.held.iter().any(|(_, wait)| *wait == Wait::Grant), "{:?}", ran.held);
}

/// Pushes that are long enough for three pictures, and three new ones before each: an old picture and an old video have their turns all the
/// same, and so has a film that is longer than any push.
/// Shows E6, M7.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_ever_behind_what_is_new() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let phone = &iphone.phone;
    let old = [phone.record(AssetKind::Photo, 1_200_000), phone.record(AssetKind::Video, 1_200_000)];
    phone.wait(2 * DAY);
    // Nine seconds a picture.
    phone.network(Network::Unmetered, 130_000);
    let (mut new, mut pushes) = (0, 0);
    // What goes together overtakes by a place or two.
    while !(phone.explain(&old[0]).await.is_backed_up() && phone.explain(&old[1]).await.is_backed_up()) {
        phone.take(3, 1_200_000);
        let ran = iphone.push().await.unwrap().report();
        assert!((1..4).contains(&ran.report.uploaded), "{:?}", ran.report);
        (new, pushes) = (new + ran.report.uploaded, pushes + 1);
        assert!(pushes < 24, "{new} went by");
        phone.check_explanations(&home).await;
        phone.wait(HOUR);
    }
    assert!(new >= 3, "most turns go to what is new: {new}");
    let film = phone.record(AssetKind::Video, 21_000_000);
    phone.wait(2 * DAY);
    phone.network(Network::Unmetered, 1_000_000);
    pushes = 0;
    while !phone.explain(&film).await.is_backed_up() {
        phone.take(3, 4_000_000);
        iphone.push().await.unwrap().report();
        phone.wait(HOUR);
        pushes += 1;
        assert!(pushes < 24);
    }
}

/// The app stays alive: the library, the network, the charger and whoever tells it are reasons to run, and several at once are one run.
/// Shows M1.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_allows_more_is_a_reason_to_run() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.allow(|permissions| permissions.only_while_charging = true);
    phone.take(2, 10_000);
    let (tell, mut ended, following) = phone.follow();
    let mut uploaded_next = async || ended.recv().await.unwrap().report().report.uploaded;
    assert_eq!(uploaded_next().await, 2, "the library has something");
    phone.take(3, 10_000);
    phone.tell_changes();
    assert_eq!(uploaded_next().await, 3, "the library changed");
    // What comes together is one run.
    for trigger in [Trigger::Periodic, Trigger::Pushed, Trigger::Opened] {
        tell.try_send(trigger).unwrap();
    }
    assert_eq!(uploaded_next().await, 0);
    phone.network(Network::Metered, 4_000_000);
    phone.take(1, 10_000);
    phone.tell_changes();
    assert_eq!(uploaded_next().await, 0, "not over mobile data");
    phone.network(Network::Unmetered, 4_000_000);
    assert_eq!(uploaded_next().await, 1, "Wi-Fi came");
    phone.set(|conditions| {
        conditions.app = App::Background;
        conditions.charging = false;
    });
    phone.take(1, 10_000);
    phone.tell_changes();
    assert_eq!(uploaded_next().await, 0, "not on battery");
    phone.set(|conditions| conditions.charging = true);
    assert_eq!(uploaded_next().await, 1, "the charger was plugged in");
    phone.set(|conditions| conditions.app = App::Foreground);
    assert_eq!(uploaded_next().await, 0, "it was opened");
    drop(tell);
    following.await.unwrap();
    assert!(ended.recv().await.is_none(), "no run that nobody had a reason for");
    assert_eq!(phone.check_explanations(&home).await, 7);
}
