//! Each rule as a table, and all of them as properties over random libraries, choices, histories and moments. It is long because what the
//! tables and the properties are made of is the same.

use super::*;
use crate::library::device::Locality;
use AssetKind::{LivePhoto, Photo, Video};
use conditions::cache_bound;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn album(name: &str) -> DeviceAlbumKey {
    DeviceAlbumKey { root: b"phone".to_vec(), folder: name.as_bytes().to_vec() }
}

fn print(seed: u64) -> Fingerprint {
    Fingerprint { size: 1000 + seed, modified_ns: 7, inode: 1 }
}

fn asset(id: &str) -> DeviceAsset {
    DeviceAsset {
        id: AssetId::new(id),
        name: format!("{id}.jpg"),
        kind: AssetKind::Photo,
        fingerprint: print(1),
        taken: NOW - DAY,
        albums: BTreeSet::from([album("Camera")]),
        favourite: false,
        locality: Locality::Here,
        motion: Motion::None,
    }
}

fn known() -> Known {
    Known {
        fingerprint: print(1),
        content: Some(ContentHash::of(b"content")),
        file: Some(FileId(7)),
        state: AssetState::BackedUp,
        reason: None,
        receipt: None,
        is_whole: true,
        first_seen: NOW - 10 * DAY,
        last_seen: NOW - 5 * DAY,
        deleted: None,
        failing: None,
    }
}

/// At home, with the camera's album selected, one excluded and one of which nothing was said.
fn world() -> World {
    let chosen = |name: &str, choice| (album(name), ChosenAlbum { name: name.to_owned(), choice });
    World {
        albums: [
            chosen("Camera", AlbumChoice::Selected),
            chosen("Ski", AlbumChoice::Selected),
            chosen("Secret", AlbumChoice::Excluded),
        ]
        .into(),
        known: HashMap::new(),
        waiting: HashMap::new(),
        displaced: BTreeSet::new(),
        deleted_contents: HashMap::new(),
        placed: HashMap::new(),
        mirror: false,
        permissions: Permissions::default(),
        conditions: Conditions::HOME,
        trigger: Trigger::Periodic,
        resumable: true,
        is_server_away: false,
        cache_room: 2 << 30,
        last_completed: NOW - 2 * DAY,
        rate: None,
        turns: 0,
        now: NOW,
    }
}

fn with_known(known: Known) -> World {
    World { known: HashMap::from([(AssetId::new("a"), known)]), ..world() }
}

fn check(asset: &DeviceAsset, world: &World, expected: &Verdict) {
    assert_eq!(judge(asset, world), *expected, "{asset:?} {world:?}");
}

fn waits(wait: Wait) -> Verdict {
    Verdict::Rest(Explanation::Waiting(wait))
}

fn skips(skip: Skip) -> Verdict {
    Verdict::Rest(Explanation::Skipped(skip))
}

fn works(work: Work) -> Verdict {
    Verdict::Do(work)
}

/// Shows M2.
#[test]
fn candidates_are_in_a_selected_album_and_in_no_excluded_one() {
    let secret = || skips(Skip::Excluded("Secret".into()));
    for (albums, expected) in [
        (vec!["Camera"], works(Work::New)),
        (vec!["Camera", "Other"], works(Work::New)),
        (vec!["Camera", "Secret"], secret()),
        (vec!["Secret"], secret()),
        (vec!["Other"], skips(Skip::NotSelected)),
        (vec![], skips(Skip::NotSelected)),
    ] {
        let asset = DeviceAsset { albums: albums.into_iter().map(album).collect(), ..asset("a") };
        check(&asset, &world(), &expected);
    }
    // An album that is empty for a while keeps its choice: nothing but the owner takes it away.
    let mut emptied = world();
    emptied.albums.remove(&album("Camera"));
    check(&asset("a"), &emptied, &skips(Skip::NotSelected));
}

#[test]
fn what_the_catalog_knows() {
    let content = ContentHash::of(b"content");
    let safe = Explanation::BackedUp { file: FileId(7), at: NOW - 5 * DAY, receipt: None, is_whole: true };
    let other = print(2);
    for (known, expected) in [
        (known(), Verdict::Rest(safe)),
        (Known { fingerprint: other, ..known() }, works(Work::Changed)),
        (Known { state: AssetState::Blocked, ..known() }, works(Work::Retry)),
        (Known { state: AssetState::Skipped, file: None, ..known() }, works(Work::Recheck(content))),
        (Known { file: None, ..known() }, works(Work::Recheck(content))),
        (
            Known { state: AssetState::NotMedia, reason: Some("it is text".into()), ..known() },
            skips(Skip::NotMedia("it is text".into())),
        ),
        (Known { state: AssetState::NotMedia, fingerprint: other, ..known() }, works(Work::Changed)),
    ] {
        check(&asset("a"), &with_known(known), &expected);
    }
}

#[test]
fn what_was_deleted_from_the_vault_is_not_sent_again_unless_it_was_brought_back() {
    let at = NOW - 3 * DAY;
    let deleted = |known: Known| World {
        displaced: BTreeSet::from([FileId(7)]),
        deleted_contents: HashMap::from([(ContentHash::of(b"content"), at)]),
        ..with_known(known)
    };
    let content = ContentHash::of(b"content");
    for (known, expected) in [
        (known(), skips(Skip::Deleted(at))),
        (Known { first_seen: at, ..known() }, skips(Skip::Deleted(at))),
        (Known { state: AssetState::Skipped, file: None, ..known() }, skips(Skip::Deleted(at))),
        (Known { first_seen: at + 1, ..known() }, works(Work::Recheck(content))),
        (Known { fingerprint: print(2), ..known() }, works(Work::Changed)),
    ] {
        check(&asset("a"), &deleted(known), &expected);
    }
    // What was deleted is the file that it was, or a half of it; once, that waited for its turn for ever.
    for (state, first_seen, expected) in [
        (AssetState::Skipped, at - 1, skips(Skip::Deleted(at))),
        (AssetState::Skipped, at + 1, skips(Skip::Deleted(at))),
        (AssetState::BackedUp, at - 1, works(Work::Recheck(content))),
    ] {
        let known = Known { state, first_seen, file: Some(FileId(7)), deleted: Some(at), ..known() };
        let world = World { deleted_contents: HashMap::new(), ..deleted(known) };
        check(&asset("a"), &world, &expected);
    }
    // Another file of the vault has the same content.
    let elsewhere = World { deleted_contents: HashMap::new(), ..deleted(known()) };
    check(&asset("a"), &elsewhere, &works(Work::Recheck(content)));
}

#[test]
fn a_live_photo_waits_for_its_video_goes_without_it_and_is_completed() {
    let live = |motion| DeviceAsset { kind: AssetKind::LivePhoto, motion, ..asset("a") };
    let later = NOW + 60 * SECOND;
    check(&live(Motion::Here), &world(), &works(Work::New));
    check(&live(Motion::Promised { until: later }), &world(), &waits(Wait::Motion(later)));
    check(&live(Motion::Promised { until: NOW }), &world(), &works(Work::New));
    let half = with_known(Known { is_whole: false, ..known() });
    let safe = Explanation::BackedUp { file: FileId(7), at: NOW - 5 * DAY, receipt: None, is_whole: false };
    check(&live(Motion::Promised { until: NOW }), &half, &Verdict::Rest(safe));
    check(&live(Motion::Here), &half, &works(Work::Complete));
}

#[test]
fn albums_are_mirrored_and_what_was_taken_out_stays_out() {
    let asset = DeviceAsset { albums: [album("Camera"), album("Ski"), album("Other")].into(), ..asset("a") };
    let safe = Verdict::Rest(Explanation::BackedUp {
        file: FileId(7),
        at: NOW - 5 * DAY,
        receipt: None,
        is_whole: true,
    });
    let placed = |names: &[&str], mirror| World {
        placed: names.iter().map(|name| (album(name), HashSet::from([FileId(7)]))).collect(),
        mirror,
        ..with_known(known())
    };
    check(&asset, &placed(&["Camera"], false), &safe);
    let to_ski = works(Work::Place(FileId(7), vec![album("Ski")]));
    check(&asset, &placed(&["Camera"], true), &to_ski);
    check(&asset, &placed(&["Camera", "Ski"], true), &safe);
    let without_network = Conditions { network: Network::None, ..Conditions::HOME };
    check(&asset, &World { conditions: without_network, ..placed(&["Camera"], true) }, &waits(Wait::Network));
}

/// Shows M4.
#[test]
fn networks() {
    let permissions = |photos, videos, roaming| Permissions {
        photos_on_metered: photos,
        videos_on_metered: videos,
        while_roaming: roaming,
        ..Permissions::default()
    };
    for (kind, network, permissions, expected) in [
        (Photo, Network::None, permissions(true, true, true), Some(Wait::Network)),
        (Photo, Network::Unmetered, permissions(false, false, false), None),
        (Photo, Network::Metered, permissions(false, true, true), Some(Wait::Unmetered(Photo))),
        (LivePhoto, Network::Metered, permissions(false, true, true), Some(Wait::Unmetered(LivePhoto))),
        (Video, Network::Metered, permissions(true, false, true), Some(Wait::Unmetered(Video))),
        (Photo, Network::Metered, permissions(true, false, false), None),
        (LivePhoto, Network::Metered, permissions(true, false, false), None),
        (Video, Network::Metered, permissions(false, true, false), None),
        (Photo, Network::Roaming, permissions(true, true, false), Some(Wait::Home)),
        (Video, Network::Roaming, permissions(true, true, false), Some(Wait::Home)),
        (Photo, Network::Roaming, permissions(true, false, true), None),
        (Video, Network::Roaming, permissions(true, false, true), Some(Wait::Unmetered(Video))),
    ] {
        let conditions = Conditions { network, ..Conditions::HOME };
        check_moment(kind, conditions, permissions, Trigger::Periodic, expected);
    }
}

/// A moment is judged the same way when a run is planned and before each part.
fn check_moment(
    kind: AssetKind,
    conditions: Conditions,
    permissions: Permissions,
    trigger: Trigger,
    expected: Option<Wait>,
) {
    let sent = may_send(kind, &conditions, &permissions, trigger, true, None, NOW);
    assert_eq!(sent.err(), expected, "{kind:?} {conditions:?} {permissions:?} {trigger:?}");
    let world = World { permissions, conditions, trigger, ..world() };
    let asset = DeviceAsset { kind, ..asset("a") };
    check(&asset, &world, &expected.map_or(works(Work::New), waits));
}

#[test]
fn power_and_leave_to_run() {
    let background = Conditions { app: App::Background, charging: false, ..Conditions::HOME };
    let charging = Permissions { only_while_charging: true, ..Permissions::default() };
    let saving = Conditions { power_saver: true, ..Conditions::HOME };
    let tireless = Permissions { rest_in_power_saver: false, ..Permissions::default() };
    let usual = Permissions::default();
    let cannot = |can_run| Conditions { can_run, ..Conditions::HOME };
    for (conditions, permissions, trigger, expected) in [
        (background, usual, Trigger::Periodic, None),
        (background, charging, Trigger::Periodic, Some(Wait::Charger)),
        (Conditions { charging: true, ..background }, charging, Trigger::Periodic, None),
        (Conditions { app: App::Foreground, ..background }, charging, Trigger::Opened, None),
        (saving, usual, Trigger::Opened, Some(Wait::Power)),
        (saving, usual, Trigger::Asked, None),
        (saving, tireless, Trigger::Opened, None),
        (cannot(CanRun::AppKilled), usual, Trigger::Pushed, Some(Wait::AppOpened)),
        (cannot(CanRun::PrivateSpaceLocked), usual, Trigger::Periodic, Some(Wait::PrivateSpace)),
        (cannot(CanRun::BatteryOptimised), usual, Trigger::Periodic, Some(Wait::BatteryExemption)),
    ] {
        check_moment(AssetKind::Photo, conditions, permissions, trigger, expected);
    }
}

#[test]
fn grants_end_and_videos_begin_only_in_parts() {
    let until =
        |left| Conditions { app: App::Background, grant: Grant::Until(NOW + left), ..Conditions::HOME };
    let whole = Permissions { videos_only_in_parts: false, ..Permissions::default() };
    let usual = Permissions::default();
    for (kind, conditions, permissions, resumable, expected) in [
        (Photo, until(30 * SECOND), usual, true, None),
        (Photo, until(1), usual, true, None),
        (Photo, until(0), usual, true, Some(Wait::Grant)),
        (Photo, until(-5), usual, true, Some(Wait::Grant)),
        (Video, until(30 * SECOND), usual, true, None),
        (Video, until(PART_TIME), usual, true, None),
        (Video, until(PART_TIME - 1), usual, true, Some(Wait::Grant)),
        (Video, until(-5), usual, true, Some(Wait::Grant)),
        (Video, until(-5), usual, false, Some(Wait::Foreground)),
        (Video, until(30 * SECOND), usual, false, Some(Wait::Foreground)),
        (Video, until(30 * SECOND), whole, false, None),
        (Video, Conditions { app: App::Foreground, ..until(1) }, usual, false, None),
        (Video, Conditions { grant: Grant::Unlimited, ..until(1) }, usual, false, None),
    ] {
        let sent = may_send(kind, &conditions, &permissions, Trigger::Pushed, resumable, None, NOW);
        assert_eq!(sent.err(), expected, "{kind:?} {conditions:?}");
        let world = World { permissions, conditions, resumable, trigger: Trigger::Pushed, ..world() };
        check(&DeviceAsset { kind, ..asset("a") }, &world, &expected.map_or(works(Work::New), waits));
    }
}

/// What cannot be done by the end of a grant, on the line as it was measured, is not begun in it.
/// Shows E6, M7.
#[test]
fn a_part_begins_only_if_the_line_carries_it_within_the_grant() {
    let background = Conditions { app: App::Background, ..Conditions::HOME };
    let until = |left| Conditions { grant: Grant::Until(NOW + left), ..background };
    let (mib, large, small) = (1_u64 << 20, 20 << 20, 1 << 20);
    let thirty = until(30 * SECOND);
    for (kind, size, locality, conditions, rate, expected) in [
        // A sixteenth of a second for the least part: there is time for many, for one, or not quite for one.
        (Video, large, Locality::Here, thirty, Some(4 * mib), None),
        (Video, large, Locality::Here, until(SECOND / 16), Some(4 * mib), None),
        (Video, large, Locality::Here, until(SECOND / 16 - 1), Some(4 * mib), Some(Wait::Grant)),
        (Video, large, Locality::Here, thirty, Some(mib / 8), None),
        (Video, large, Locality::Here, thirty, Some(mib / 128), Some(Wait::Grant)),
        // A line that is faster than what is assumed of an unknown one.
        (Video, large, Locality::Here, until(PART_TIME - 1), None, Some(Wait::Grant)),
        (Video, large, Locality::Here, until(PART_TIME - 1), Some(4 * mib), None),
        // What is smaller than a part takes less.
        (Video, small, Locality::Here, thirty, Some(mib / 8), None),
        (Video, small, Locality::Here, until(8 * SECOND), Some(mib / 8), None),
        (Video, small, Locality::Here, until(8 * SECOND - 1), Some(mib / 8), Some(Wait::Grant)),
        // What lies in a cloud comes over the line first, and whole.
        (Video, large, Locality::Cloud, thirty, Some(mib), None),
        (Video, large, Locality::Cloud, until(20 * SECOND + SECOND / 4), Some(mib), None),
        (Video, large, Locality::Cloud, until(20 * SECOND + SECOND / 4 - 1), Some(mib), Some(Wait::Grant)),
        (Photo, small, Locality::Cloud, until(SECOND), Some(mib), Some(Wait::Grant)),
        (Photo, small, Locality::Cloud, until(2 * SECOND), Some(mib), None),
        (Photo, small, Locality::Cloud, until(1), None, None),
        // A picture is no other than a video, but that it is tried where nothing was measured.
        (Photo, small, Locality::Here, until(1), None, None),
        (Photo, small, Locality::Here, until(SECOND), Some(mib), None),
        (LivePhoto, small, Locality::Here, until(SECOND - 1), Some(mib), Some(Wait::Grant)),
        (Photo, small, Locality::Here, until(0), Some(mib), Some(Wait::Grant)),
        (Photo, 0, Locality::Here, until(0), Some(mib), Some(Wait::Grant)),
        (Photo, 0, Locality::Here, until(1), Some(mib), None),
        // Where no grant ends, no line is too slow.
        (Video, large, Locality::Here, background, Some(1), None),
        (Video, u64::MAX, Locality::Here, background, Some(0), None),
        (Photo, u64::MAX, Locality::Here, thirty, Some(0), Some(Wait::Grant)),
    ] {
        let asset =
            DeviceAsset { kind, locality, fingerprint: Fingerprint { size, ..print(1) }, ..asset("a") };
        let takes = rate.map(|rate| time_for(first_bytes(&asset), rate));
        let usual = Permissions::default();
        let sent = may_send(kind, &conditions, &usual, Trigger::Pushed, true, takes, NOW);
        assert_eq!(sent.err(), expected, "{kind:?} {size} {locality:?} {rate:?} {conditions:?}");
        let world = World { conditions, rate, trigger: Trigger::Pushed, ..world() };
        check(&asset, &world, &expected.map_or(works(Work::New), waits));
    }
    // What needs no bytes takes no time.
    let recheck = with_known(Known { state: AssetState::Skipped, ..known() });
    let world = World { conditions: until(1), rate: Some(1), ..recheck };
    check(&asset("a"), &world, &works(Work::Recheck(ContentHash::of(b"content"))));
}

#[test]
fn a_picture_waits_for_the_delay_after_its_capture_and_no_longer() {
    let permissions = Permissions { delay_after_capture: 60, ..Permissions::default() };
    let world = World { permissions, ..world() };
    for (taken, expected) in [
        (NOW - 61 * SECOND, works(Work::New)),
        (NOW - 60 * SECOND, works(Work::New)),
        (NOW - 59 * SECOND, waits(Wait::Delay(NOW + SECOND))),
        (NOW, waits(Wait::Delay(NOW + 60 * SECOND))),
        // The clock was set back.
        (NOW + 365 * DAY, works(Work::New)),
    ] {
        check(&DeviceAsset { taken, ..asset("a") }, &world, &expected);
    }
}

#[test]
fn originals_in_the_cloud_are_fetched_as_their_owner_allows() {
    let cloud = DeviceAsset { locality: Locality::Cloud, ..asset("a") };
    let metered = Conditions { network: Network::Metered, ..Conditions::HOME };
    let allowed = Permissions { photos_on_metered: true, ..Permissions::default() };
    let fetching = Permissions { fetch_on_metered: true, ..allowed };
    let never = Permissions { fetch_from_cloud: false, ..fetching };
    let (home, size) = (Conditions::HOME, cloud.fingerprint.size);
    let free = free_for_copy(size).unwrap();
    // Seven eighths of it are exactly as much.
    let just = cache_bound(free);
    for (conditions, permissions, cache_room, expected) in [
        (home, allowed, 2 << 30, works(Work::New)),
        (metered, allowed, 2 << 30, waits(Wait::Fetch)),
        (metered, fetching, 2 << 30, works(Work::New)),
        (home, never, 2 << 30, waits(Wait::FetchLeave)),
        (home, allowed, size, waits(Wait::CacheRoom(free))),
        (home, allowed, just - 1, waits(Wait::CacheRoom(free))),
        (home, allowed, just, works(Work::New)),
    ] {
        check(&cloud, &World { permissions, conditions, cache_room, ..world() }, &expected);
        check(&asset("a"), &World { permissions, conditions, cache_room, ..world() }, &works(Work::New));
    }
    // Its video is exported, wherever it lies.
    let live = DeviceAsset { kind: LivePhoto, motion: Motion::Here, ..asset("a") };
    check(&live, &World { cache_room: just - 1, ..world() }, &waits(Wait::CacheRoom(free)));
    check(&live, &World { cache_room: just, ..world() }, &works(Work::New));
    // What needs no bytes is done without them.
    let recheck = with_known(Known { state: AssetState::Skipped, ..known() });
    let expected = works(Work::Recheck(ContentHash::of(b"content")));
    check(&cloud, &World { cache_room: 10, permissions: never, ..recheck }, &expected);
}

#[test]
fn what_was_tried_in_vain_is_explained_by_what_it_met() {
    let known = Known { state: AssetState::Blocked, reason: Some("it cannot be read".into()), ..known() };
    assert_eq!(explain(&asset("a"), &with_known(known)), blocked("it cannot be read", None));
    assert_eq!(explain(&asset("b"), &world()), Explanation::Waiting(Wait::Turn));
    let away = World { is_server_away: true, ..world() };
    assert_eq!(explain(&asset("b"), &away), Explanation::Waiting(Wait::Server));
    check(&asset("b"), &away, &works(Work::New));
    let offline = Conditions { network: Network::None, ..Conditions::HOME };
    let offline = World { conditions: offline, ..away };
    assert_eq!(explain(&asset("b"), &offline), Explanation::Waiting(Wait::Network));
    let known = Known { state: AssetState::NoRoom, reason: Some("there is no room".into()), ..self::known() };
    assert_eq!(explain(&asset("a"), &with_known(known)), Explanation::Waiting(Wait::Storage));
}

#[test]
fn what_would_fail_again_has_its_pause() {
    let hour = 3600 * SECOND;
    let known = |state, since: i64, last: i64| Known {
        state,
        reason: Some("the server refuses it".into()),
        failing: Some(Failing { since: NOW - since, last: NOW - last }),
        ..known()
    };
    let rests = |until| Verdict::Rest(blocked("the server refuses it", Some(until)));
    // It failed twice in two hours: it is left alone for as long again.
    let failed = || known(AssetState::Blocked, 3 * hour, hour);
    check(&asset("a"), &with_known(failed()), &rests(NOW + hour));
    assert_eq!(
        explain(&asset("a"), &with_known(failed())),
        blocked("the server refuses it", Some(NOW + hour))
    );
    for (world, expected) in [
        (World { trigger: Trigger::Asked, ..with_known(failed()) }, works(Work::Retry)),
        (World { trigger: Trigger::Opened, ..with_known(failed()) }, rests(NOW + hour)),
        (
            World {
                conditions: Conditions { network: Network::None, ..Conditions::HOME },
                ..with_known(failed())
            },
            rests(NOW + hour),
        ),
        (with_known(known(AssetState::Blocked, 4 * hour, 2 * hour)), works(Work::Retry)),
        (with_known(Known { failing: None, ..failed() }), works(Work::Retry)),
        (with_known(Known { fingerprint: print(2), ..failed() }), works(Work::Changed)),
        (with_known(known(AssetState::NoRoom, 3 * hour, hour)), works(Work::Retry)),
        (
            with_known(Known { reason: None, ..failed() }),
            Verdict::Rest(blocked("no reason was kept", Some(NOW + hour))),
        ),
    ] {
        check(&asset("a"), &world, &expected);
    }
    let live = DeviceAsset { kind: LivePhoto, motion: Motion::Here, ..asset("a") };
    check(&live, &with_known(Known { is_whole: false, ..failed() }), &works(Work::Complete));
    check(&live, &with_known(failed()), &rests(NOW + hour));
    let excluded = DeviceAsset { albums: [album("Secret")].into(), ..asset("a") };
    check(&excluded, &with_known(failed()), &skips(Skip::Excluded("Secret".into())));
}

#[test]
fn what_must_be_free_for_a_copy_is_the_least_that_is_enough() {
    assert_eq!(cache_bound(5 << 30), (5 << 30) / 10);
    assert_eq!(cache_bound(500 << 30), 2 << 30);
    for bytes in [1, 6, 7, 8, 1001, 12_000_000, 1 << 30, (2 << 30) / 8 * 7] {
        let free = free_for_copy(bytes).unwrap();
        assert!(largest_copy(cache_bound(free)) >= bytes, "{bytes}");
        assert!(largest_copy(cache_bound(free - 1)) < bytes, "{bytes}");
    }
    for bytes in [(2 << 30) / 8 * 7 + 1, 3 << 30, u64::MAX] {
        assert_eq!(free_for_copy(bytes), None);
        let film = DeviceAsset {
            fingerprint: Fingerprint { size: bytes, ..print(1) },
            locality: Locality::Cloud,
            ..asset("a")
        };
        check(&film, &world(), &waits(Wait::Download(bytes)));
    }
}

fn order(assets: Vec<DeviceAsset>, world: &World) -> Vec<String> {
    let names = plan(assets, world).work.into_iter().map(|(asset, _)| asset.id.0);
    names.map(|id| String::from_utf8(id).unwrap()).collect()
}

#[test]
fn new_pictures_go_first_and_small_ones_when_time_is_short() {
    let taken = |id: &str, days: i64, size: u64| DeviceAsset {
        taken: NOW - days * DAY,
        fingerprint: print(size),
        ..asset(id)
    };
    let video = DeviceAsset { kind: AssetKind::Video, ..taken("video", 1, 1) };
    let assets =
        vec![taken("old small", 9, 1), taken("old large", 8, 5), taken("new", 1, 9), taken("newer", 0, 9)];
    assert_eq!(order(assets.clone(), &world()), ["newer", "new", "old large", "old small"]);
    let short =
        Conditions { grant: Grant::Until(NOW + 30 * SECOND), app: App::Background, ..Conditions::HOME };
    let hurried = World { conditions: short, ..world() };
    let three = || [vec![video.clone()], assets[..2].to_vec(), vec![assets[2].clone()]].concat();
    assert_eq!(order(three(), &hurried), ["new", "old small", "old large", "video"]);
    assert_eq!(order(three(), &world()), ["new", "video", "old large", "old small"]);
    let any = Permissions { photos_first: false, ..Permissions::default() };
    assert_eq!(
        order(three(), &World { permissions: any, ..hurried }),
        ["new", "video", "old small", "old large"]
    );
}

#[test]
fn each_fourth_step_goes_to_what_has_waited_longest() {
    let newer = (0..20).map(|at| DeviceAsset { taken: NOW - at * SECOND, ..asset(&format!("new {at:02}")) });
    let mut assets: Vec<_> = newer.collect();
    assets.push(DeviceAsset { taken: NOW - 90 * DAY, ..asset("old") });
    assets.push(DeviceAsset { taken: NOW - 80 * DAY, ..asset("less old") });
    let order = order(assets, &world());
    assert_eq!(order.len(), 22);
    assert_eq!((order[3].as_str(), order[7].as_str()), ("old", "less old"));
}

// Random worlds.

fn conditions() -> impl Strategy<Value = Conditions> {
    let network =
        prop::sample::select(vec![Network::None, Network::Unmetered, Network::Metered, Network::Roaming]);
    let grant = prop_oneof![
        Just(Grant::Unlimited),
        (-10_i64..200).prop_map(|left| Grant::Until(NOW + left * SECOND))
    ];
    let can_run = prop::sample::select(vec![
        CanRun::Ok,
        CanRun::Ok,
        CanRun::Ok,
        CanRun::AppKilled,
        CanRun::PrivateSpaceLocked,
        CanRun::BatteryOptimised,
    ]);
    (network, any::<(bool, bool, bool)>(), grant, can_run).prop_map(
        |(network, (charging, power_saver, front), grant, can_run)| Conditions {
            network,
            charging,
            battery_level: Some(50),
            power_saver,
            app: if front { App::Foreground } else { App::Background },
            grant,
            can_run,
            memory_is_tight: front,
            free_bytes: None,
        },
    )
}

fn permissions() -> impl Strategy<Value = Permissions> {
    (any::<[bool; 9]>(), prop::sample::select(vec![0_u32, 0, 60, DAY_SECONDS])).prop_map(|(flags, delay)| {
        Permissions {
            photos_on_metered: flags[0],
            videos_on_metered: flags[1],
            while_roaming: flags[2],
            only_while_charging: flags[3],
            delay_after_capture: delay,
            rest_in_power_saver: flags[4],
            photos_first: flags[5],
            videos_only_in_parts: flags[6],
            fetch_from_cloud: flags[7],
            fetch_on_metered: flags[8],
            keep_awake: false,
        }
    })
}

const DAY_SECONDS: u32 = conditions::DELAY_MAX;

fn device_asset(at: usize) -> impl Strategy<Value = DeviceAsset> {
    let kind = prop::sample::select(vec![AssetKind::Photo, AssetKind::Video, AssetKind::LivePhoto]);
    let albums =
        prop::collection::btree_set(prop::sample::select(vec!["Camera", "Ski", "Secret", "Other"]), 0..3);
    let motion = prop_oneof![
        Just(Motion::Here),
        (-1_i64..2).prop_map(|days| Motion::Promised { until: NOW + days * DAY })
    ];
    (kind, albums, motion, any::<bool>(), 0_i64..40, 1_u64..4).prop_map(
        move |(kind, albums, motion, is_here, hours, seed)| DeviceAsset {
            kind,
            albums: albums.into_iter().map(album).collect(),
            motion: if kind == AssetKind::LivePhoto { motion } else { Motion::None },
            locality: if is_here { Locality::Here } else { Locality::Cloud },
            taken: NOW - hours * 3600 * SECOND,
            fingerprint: print(seed),
            ..asset(&format!("asset {at}"))
        },
    )
}

fn history() -> impl Strategy<Value = Option<Known>> {
    let state = prop::sample::select(vec![
        AssetState::BackedUp,
        AssetState::BackedUp,
        AssetState::Skipped,
        AssetState::Blocked,
        AssetState::NoRoom,
        AssetState::Freed,
        AssetState::NotMedia,
    ]);
    let failing = prop::option::of((0_i64..48, 0_i64..48).prop_map(|(for_hours, hours)| {
        let last = NOW - hours * 3600 * SECOND;
        Failing { since: last - for_hours * 3600 * SECOND, last }
    }));
    let known = (state, 1_u64..4, 0_i64..6, any::<bool>(), 0_i64..9, failing).prop_map(
        |(state, seed, file, is_whole, days, failing)| Known {
            state,
            failing,
            fingerprint: print(seed),
            content: Some(ContentHash::of(&[file.to_le_bytes()[0]])),
            file: matches!(state, AssetState::BackedUp | AssetState::Freed).then_some(FileId(file)),
            is_whole,
            first_seen: NOW - days * DAY,
            ..known()
        },
    );
    prop::option::of(known)
}

/// What the owner chose for each album, if anything, and which files were ever in it.
fn choices() -> impl Strategy<Value = Vec<(&'static str, Option<AlbumChoice>, HashSet<FileId>)>> {
    ["Camera", "Ski", "Secret", "Other"]
        .map(|name| {
            let usual = match name {
                "Camera" | "Ski" => Some(AlbumChoice::Selected),
                "Secret" => Some(AlbumChoice::Excluded),
                _ => None,
            };
            let any = [None, Some(AlbumChoice::Selected), Some(AlbumChoice::Excluded)];
            let choice = prop_oneof![Just(usual), prop::sample::select(any.to_vec())];
            (Just(name), choice, prop::collection::hash_set((0_i64..6).prop_map(FileId), 0..4))
        })
        .to_vec()
}

/// What a run knows beside its library: its reason, when the last one was through, how many turns there were, what the server is like.
fn circumstances() -> impl Strategy<Value = World> {
    let trigger = prop::sample::select(vec![
        Trigger::Asked,
        Trigger::Opened,
        Trigger::Periodic,
        Trigger::LibraryChanged,
        Trigger::Pushed,
        Trigger::NetworkUnmetered,
        Trigger::NetworkReturned,
        Trigger::ChargerConnected,
    ]);
    let last_completed = prop_oneof![Just(0), (0_i64..50).prop_map(|hours| NOW - hours * 3600 * SECOND)];
    let room = (0_u64..3000, prop::option::of(1_u64..1000));
    (choices(), trigger, last_completed, 0_u64..9, any::<(bool, bool, bool)>(), room).prop_map(
        |(
            choices,
            trigger,
            last_completed,
            turns,
            (mirror, resumable, is_server_away),
            (cache_room, rate),
        )| {
            let chosen = choices.iter().filter_map(|(name, choice, _)| {
                Some((album(name), ChosenAlbum { name: (*name).to_owned(), choice: (*choice)? }))
            });
            World {
                albums: chosen.collect(),
                placed: choices.iter().map(|(name, _, files)| (album(name), files.clone())).collect(),
                mirror,
                trigger,
                resumable,
                is_server_away,
                cache_room,
                rate,
                last_completed,
                turns,
                ..world()
            }
        },
    )
}

fn worlds() -> impl Strategy<Value = (Vec<DeviceAsset>, World)> {
    let waiting = prop::option::of((0_i64..20).prop_map(|hours| NOW - hours * 3600 * SECOND));
    let library = (0..12_usize).map(|at| (device_asset(at), history(), waiting.clone())).collect::<Vec<_>>();
    let deleted = prop::collection::hash_map(0_i64..6, 0_i64..9, 0..3);
    (library, conditions(), permissions(), deleted, circumstances()).prop_map(
        |(library, conditions, permissions, deleted, circumstances)| {
            let known = library
                .iter()
                .filter_map(|(asset, known, _)| Some((asset.id.clone(), known.clone()?)))
                .collect();
            let waiting = library.iter().filter_map(|(asset, _, since)| Some((asset.id.clone(), (*since)?)));
            let at = |days: i64| NOW - days * DAY;
            let world = World {
                known,
                waiting: waiting.collect(),
                displaced: deleted.keys().map(|file| FileId(*file)).collect(),
                deleted_contents: deleted
                    .iter()
                    .map(|(file, days)| (ContentHash::of(&[file.to_le_bytes()[0]]), at(*days)))
                    .collect(),
                conditions,
                permissions,
                ..circumstances
            };
            (library.into_iter().map(|(asset, ..)| asset).collect(), world)
        },
    )
}

/// What carrying a plan out leaves behind.
fn carry_out(plan: &DevicePlan, world: &mut World, next_file: &mut i64) {
    for (asset, work) in &plan.work {
        let before = world.known.get(&asset.id).cloned();
        let file = match work {
            Work::Place(file, _) => *file,
            _ => {
                *next_file += 1;
                FileId(*next_file)
            }
        };
        for key in asset.albums.iter().filter(|key| world.albums.contains_key(key)) {
            world.placed.entry(key.clone()).or_default().insert(file);
        }
        let known = Known {
            fingerprint: asset.fingerprint,
            content: Some(ContentHash::of(&file.0.to_le_bytes())),
            file: Some(file),
            state: AssetState::BackedUp,
            reason: None,
            receipt: None,
            is_whole: asset.motion != Motion::Promised { until: 0 }
                && !matches!(asset.motion, Motion::Promised { .. }),
            first_seen: before.map_or(world.now, |before| before.first_seen),
            last_seen: world.now,
            deleted: None,
            failing: None,
        };
        world.known.insert(asset.id.clone(), known);
    }
}

/// What must never be sent, said once more in other words than the rules'.
fn is_forbidden(asset: &DeviceAsset, world: &World) -> bool {
    let World { permissions, conditions, .. } = world;
    let is_in = |choice: AlbumChoice| {
        let chosen: Vec<_> = asset.albums.iter().filter_map(|key| world.albums.get(key)).collect();
        chosen.iter().any(|album| album.choice == choice)
    };
    let costs = matches!(conditions.network, Network::Metered | Network::Roaming);
    let kind_costs = match asset.kind {
        AssetKind::Video => !permissions.videos_on_metered,
        _ => !permissions.photos_on_metered,
    };
    let known = world.known.get(&asset.id).filter(|known| known.fingerprint == asset.fingerprint);
    let is_deleted = known.is_some_and(|known| {
        let at = known.content.and_then(|content| world.deleted_contents.get(&content));
        at.is_some_and(|at| known.first_seen <= *at)
    });
    is_in(AlbumChoice::Excluded)
        || !is_in(AlbumChoice::Selected)
        || conditions.can_run != CanRun::Ok
        || (conditions.power_saver && permissions.rest_in_power_saver && world.trigger != Trigger::Asked)
        || (permissions.only_while_charging && conditions.app == App::Background && !conditions.charging)
        || conditions.network == Network::None
        || (costs && kind_costs)
        || (conditions.network == Network::Roaming && !permissions.while_roaming)
        || is_deleted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// (a), (d): nothing forbidden is sent, and every asset is in the plan once, with one explanation.
    /// Shows E12.
    #[test]
    fn nothing_forbidden_is_planned_and_everything_is_explained((assets, world) in worlds()) {
        let plan = plan(assets.clone(), &world);
        for (asset, work) in &plan.work {
            prop_assert!(!is_forbidden(asset, &world), "{:?}", asset);
            let bytes = if matches!(work, Work::Recheck(_) | Work::Place(..)) { 0 } else { first_bytes(asset) };
            let World { conditions, permissions, trigger, resumable, rate, now, .. } = &world;
            let takes = rate.map(|rate| time_for(bytes, rate));
            prop_assert_eq!(may_send(asset.kind, conditions, permissions, *trigger, *resumable, takes, *now), Ok(()));
        }
        let worked = plan.work.iter().map(|(asset, _)| asset.id.clone());
        let mut ids: Vec<AssetId> = worked.chain(plan.rest.iter().map(|(id, _)| id.clone())).collect();
        ids.sort();
        let mut expected: Vec<AssetId> = assets.iter().map(|asset| asset.id.clone()).collect();
        expected.sort();
        prop_assert_eq!(ids, expected);
        for asset in &assets {
            let told = explain(asset, &world);
            let rest = plan.rest.iter().find(|(id, _)| *id == asset.id);
            if let Some((_, planned)) = rest {
                prop_assert_eq!(&told, planned);
            }
            prop_assert_eq!(told.is_backed_up(), rest.is_some_and(|(_, planned)| planned.is_backed_up()));
            prop_assert!(told.to_string().ends_with('.'));
        }
    }

    /// (b), (c): at home everything that is allowed gets into the vault, and then there is nothing to do.
    #[test]
    fn everything_allowed_is_sent_in_the_end_and_nothing_twice((assets, world) in worlds()) {
        let mut world = World { conditions: Conditions::HOME, trigger: Trigger::Asked, cache_room: 2 << 30, ..world };
        world.permissions = Permissions { delay_after_capture: world.permissions.delay_after_capture, ..Permissions::default() };
        // Two days later: delays and promises are over.
        world.now += 2 * DAY;
        let mut next_file = 100;
        let first = plan(assets.clone(), &world);
        carry_out(&first, &mut world, &mut next_file);
        let again = plan(assets.clone(), &world);
        prop_assert_eq!(&again.work, &[]);
        for asset in &assets {
            let told = explain(asset, &world);
            let is_left_alone = matches!(told, Explanation::Skipped(_));
            prop_assert!(told.is_backed_up() || is_left_alone, "{}", told);
            if let Explanation::Kept { file, .. } = told {
                prop_assert!(is_forbidden(asset, &world) && !world.displaced.contains(&file), "{}", told);
            } else if told.is_backed_up() {
                prop_assert!(!is_forbidden(asset, &world));
            } else {
                let is_text = world.known.get(&asset.id).is_some_and(|known| known.state == AssetState::NotMedia);
                prop_assert!(is_text || is_forbidden(asset, &world), "{}", told);
            }
        }
    }

    /// (e): what has waited longest is always among the next few, but for videos that have only just come behind the photos.
    #[test]
    fn what_has_waited_longest_is_among_the_next((assets, world) in worlds()) {
        let plan = plan(assets, &world);
        if let Some(longest) = plan.work.iter().filter_map(|(asset, _)| has_waited_since(asset, &world)).min() {
            let is_it = |(asset, _): &(DeviceAsset, Work)| has_waited_since(asset, &world) == Some(longest);
            prop_assert!(plan.work.iter().position(is_it).unwrap() < 4);
        }
    }

    /// (e): run after run that is too short for four turns, with new pictures before each: what has waited longest has each fourth turn all the
    /// same, a video among photos and a picture that cannot be read included, and everything that was there at first has had its turn in
    /// the end.
    #[test]
    fn nothing_waits_for_ever(
        backlog in prop::collection::vec((any::<bool>(), any::<bool>(), 3_i64..90), 1..8),
        days in prop::collection::vec((1_usize..4, 0_usize..4), 40),
        (is_behind, photos_first) in any::<(bool, bool)>(),
    ) {
        let mut world = world();
        world.permissions.photos_first = photos_first;
        if is_behind {
            world.conditions.app = App::Background;
        }
        let kind = |is_video| if is_video { Video } else { Photo };
        let mut library: Vec<(DeviceAsset, bool)> = Vec::new();
        for (at, (is_video, is_broken, days)) in backlog.into_iter().enumerate() {
            let taken = NOW - days * DAY;
            library.push((DeviceAsset { kind: kind(is_video), taken, ..asset(&format!("old {at}")) }, is_broken));
        }
        let old = library.len();
        let (mut had_a_turn, mut turns_since) = (HashSet::new(), 0);
        for (day, (fit, new)) in days.into_iter().enumerate() {
            world.now += DAY;
            for at in 0..new {
                let taken = world.now - i64::try_from(at).unwrap();
                library.push((DeviceAsset { taken, ..asset(&format!("new {day} {at}")) }, false));
            }
            let plan = plan(library.iter().map(|(asset, _)| asset.clone()).collect(), &world);
            for (asset, _) in plan.work.iter().take(fit) {
                let waiting = plan.work.iter().filter(|(asset, _)| !had_a_turn.contains(&(day, asset.id.clone())));
                let longest = waiting.filter_map(|(asset, _)| has_waited_since(asset, &world)).min();
                turns_since = if has_waited_since(asset, &world) == longest { 0 } else { turns_since + 1 };
                prop_assert!(turns_since < 4, "{} {:?}", day, asset.id);
                had_a_turn.insert((day, asset.id.clone()));
            }
            for (asset, _) in plan.work.into_iter().take(fit) {
                let is_broken = library.iter().any(|(other, is_broken)| other.id == asset.id && *is_broken);
                let state = if is_broken { AssetState::Blocked } else { AssetState::BackedUp };
                let known = Known { state, fingerprint: asset.fingerprint, last_seen: world.now, ..known() };
                world.known.insert(asset.id, known);
                world.turns += 1;
            }
        }
        // Each old one within four turns of the one before it, and forty turns there were at least.
        let ids: BTreeSet<AssetId> = had_a_turn.into_iter().map(|(_, id)| id).collect();
        for (asset, _) in &library[..old] {
            prop_assert!(ids.contains(&asset.id), "{:?}", asset.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// (e): before each run come as many pictures as it has turns for, newer than all that waits, and old ones that were scanned; and of those that wait
    /// some are edited, before each run. All the same, of all that ever came so many are safe as a fourth of all turns: those that came first, and
    /// of these the oldest. So no stream keeps anything back, the others included, and no edit that which is edited.
    #[test]
    fn streams_that_fill_every_run_keep_nothing_back(
        backlog in prop::collection::vec((any::<bool>(), 3_i64..90, 1_u64..9), 1..12),
        runs in prop::collection::vec((1_usize..6, 0_usize..6, 0_usize..6, 1_i64..40, any::<bool>()), 48),
        (is_behind, photos_first, is_late, are_edits) in any::<(bool, bool, bool, bool)>(),
    ) {
        let mut world = world();
        world.permissions.photos_first = photos_first;
        // Either is the backlog of a library that was never through, or it was taken before the last run that was.
        world.last_completed = if is_late { NOW } else { 0 };
        let kind = |is_video| if is_video { Video } else { Photo };
        let mut library: Vec<DeviceAsset> = Vec::new();
        for (at, (is_video, days, size)) in backlog.into_iter().enumerate() {
            // No two at the same moment: which of them has waited longest is nobody's to say.
            let taken = NOW - days * DAY - i64::try_from(at).unwrap();
            library.push(DeviceAsset { kind: kind(is_video), taken, fingerprint: print(size), ..asset(&format!("old {at}")) });
        }
        let mut came: BTreeSet<(i64, i64, AssetId)> =
            library.iter().map(|old| (NOW, old.taken, old.id.clone())).collect();
        // The backlog is of pictures that were safe long ago, or of such that never were.
        let safe_once = Known { fingerprint: print(99), last_seen: NOW - 300 * DAY, ..known() };
        world.known = library.iter().filter(|_| are_edits).map(|old| (old.id.clone(), safe_once.clone())).collect();
        let (mut safe, mut turns, mut scans) = (HashSet::new(), 0, 0);
        for (run, (fit, new, scanned, hours, is_short)) in runs.into_iter().enumerate() {
            let before = world.now;
            world.now += hours * 3600 * SECOND;
            world.conditions = Conditions { app: if is_behind { App::Background } else { App::Foreground }, ..Conditions::HOME };
            if is_short {
                world.conditions.grant = Grant::Until(world.now + 30 * SECOND);
            }
            let news = (0..new).map(|at| (format!("new {run} {at}"), before + 1 + i64::try_from(at).unwrap()));
            let mut arrivals: Vec<(String, i64)> = news.collect();
            for at in 0..scanned {
                scans += 1;
                arrivals.push((format!("scan {run} {at}"), NOW - 9000 * DAY + scans));
            }
            for (id, taken) in arrivals {
                let arrived = DeviceAsset { taken, ..asset(&id) };
                came.insert((world.now, taken, arrived.id.clone()));
                library.push(arrived);
            }
            world.waiting = came.iter().map(|(since, _, id)| (id.clone(), *since)).collect();
            for edited in library.iter_mut().filter(|asset| asset.id.0.starts_with(b"old")) {
                edited.fingerprint.modified_ns = world.now * 1000;
            }
            let plan = plan(library.clone(), &world);
            for (asset, _) in plan.work.into_iter().take(fit) {
                safe.insert(asset.id.clone());
                let known = Known { fingerprint: asset.fingerprint, last_seen: world.now, ..known() };
                world.known.insert(asset.id, known);
                (world.turns, turns) = (world.turns + 1, turns + 1);
            }
            library.retain(|asset| !safe.contains(&asset.id));
            for (since, taken, id) in came.iter().take(turns / 4) {
                prop_assert!(safe.contains(id), "run {}, {:?}, since {}, taken {}", run, id, since, taken);
            }
        }
    }
}

/// Since when it may have the turn of what has waited longest, and of what came at the same moment the older first; none for a video of the last day
/// where photos go first.
fn has_waited_since(asset: &DeviceAsset, world: &World) -> Option<(i64, i64)> {
    let (known, waiting) = (world.known.get(&asset.id), world.waiting.get(&asset.id));
    let since = match (known, waiting) {
        (Some(known), _) if known.fingerprint == asset.fingerprint => known.last_seen,
        (_, Some(told)) => *told,
        (Some(known), None) => known.last_seen,
        (None, None) => asset.taken,
    };
    let behind = match known {
        Some(known) if [AssetState::Blocked, AssetState::NoRoom].contains(&known.state) => known.last_seen,
        Some(known) => known.first_seen.min(asset.taken),
        None => asset.taken,
    };
    let is_behind = asset.kind == Video && world.photos_go_first() && world.now - behind < DAY;
    (!is_behind).then_some((since, asset.taken))
}

#[test]
fn what_has_waited_longest_came_first_whenever_it_was_taken() {
    let days = |days: i64| NOW - days * DAY;
    let new = |id: &str, taken| DeviceAsset { taken, ..asset(id) };
    let edited = |id: &str, at: i64| DeviceAsset {
        fingerprint: Fingerprint { modified_ns: at * 1000, ..print(2) },
        ..asset(id)
    };
    let known = |last_seen| Known { last_seen, state: AssetState::Blocked, ..known() };
    let waiting =
        [("early", days(6)), ("late", days(3)), ("old", days(3)), ("edited", days(5)), ("again", days(2))];
    let waiting: HashMap<AssetId, i64> = waiting.map(|(id, at)| (AssetId::new(id), at)).into();
    let world = World {
        known: HashMap::from([
            (AssetId::new("edited"), known(days(9))),
            (AssetId::new("again"), known(days(9))),
            (AssetId::new("missed"), known(days(9))),
            (AssetId::new("tried"), known(days(4))),
        ]),
        waiting,
        // The next turn belongs to what has waited longest.
        turns: 3,
        ..world()
    };
    for (assets, first) in [
        ([new("late", days(900)), new("early", days(7))], "early"),
        ([new("late", days(4)), new("old", days(5))], "old"),
        // What no listing is known of is as old as it is.
        ([new("late", days(900)), new("unlisted", days(4))], "unlisted"),
        ([new("tried", days(900)), new("early", days(7))], "early"),
        ([new("tried", days(1)), new("late", days(900))], "tried"),
        // An edit is new, however long ago the picture had its turn, and waits since it was told of: whatever it says of itself, and however
        // often it is made anew.
        ([edited("again", days(9)), new("late", days(4))], "late"),
        ([edited("edited", NOW), new("late", days(4))], "edited"),
        ([edited("edited", NOW + DAY), new("early", days(7))], "early"),
        ([edited("missed", NOW), new("early", days(7))], "missed"),
        // One that had its turn as it is waits since then.
        ([new("edited", days(900)), new("early", days(7))], "edited"),
    ] {
        assert_eq!(order(assets.to_vec(), &world)[0], first, "{assets:?}");
    }
}

#[test]
fn turns_go_on_from_run_to_run_and_videos_have_theirs_after_a_day() {
    let new = |at: i64| DeviceAsset { taken: NOW - at * SECOND, ..asset(&format!("new {at}")) };
    let film = |taken| DeviceAsset { kind: Video, taken, ..asset("film") };
    let behind = Conditions { app: App::Background, ..Conditions::HOME };
    let with = |film: DeviceAsset, turns| {
        let assets = vec![new(1), new(2), new(3), new(4), film];
        let world = World { turns, conditions: behind, ..world() };
        order(assets, &world).iter().position(|id| id == "film").unwrap()
    };
    for (turns, place) in [(0, 3), (1, 2), (2, 1), (3, 0), (4, 3), (1_000_003, 0)] {
        assert_eq!(with(film(NOW - DAY), turns), place, "{turns}");
        assert_eq!(with(film(NOW - DAY + 1), turns), 4, "{turns}");
    }
    // One that was tried in vain stands behind since then; one that was edited since it was taken, or came.
    let (old, edited) = (Known { last_seen: NOW - DAY + 1, ..known() }, print(99));
    for (known, place) in [
        (Known { state: AssetState::Blocked, last_seen: NOW - DAY, ..old.clone() }, 0),
        (Known { state: AssetState::Blocked, ..old.clone() }, 4),
        (Known { state: AssetState::NoRoom, ..old.clone() }, 4),
        (Known { fingerprint: edited, ..old.clone() }, 0),
        (Known { fingerprint: edited, first_seen: NOW - SECOND, ..old }, 0),
    ] {
        let known = HashMap::from([(AssetId::new("film"), known)]);
        let waiting = HashMap::from([(AssetId::new("film"), NOW - 5 * DAY)]);
        let world = World { turns: 3, conditions: behind, known, waiting, ..world() };
        let taken = NOW - 9 * DAY;
        let assets = vec![new(2), new(3), new(4), new(5), film(taken)];
        let at = order(assets, &world).iter().position(|id| id == "film");
        assert_eq!(at, Some(place), "{:?}", world.known);
    }
}

#[test]
fn bytes_are_read_as_the_moment_allows() {
    let cloud = DeviceAsset { locality: Locality::Cloud, ..asset("a") };
    let metered = Conditions { network: Network::Metered, ..Conditions::HOME };
    let no_room = Err(Wait::CacheRoom(free_for_copy(cloud.fingerprint.size).unwrap()));
    for (asset, conditions, cache_room, expected) in [
        (&cloud, Conditions::HOME, 2 << 30, Ok(())),
        (&cloud, metered, 2 << 30, Err(Wait::Fetch)),
        (&cloud, Conditions::HOME, 10, no_room),
        (&asset("a"), Conditions::HOME, 10, Ok(())),
        (&asset("a"), metered, 10, Ok(())),
    ] {
        assert_eq!(may_read(asset, &conditions, &Permissions::default(), cache_room), expected, "{asset:?}");
    }
}

#[test]
fn only_a_live_photo_can_lack_its_video() {
    let live = DeviceAsset { kind: LivePhoto, motion: Motion::Here, ..asset("a") };
    let safe =
        |is_whole| Explanation::BackedUp { file: FileId(7), at: NOW - 5 * DAY, receipt: None, is_whole };
    let half = with_known(Known { is_whole: false, ..known() });
    assert_eq!(explain(&asset("a"), &half), safe(true));
    assert_eq!(explain(&live, &with_known(known())), safe(true));
    assert_eq!(explain(&live, &half), Explanation::Waiting(Wait::Turn));
    let gone = DeviceAsset { motion: Motion::Promised { until: NOW }, ..live };
    assert_eq!(explain(&gone, &half), safe(false));
}

/// What a phone starts with, as it is promised.
#[test]
fn the_defaults_are_those_that_are_promised() {
    let promised = Permissions {
        photos_on_metered: false,
        videos_on_metered: false,
        while_roaming: false,
        only_while_charging: false,
        delay_after_capture: 0,
        rest_in_power_saver: true,
        photos_first: true,
        videos_only_in_parts: true,
        fetch_from_cloud: true,
        fetch_on_metered: false,
        keep_awake: false,
    };
    assert_eq!(Permissions::default(), promised);
    assert_eq!((cache_bound(10 << 30), cache_bound(100 << 30)), (1 << 30, 2 << 30));
}

#[test]
fn a_delay_is_none_or_between_five_seconds_and_a_day() {
    for (chosen, seconds) in
        [(0, 0), (1, 5), (5, 5), (6, 6), (86_400, 86_400), (86_401, 86_400), (u32::MAX, 86_400)]
    {
        let permissions = Permissions { delay_after_capture: chosen, ..Permissions::default() };
        assert_eq!(permissions.delay(), seconds * SECOND, "{chosen}");
    }
}

#[test]
fn the_screen_stays_on_where_that_is_wished_for_and_can_be_afforded() {
    let wished = Permissions { keep_awake: true, ..Permissions::default() };
    let battery = |level, charging| Conditions { charging, battery_level: level, ..Conditions::HOME };
    let behind = Conditions { app: App::Background, ..Conditions::HOME };
    for (permissions, conditions, is_first, expected) in [
        (wished, Conditions::HOME, true, true),
        (Permissions::default(), Conditions::HOME, true, false),
        (wished, Conditions::HOME, false, false),
        (wished, behind, true, false),
        (wished, battery(None, false), true, true),
        (wished, battery(Some(20), false), true, true),
        (wished, battery(Some(19), false), true, false),
        (wished, battery(Some(19), true), true, true),
    ] {
        assert_eq!(permissions.keeps_screen_on(&conditions, is_first), expected, "{conditions:?}");
    }
}

#[test]
fn what_is_safe_is_told_with_its_receipt() {
    let receipt = Some(1_700_000_000_000_000);
    let told = explain(&asset("a"), &with_known(Known { receipt, ..known() }));
    assert_eq!(
        told.to_string(),
        "Backed up on 2027-01-10 as file 7; the server read it back whole on 2023-11-14."
    );
    let half = Explanation::BackedUp { file: FileId(7), at: NOW, receipt: None, is_whole: false };
    assert_eq!(
        half.to_string(),
        "Backed up on 2027-01-15 as file 7, without its video, which has not arrived yet."
    );
}

#[test]
fn what_is_waited_for_concerns_the_whole_run_one_original_or_neither() {
    let whole = [
        Wait::Turn,
        Wait::Network,
        Wait::Server,
        Wait::Grant,
        Wait::AppOpened,
        Wait::PrivateSpace,
        Wait::BatteryExemption,
        Wait::Storage,
    ];
    let original = [Wait::Fetch, Wait::FetchLeave, Wait::CacheRoom(1), Wait::Download(1)];
    let neither = [
        Wait::Unmetered(Photo),
        Wait::Home,
        Wait::Charger,
        Wait::Power,
        Wait::Delay(1),
        Wait::Motion(1),
        Wait::Foreground,
    ];
    let of = |wait: &Wait| (wait.is_of_the_whole_run(), wait.is_of_the_original());
    assert!(whole.iter().all(|wait| of(wait) == (true, false)));
    assert!(original.iter().all(|wait| of(wait) == (false, true)));
    assert!(neither.iter().all(|wait| of(wait) == (false, false)));
}

#[test]
fn every_explanation_is_one_sentence() {
    let at = 1_700_000_000_000_000;
    let waits = [
        Wait::Turn,
        Wait::Network,
        Wait::Server,
        Wait::Unmetered(Photo),
        Wait::Unmetered(Video),
        Wait::Home,
        Wait::Charger,
        Wait::Power,
        Wait::Delay(at),
        Wait::Motion(i64::MAX),
        Wait::Fetch,
        Wait::FetchLeave,
        Wait::CacheRoom(12_000_001),
        Wait::Download(3_000_000_000),
        Wait::Foreground,
        Wait::Grant,
        Wait::AppOpened,
        Wait::PrivateSpace,
        Wait::BatteryExemption,
        Wait::Storage,
    ];
    let skips = [
        Skip::NotSelected,
        Skip::Excluded("Secret".into()),
        Skip::Deleted(at),
        Skip::Deleted(i64::MAX),
        Skip::NotMedia("plain text".into()),
    ];
    let told = waits.into_iter().map(Explanation::Waiting).chain(skips.into_iter().map(Explanation::Skipped));
    let told = told.chain([None, Some(at)].map(|until| blocked("it cannot be read", until)));
    let sentences: Vec<String> = told.map(|told| told.to_string()).collect();
    insta::assert_snapshot!(sentences.join("\n"));
}
