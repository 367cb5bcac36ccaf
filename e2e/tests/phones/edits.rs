//! Edits, Live Photos, deletions and duplicates.

use darkslide_client::backup::rules::conditions::{Network, Trigger};
use darkslide_client::backup::rules::explanation::{Explanation, Skip, Wait};
use darkslide_client::library::device::AssetKind;
use darkslide_client::versions::list_versions;
use darkslide_e2e::phone::day::{Day, Told};
use darkslide_e2e::phone::home::Home;
use darkslide_e2e::phone::iphone::IPhone;
use darkslide_e2e::phone::{DAY, HOUR, MINUTE, Phone};
use std::collections::BTreeSet;

/// Edits become new versions of the same file, small and large; what each was before can still be had.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn edits_become_versions_of_the_same_file() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photo = phone.record(AssetKind::Photo, 20_000);
    let video = phone.record(AssetKind::Video, 6_000_000);
    phone.run(Trigger::Opened).await.report();
    let before = home.files().await;
    for (asset, bytes) in [(&photo, 21_000), (&video, 5_500_000)] {
        phone.edit(asset, bytes);
    }
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!(ran.report.uploaded, 2, "{:?}", ran.report);
    let after = home.files().await;
    let ids = |rows: &[darkslide_client::catalog::FileRow]| {
        let mut ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&before), ids(&after), "they are the same files");
    let (session, catalog) = home.elsewhere();
    for row in &after {
        let versions = list_versions(session, catalog, row.id).await.unwrap();
        assert_eq!(versions.len(), 1, "{versions:?}");
    }
    let again = phone.run(Trigger::Opened).await.report();
    assert_eq!(again.report.bytes_sent, 0);
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Unmetered, 11_541_000..=11_600_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(2, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// What was edited while the vault was full is a version of the same file when there is room.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_found_no_room_is_a_version_later() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photo = phone.record(AssetKind::Photo, 20_000);
    phone.run(Trigger::Opened).await.report();
    let before = home.files().await;
    home.set_quota(Some(1)).await;
    for bytes in [21_000, 22_000] {
        phone.edit(&photo, bytes);
        assert_eq!(phone.run(Trigger::Opened).await.report().report.uploaded, 0);
    }
    home.set_quota(None).await;
    assert_eq!(phone.run(Trigger::Opened).await.report().report.uploaded, 1);
    let after = home.files().await;
    assert_eq!((after.len(), after[0].id), (1, before[0].id));
    assert_eq!(home.contents().await, phone.contents());
    phone.check_explanations(&home).await;
}

/// On iOS an adjustment leaves the original where it is: what is shown is a version of the same file, again for each adjustment, and when all are
/// taken back the original is. Deleted from the vault as it is shown, it stays deleted.
/// Shows E2, E9.
#[tokio::test(flavor = "multi_thread")]
async fn adjustments_are_versions_and_can_be_taken_back() {
    let home = Home::new().await;
    let mut iphone = IPhone::new(&home, "iphone").await;
    let photo = iphone.phone.record(AssetKind::Photo, 20_000);
    iphone.open().await.report();
    let taken_as = iphone.phone.contents();
    let [file] = home.files().await.try_into().unwrap();
    for (bytes, versions) in [(21_000, 1), (22_000, 2)] {
        iphone.adjust(&photo, bytes);
        let ran = iphone.open().await.report();
        assert_eq!(ran.report.uploaded, 1, "{:?}", ran.report);
        assert_eq!(home.contents().await, iphone.phone.contents());
        let (session, catalog) = home.elsewhere();
        assert_eq!(list_versions(session, catalog, file.id).await.unwrap().len(), versions);
    }
    iphone.revert(&photo);
    iphone.open().await.report();
    let [after] = home.files().await.try_into().unwrap();
    assert_eq!(after.id, file.id, "it is the same file all the time");
    let taken_back = Day {
        vault: taken_as,
        sent: &[(Network::Unmetered, 63_000..=90_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Safe)],
    };
    iphone.phone.day_ends(&home, taken_back).await;
    iphone.adjust(&photo, 23_000);
    iphone.open().await.report();
    home.trash(&home.files().await).await;
    iphone.open().await.report();
    let end = Day {
        vault: BTreeSet::new(),
        sent: &[(Network::Unmetered, 86_000..=115_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Deleted)],
    };
    iphone.phone.day_ends(&home, end).await;
}

/// The video of a Live Photo arrives two hours late: the still waits as long as the library promised, goes without it, and is completed.
/// Shows E8.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_photos_video_arrives_two_hours_late() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let live = phone.record_live(20_000, 10 * MINUTE);
    let until = phone.now() + 10 * MINUTE;
    phone.run(Trigger::Opened).await.report();
    assert_eq!(phone.explain(&live).await, Explanation::Waiting(Wait::Motion(until)));
    phone.check_explanations(&home).await;
    phone.wait(11 * MINUTE);
    phone.run(Trigger::Opened).await.report();
    let still = Day {
        vault: phone.contents(),
        sent: &[(Network::Unmetered, 20_000..=22_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(1, Told::Incomplete)],
    };
    phone.day_ends(&home, still).await;
    let [before] = home.files().await.try_into().unwrap();
    phone.wait(2 * HOUR);
    phone.deliver_motion(&live);
    phone.run(Trigger::Opened).await.report();
    let [after] = home.files().await.try_into().unwrap();
    assert_eq!(before.id, after.id, "one unit, one file");
    let end = Day {
        vault: phone.contents(),
        sent: &[(Network::Unmetered, 43_000..=48_000)],
        fetched: &[],
        // The video is exported to be read.
        peak_cache: 3000..=4000,
        told: &[(1, Told::Safe)],
    };
    phone.day_ends(&home, end).await;
}

/// A Live Photo goes as one unit, and deleting on the phone deletes nothing in the vault.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_on_the_phone_deletes_nothing_in_the_vault() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let live = phone.record(AssetKind::LivePhoto, 20_000);
    let photos = phone.take(3, 10_000);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(home.files().await.len(), 4);
    phone.delete(&photos);
    phone.delete(&[live]);
    phone.run(Trigger::Opened).await.report();
    assert_eq!(home.files().await.len(), 4);
}

/// Deleted in the vault and still on the phone: it is not sent again. Saved again on purpose, it comes back.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_the_vault_and_saved_again_on_purpose() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let photos = phone.take(2, 10_000);
    phone.run(Trigger::Opened).await.report();
    let files = home.files().await;
    home.trash(&files).await;
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!(ran.report.bytes_sent, 0);
    let sent = [(Network::Unmetered, 20_000..=24_000)];
    let deleted = Day {
        vault: BTreeSet::new(),
        sent: &sent,
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(2, Told::Deleted)],
    };
    phone.day_ends(&home, deleted).await;
    let again = phone.save_again(&photos[0]);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.untrashed, ran.report.bytes_sent), (1, 0), "{:?}", ran.report);
    assert!(phone.explain(&again).await.is_backed_up());
    let back = Day {
        vault: BTreeSet::from([phone.content_of(&again)]),
        sent: &sent,
        fetched: &[],
        peak_cache: 0..=0,
        // What it is a copy of is safe with it.
        told: &[(2, Told::Safe), (1, Told::Deleted)],
    };
    phone.day_ends(&home, back).await;
}

/// A picture that waits for Wi-Fi is deleted from the vault on another device: when Wi-Fi comes, it is not sent, since it was here before.
/// Saved again after that, it comes back.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_elsewhere_while_it_waited_for_wifi() {
    let home = Home::new().await;
    let (one, other) = (Phone::new(&home, "one").await, Phone::new(&home, "other").await);
    let photos = one.take(3, 20_000);
    one.run(Trigger::Opened).await.report();
    other.network(Network::Metered, 4_000_000);
    let [waiting, edited, forgotten] = [0, 1, 2].map(|at| other.receive(&one, &photos[at]));
    other.run(Trigger::LibraryChanged).await.report();
    // Two more looks, one at everything: what is known of an asset changes, and since when it is here does not.
    other.favour(&edited);
    other.run(Trigger::LibraryChanged).await.report();
    other.forget_changes();
    other.run(Trigger::LibraryChanged).await.report();
    home.trash(&home.files().await).await;
    other.network(Network::Unmetered, 4_000_000);
    let ran = other.run(Trigger::NetworkUnmetered).await.report();
    assert_eq!((ran.report.bytes_sent, ran.report.untrashed), (0, 0), "{:?}", ran.report);
    assert_eq!(home.contents().await.len(), 0);
    for asset in [&waiting, &edited, &forgotten] {
        assert!(matches!(other.explain(asset).await, Explanation::Skipped(Skip::Deleted(_))));
    }
    // On purpose: once more beside the first, and after that was gone from the phone.
    let again = other.save_again(&waiting);
    other.delete(std::slice::from_ref(&forgotten));
    other.run(Trigger::LibraryChanged).await.report();
    let back = other.receive(&one, &photos[2]);
    other.run(Trigger::LibraryChanged).await.report();
    for asset in [&again, &back] {
        assert!(other.explain(asset).await.is_backed_up());
    }
    assert_eq!(home.contents().await.len(), 2);
    other.check_explanations(&home).await;
}

/// What it was is edited on another device, and deleted there as that: it stays deleted, and waits for nothing. Once, it waited for its turn for ever.
/// Shows E9, E12.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_and_deleted_elsewhere_waits_for_nothing() {
    let home = Home::new().await;
    let (one, other) = (Phone::new(&home, "one").await, Phone::new(&home, "other").await);
    let photos = one.take(1, 20_000);
    let here = other.receive(&one, &photos[0]);
    for phone in [&one, &other] {
        phone.run(Trigger::Opened).await.report();
    }
    assert_eq!(home.files().await.len(), 1);
    one.edit(&photos[0], 21_000);
    one.run(Trigger::LibraryChanged).await.report();
    home.trash(&home.files().await).await;
    for _ in 0..2 {
        let ran = other.run(Trigger::LibraryChanged).await.report();
        assert_eq!((ran.report.bytes_sent, ran.report.untrashed), (0, 0), "{:?}", ran.report);
        let told = other.explain(&here).await;
        assert!(matches!(told, Explanation::Skipped(Skip::Deleted(_))), "{told}");
        other.check_explanations(&home).await;
    }
}

/// Two pictures were sent and deleted from the vault, and stay so.
fn two_deleted() -> Day<'static> {
    Day {
        vault: BTreeSet::new(),
        sent: &[(Network::Unmetered, 20_000..=24_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(2, Told::Deleted)],
    }
}

/// The phone's clock is ten minutes ahead: what arrives and is deleted within them stays deleted, and what is brought back comes back.
/// Once, it counted as seen after its deletion, and the next run took it out of the trash.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_ten_minutes_ahead() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.wait(home.now() - phone.now() + 10 * MINUTE);
    let photos = phone.take(2, 10_000);
    phone.run(Trigger::Opened).await.report();
    let files = home.files().await;
    assert_eq!(files.len(), 2);
    home.trash(&files).await;
    phone.wait(MINUTE);
    let ran = phone.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.bytes_sent, ran.report.untrashed), (0, 0), "{:?}", ran.report);
    phone.day_ends(&home, two_deleted()).await;
    let again = phone.save_again(&photos[0]);
    phone.run(Trigger::LibraryChanged).await.report();
    assert!(phone.explain(&again).await.is_backed_up());
    assert_eq!(home.contents().await, [phone.content_of(&again)].into());
}

/// The phone's clock is set back a year: what was deleted stays deleted, what is brought back comes back, nothing waits for a year.
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_set_back_a_year() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    phone.allow(|permissions| permissions.delay_after_capture = 5);
    let photos = phone.take(2, 10_000);
    phone.wait(MINUTE);
    phone.run(Trigger::Opened).await.report();
    let files = home.files().await;
    assert_eq!(files.len(), 2);
    home.trash(&files).await;
    phone.wait(-365 * 24 * HOUR);
    phone.run(Trigger::Opened).await.report();
    phone.day_ends(&home, two_deleted()).await;
    let new = phone.take(1, 10_000).remove(0);
    let again = phone.save_again(&photos[0]);
    phone.wait(MINUTE);
    phone.run(Trigger::Opened).await.report();
    assert!(phone.explain(&new).await.is_backed_up());
    assert!(phone.explain(&again).await.is_backed_up());
    let end = Day {
        vault: BTreeSet::from([phone.content_of(&new), phone.content_of(&again)]),
        sent: &[(Network::Unmetered, 30_000..=36_000)],
        fetched: &[],
        peak_cache: 0..=0,
        told: &[(3, Told::Safe), (1, Told::Deleted)],
    };
    phone.day_ends(&home, end).await;
}

/// Two phones of one account with the same pictures: each content is stored once, and both say that it is safe.
/// Shows M3, E10.
#[tokio::test(flavor = "multi_thread")]
async fn two_phones_of_one_account_with_the_same_pictures() {
    let home = Home::new().await;
    let (one, other) = (Phone::new(&home, "one").await, Phone::new(&home, "other").await);
    let photos = one.take(20, 20_000);
    for photo in &photos {
        other.receive(&one, photo);
    }
    // Both at once.
    let (first, second) = tokio::join!(one.run(Trigger::Opened), other.run(Trigger::Opened));
    let (first, second) = (first.report(), second.report());
    assert_eq!(first.report.failed.len() + second.report.failed.len(), 0);
    assert!(one.sent_over(Network::Unmetered) + other.sent_over(Network::Unmetered) >= 400_000);
    for phone in [&one, &other] {
        let end = Day {
            vault: one.contents(),
            // Whichever was first with each: at worst both send all of it at the same moment.
            sent: &[(Network::Unmetered, 0..=20 * 21_000)],
            fetched: &[],
            peak_cache: 0..=0,
            told: &[(20, Told::Safe)],
        };
        phone.day_ends(&home, end).await;
    }
    // One after the other: nothing is sent.
    let photo = one.take(1, 500_000).remove(0);
    one.run(Trigger::Opened).await.report();
    other.receive(&one, &photo);
    let before = other.sent_over(Network::Unmetered);
    let ran = other.run(Trigger::Opened).await.report();
    assert_eq!((ran.report.linked, ran.report.bytes_sent), (1, 0));
    for (phone, sent) in [(&one, 500_000..=920_000 + 2_000), (&other, before..=before)] {
        let end = Day {
            vault: one.contents(),
            sent: &[(Network::Unmetered, sent)],
            fetched: &[],
            peak_cache: 0..=0,
            told: &[(21, Told::Safe)],
        };
        phone.day_ends(&home, end).await;
    }
}

/// An edited Live Photo whose video is not there is a picture of its own: what is whole in the vault stays whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_photo_never_loses_its_video_to_an_edit() {
    let home = Home::new().await;
    let phone = Phone::new(&home, "phone").await;
    let live = phone.record(AssetKind::LivePhoto, 20_000);
    phone.run(Trigger::Opened).await.report();
    let whole = home.contents().await;
    phone.edit(&live, 21_000);
    phone.lose_motion(&live);
    phone.run(Trigger::Opened).await.report();
    let after = home.contents().await;
    assert!(after.is_superset(&whole) && after.len() == 2, "{after:?}");
    phone.check_explanations(&home).await;
}

/// Two phones with the same picture: what one of them edits, the other still has as it was, and that stays in the vault too.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_on_one_phone_takes_nothing_from_the_other() {
    let home = Home::new().await;
    let (one, other) = (Phone::new(&home, "one").await, Phone::new(&home, "other").await);
    let photo = one.take(1, 20_000).remove(0);
    let same = other.receive(&one, &photo);
    one.run(Trigger::Opened).await.report();
    other.run(Trigger::Opened).await.report();
    assert_eq!(
        home.files().await.iter().map(|row| row.id).collect::<std::collections::BTreeSet<_>>().len(),
        1
    );
    one.edit(&photo, 21_000);
    one.run(Trigger::Opened).await.report();
    other.run(Trigger::Opened).await.report();
    let expected: std::collections::BTreeSet<_> = one.contents().union(&other.contents()).cloned().collect();
    assert_eq!(home.contents().await, expected);
    assert!(other.explain(&same).await.is_backed_up() && one.explain(&photo).await.is_backed_up());
    let again = other.run(Trigger::Opened).await.report();
    assert_eq!(again.report.bytes_sent, 0);
}

/// Two phones have the same picture and edit it, each without having heard of the other: neither edit displaces the other.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn two_phones_edit_one_picture_at_once() {
    let home = Home::new().await;
    let one = Phone::new(&home, "one").await;
    let other = IPhone::new(&home, "other").await;
    for (kind, bytes) in [(AssetKind::Photo, 20_000), (AssetKind::Video, 6_000_000)] {
        let first = one.record(kind, bytes);
        one.run(Trigger::Opened).await.report();
        let second = other.phone.receive(&one, &first);
        other.phone.run(Trigger::Opened).await.report();
        let before = home.files().await.len();
        one.edit(&first, bytes + 1);
        one.run(Trigger::Opened).await.report();
        assert_eq!(home.files().await.len(), before, "it is a version of the same file");
        other.phone.edit(&second, bytes + 2);
        // Thirty seconds: what others did is asked for behind what is sent.
        let ran = other.push().await.unwrap().report();
        assert_eq!(ran.report.failed, [], "{:?}", ran.report);
        assert_eq!(home.files().await.len(), before + 1, "a picture of its own");
        for (phone, asset) in [(&one, &first), (&other.phone, &second)] {
            assert!(phone.explain(asset).await.is_backed_up());
        }
    }
    assert_eq!((one.check_explanations(&home).await, other.phone.check_explanations(&home).await), (2, 2));
    home.verify(4).await;
    for phone in [&one, &other.phone] {
        assert_eq!(phone.run(Trigger::Opened).await.report().report.bytes_sent, 0);
    }
}

/// Before each push its owner edits it once more, and takes what the push is long enough for: it has waited since its first edit, and has its turn.
/// Shows E2, E6.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_is_edited_before_each_run_has_its_turn() {
    let home = Home::new().await;
    let iphone = IPhone::new(&home, "iphone").await;
    let phone = &iphone.phone;
    let photo = phone.record(AssetKind::Photo, 1_200_000);
    phone.run(Trigger::Opened).await.report();
    let before = home.files().await.remove(0);
    phone.wait(DAY);
    phone.run(Trigger::Opened).await.report();
    // Nine seconds a picture.
    phone.network(Network::Unmetered, 130_000);
    let mut pushes = 0;
    let version =
        async || home.files().await.into_iter().find(|row| row.id == before.id).unwrap().content_hash;
    while version().await == before.content_hash {
        phone.edit(&photo, 1_200_001 + pushes);
        phone.take(3, 1_200_000);
        iphone.push().await.unwrap().report();
        phone.check_explanations(&home).await;
        phone.wait(HOUR);
        pushes += 1;
        assert!(pushes < 24, "it waits behind what is new");
    }
}
