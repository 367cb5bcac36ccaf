//! What is done with each asset of a device's library, and why: one pure function over facts. Nothing here reads a disk, a clock or the
//! network.
//!
//! A rule is a small named predicate; `RULES` is the order in which they are asked, and the first that has something to say explains
//! the asset. If none has, it is worked on. So the explanation of an asset is its plan read backwards: there is no second code that could
//! disagree. Rules that speak of the moment are asked again before every part that is sent ([`may_send`]).

pub mod conditions;
pub mod explanation;
mod order;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;

use super::again::paused_until;
use crate::catalog::{AssetState, DeviceAlbumKey, Failing, Fingerprint};
use crate::library::device::{AlbumChoice, AssetId, AssetKind, DeviceAsset, Locality, Motion};
use conditions::{
    App, CanRun, Conditions, Grant, Network, Permissions, Trigger, free_for_copy, largest_copy,
};
use explanation::{Explanation, Skip, Wait};

/// Ciphertext bytes in one part where conditions may change: what is sent at most under conditions that are over.
pub const PART_BYTES: u64 = 4 << 20;

/// Ciphertext bytes of the least part that is worth a request. A grant that ends is not staked on more of a line that is not known.
pub const PART_LEAST: u64 = 256 << 10;

/// What a part of a video is taken to need in a grant that ends, where nothing was measured yet, µs.
pub const PART_TIME: i64 = 3_000_000;

/// How long so many bytes take at so many a second, µs.
pub fn time_for(bytes: u64, rate: u64) -> i64 {
    let time = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// How many bytes so much time is enough for, at so many a second.
pub fn bytes_within(micros: i64, rate: u64) -> u64 {
    let bytes = u128::from(micros.unsigned_abs()) * u128::from(rate) / 1_000_000;
    if micros > 0 { u64::try_from(bytes).unwrap_or(u64::MAX) } else { 0 }
}

/// Bytes that go over the line before anything of an asset is safe: it is fetched whole, if it lies in a cloud, and sent whole, or a part of
/// it that is as small as it must be.
pub fn first_bytes(asset: &DeviceAsset) -> u64 {
    let size = asset.fingerprint.size;
    let fetched = if asset.locality == Locality::Cloud { size } else { 0 };
    fetched.saturating_add(if size < PART_BYTES { size } else { PART_LEAST })
}

/// What the catalog knows of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it was.
    pub fingerprint: Fingerprint,
    /// Its content.
    pub content: Option<ContentHash>,
    /// The file in the vault.
    pub file: Option<FileId>,
    /// How the last run left it.
    pub state: AssetState,
    /// Why, for people.
    pub reason: Option<String>,
    /// When the server last read the file back and found it whole, µs since the epoch.
    pub receipt: Option<i64>,
    /// Whether its video is in the vault too. Nobody asks that of what is no Live Photo.
    pub is_whole: bool,
    /// When this content was first seen here, µs since the epoch.
    pub first_seen: i64,
    /// When a run last dealt with it, µs since the epoch.
    pub last_seen: i64,
    /// Of what was left alone, when its owner deleted from the vault what it goes by, a half of it or the file that it was, µs since the epoch. None
    /// once that is no longer so.
    pub deleted: Option<i64>,
    /// Of what is not worth trying in every run, since when it fails as it is.
    pub failing: Option<Failing>,
}

/// A device album as its owner set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenAlbum {
    /// Its name, for people.
    pub name: String,
    /// What was chosen.
    pub choice: AlbumChoice,
}

/// All that the rules may look at, beside the asset.
#[derive(Clone, Debug)]
pub struct World {
    /// The choices of the owner. Albums that are not here have none; one that vanished keeps its own.
    pub albums: BTreeMap<DeviceAlbumKey, ChosenAlbum>,
    /// What the catalog knows.
    pub known: HashMap<AssetId, Known>,
    /// Since when what no run has dealt with as it is waits for that, µs since the epoch: since the library first told of it, or that it was edited.
    pub waiting: HashMap<AssetId, i64>,
    /// Files that are no longer what this device has of them: deleted by their owner, or edited elsewhere.
    pub displaced: BTreeSet<FileId>,
    /// Contents of which the vault has no live file because their owner deleted it, and when, µs since the epoch.
    pub deleted_contents: HashMap<ContentHash, i64>,
    /// Which files are, or ever were, in the collection of which device album.
    pub placed: HashMap<DeviceAlbumKey, HashSet<FileId>>,
    /// Whether server albums mirror the device's, in this run at least.
    pub mirror: bool,
    /// What the owner allows.
    pub permissions: Permissions,
    /// What the device allows.
    pub conditions: Conditions,
    /// Why the run began.
    pub trigger: Trigger,
    /// Whether large originals go up in parts that can go on another time.
    pub resumable: bool,
    /// Whether the last run could not reach the server. The next tries all the same.
    pub is_server_away: bool,
    /// Bytes that there is room for in the cache of copies.
    pub cache_room: u64,
    /// When the last run began that got to its end, µs since the epoch.
    pub last_completed: i64,
    /// Bytes a second that the line carried last in this run; none where nothing was measured.
    pub rate: Option<u64>,
    /// How many turns this library's pictures have had in all runs.
    pub turns: u64,
    /// The present, µs since the epoch.
    pub now: i64,
}

impl World {
    /// In the background photos go before videos, if the owner did not say otherwise.
    pub fn photos_go_first(&self) -> bool {
        self.conditions.app == App::Background && self.permissions.photos_first
    }

    /// Whether the owner chose this for any of an asset's albums; the first such album.
    fn chosen(&self, asset: &DeviceAsset, choice: AlbumChoice) -> Option<(&DeviceAlbumKey, &ChosenAlbum)> {
        let albums = asset.albums.iter().filter_map(|key| self.albums.get_key_value(key));
        albums.into_iter().find(|(_, album)| album.choice == choice)
    }

    /// The selected albums of an asset, in their order.
    pub fn selected<'w>(&'w self, asset: &'w DeviceAsset) -> impl Iterator<Item = &'w DeviceAlbumKey> {
        let is_selected = |key: &&DeviceAlbumKey| {
            self.albums.get(key).is_some_and(|album| album.choice == AlbumChoice::Selected)
        };
        asset.albums.iter().filter(is_selected)
    }

    /// The albums that a file of the vault is still to be put into: selected ones that it never was in.
    fn missing_albums(&self, asset: &DeviceAsset, file: FileId) -> Vec<DeviceAlbumKey> {
        if !self.mirror {
            return Vec::new();
        }
        let was_in = |key: &DeviceAlbumKey| self.placed.get(key).is_some_and(|files| files.contains(&file));
        self.selected(asset).filter(|key| !was_in(key)).cloned().collect()
    }
}

/// One asset with what is known of it.
#[derive(Clone, Copy)]
struct Case<'w> {
    asset: &'w DeviceAsset,
    known: Option<&'w Known>,
    world: &'w World,
}

/// What is done with an asset that no rule holds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// It was never seen.
    New,
    /// It is not what it was.
    Changed,
    /// Its video has arrived.
    Complete,
    /// The last attempt did not work.
    Retry,
    /// Its content is known, and need not be read to know what the vault has of it.
    Recheck(ContentHash),
    /// It is in the vault, and goes into these albums too.
    Place(FileId, Vec<DeviceAlbumKey>),
}

/// What is done with an asset, or why nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is done.
    Do(Work),
    /// Nothing is.
    Rest(Explanation),
}

/// A rule: what it has to say, if anything.
type Rule = fn(Case<'_>) -> Option<Explanation>;

/// All rules in the order in which they are asked: the owner's choices, what is true already, then what the moment does not allow.
const RULES: [Rule; 18] = [
    excluded,
    not_selected,
    not_media,
    deleted_from_the_vault,
    backed_up,
    has_its_pause,
    |case| waiting(app_cannot_run(&case.world.conditions)),
    |case| waiting(no_network(&case.world.conditions)),
    |case| waiting(roaming(&case.world.conditions, &case.world.permissions)),
    |case| waiting(metered(case.asset.kind, &case.world.conditions, &case.world.permissions)),
    |case| waiting(not_charging(&case.world.conditions, &case.world.permissions)),
    |case| waiting(power_saver(&case.world.conditions, &case.world.permissions, case.world.trigger)),
    too_young,
    motion_awaited,
    original_in_the_cloud,
    no_room_in_the_cache,
    |case| {
        let World { conditions, permissions, resumable, now, .. } = case.world;
        waiting(video_in_a_grant(case.asset.kind, conditions, permissions, *resumable, case.takes(), *now))
    },
    |case| waiting(grant_over(&case.world.conditions, case.takes(), case.world.now)),
];

/// Decides about one asset.
pub fn judge(asset: &DeviceAsset, world: &World) -> Verdict {
    let case = Case { asset, known: world.known.get(&asset.id), world };
    match RULES.iter().find_map(|rule| rule(case)) {
        Some(explanation) => Verdict::Rest(explanation),
        None => Verdict::Do(work(case)),
    }
}

/// Why an asset is where it is, for its owner. What is about to be done waits for its turn, or is blocked by what the last attempt met.
pub fn explain(asset: &DeviceAsset, world: &World) -> Explanation {
    match judge(asset, world) {
        Verdict::Rest(explanation) => explanation,
        Verdict::Do(Work::Retry) => match world.known.get(&asset.id) {
            Some(Known { state: AssetState::NoRoom, .. }) => Explanation::Waiting(Wait::Storage),
            Some(Known { reason: Some(reason), .. }) => blocked(reason, None),
            _ => its_turn(world),
        },
        Verdict::Do(_) => its_turn(world),
    }
}

fn blocked(reason: &str, until: Option<i64>) -> Explanation {
    Explanation::Blocked { reason: reason.to_owned(), until }
}

fn its_turn(world: &World) -> Explanation {
    Explanation::Waiting(if world.is_server_away { Wait::Server } else { Wait::Turn })
}

/// Whether a part of an asset of this kind may be sent at this moment; asked before every part. `takes` is how long the part takes on the
/// line as it was measured last, µs; none where nothing was.
pub fn may_send(
    kind: AssetKind,
    conditions: &Conditions,
    permissions: &Permissions,
    trigger: Trigger,
    resumable: bool,
    takes: Option<i64>,
    now: i64,
) -> Result<(), Wait> {
    let held = app_cannot_run(conditions)
        .or_else(|| no_network(conditions))
        .or_else(|| roaming(conditions, permissions))
        .or_else(|| metered(kind, conditions, permissions))
        .or_else(|| not_charging(conditions, permissions))
        .or_else(|| power_saver(conditions, permissions, trigger))
        .or_else(|| video_in_a_grant(kind, conditions, permissions, resumable, takes, now))
        .or_else(|| grant_over(conditions, takes, now));
    held.map_or(Ok(()), Err)
}

/// Whether the bytes of an asset may be read at this moment; asked right before that.
pub fn may_read(
    asset: &DeviceAsset,
    conditions: &Conditions,
    permissions: &Permissions,
    cache_room: u64,
) -> Result<(), Wait> {
    let held = cloud(asset, conditions, permissions).or_else(|| cramped(asset, cache_room));
    held.map_or(Ok(()), Err)
}

/// What a run does with a library: every asset exactly once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePlan {
    /// What is done, in this order.
    pub work: Vec<(DeviceAsset, Work)>,
    /// What is not, and why.
    pub rest: Vec<(AssetId, Explanation)>,
}

/// Plans a run over a library.
pub fn plan(assets: Vec<DeviceAsset>, world: &World) -> DevicePlan {
    let mut plan = DevicePlan::default();
    for asset in assets {
        match judge(&asset, world) {
            Verdict::Do(work) => plan.work.push((asset, work)),
            Verdict::Rest(explanation) => plan.rest.push((asset.id, explanation)),
        }
    }
    order::arrange(&mut plan.work, world);
    plan
}

fn waiting(wait: Option<Wait>) -> Option<Explanation> {
    wait.map(Explanation::Waiting)
}

// The owner's choices.

fn excluded(case: Case<'_>) -> Option<Explanation> {
    let (_, album) = case.world.chosen(case.asset, AlbumChoice::Excluded)?;
    Some(case.left_alone(Skip::Excluded(album.name.clone())))
}

fn not_selected(case: Case<'_>) -> Option<Explanation> {
    let selected = case.world.chosen(case.asset, AlbumChoice::Selected);
    selected.is_none().then(|| case.left_alone(Skip::NotSelected))
}

// What is true already.

impl Case<'_> {
    /// What is known of it, if it is what it was.
    fn as_known(&self) -> Option<&Known> {
        self.known.filter(|known| known.fingerprint == self.asset.fingerprint)
    }

    /// The file of the vault that it is as it is.
    fn in_vault(&self) -> Option<(FileId, &Known)> {
        let known = self.as_known().filter(|known| known.state == AssetState::BackedUp)?;
        let file = known.file.filter(|file| !self.world.displaced.contains(file))?;
        Some((file, known))
    }

    /// What is in the vault stays there, and is safe, whatever its owner chooses later.
    fn left_alone(&self, skip: Skip) -> Explanation {
        match self.in_vault() {
            Some((file, known)) => Explanation::Kept { file, at: known.last_seen, skip },
            None => Explanation::Skipped(skip),
        }
    }

    /// Whether its video is there to be sent, and was not.
    fn can_be_completed(&self) -> bool {
        self.as_known().is_some_and(|known| !known.is_whole) && self.asset.motion == Motion::Here
    }
}

fn not_media(case: Case<'_>) -> Option<Explanation> {
    let known = case.as_known().filter(|known| known.state == AssetState::NotMedia)?;
    let reason = known.reason.clone().unwrap_or_else(|| "it is neither a picture nor a video".to_owned());
    Some(Explanation::Skipped(Skip::NotMedia(reason)))
}

/// It was here before the deletion. One that was first seen after it was brought back by its owner. What a run left alone, because what it goes by was
/// deleted, is left alone for as long as that is so.
fn deleted_from_the_vault(case: Case<'_>) -> Option<Explanation> {
    let known = case.as_known()?;
    if let Some(at) = known.deleted.filter(|_| known.state == AssetState::Skipped) {
        return Some(Explanation::Skipped(Skip::Deleted(at)));
    }
    let at = *case.world.deleted_contents.get(&known.content?)?;
    (known.first_seen <= at).then_some(Explanation::Skipped(Skip::Deleted(at)))
}

fn backed_up(case: Case<'_>) -> Option<Explanation> {
    let (file, known) = case.in_vault()?;
    let is_placed = case.world.missing_albums(case.asset, file).is_empty();
    let is_whole = known.is_whole || case.asset.kind != AssetKind::LivePhoto;
    (is_placed && !case.can_be_completed()).then_some(Explanation::BackedUp {
        file,
        at: known.last_seen,
        receipt: known.receipt,
        is_whole,
    })
}

/// It failed as it is and would again. Its owner's word ends the pause, and so does a video that it waited for.
fn has_its_pause(case: Case<'_>) -> Option<Explanation> {
    let known = case.as_known().filter(|known| known.state == AssetState::Blocked)?;
    let is_tried = case.world.trigger == Trigger::Asked || case.can_be_completed();
    let until = paused_until(known.failing?, case.world.now).filter(|_| !is_tried)?;
    Some(blocked(known.reason.as_deref().unwrap_or("no reason was kept"), Some(until)))
}

// What the moment does not allow.

fn app_cannot_run(conditions: &Conditions) -> Option<Wait> {
    match conditions.can_run {
        CanRun::Ok => None,
        CanRun::AppKilled => Some(Wait::AppOpened),
        CanRun::PrivateSpaceLocked => Some(Wait::PrivateSpace),
        CanRun::BatteryOptimised => Some(Wait::BatteryExemption),
    }
}

fn no_network(conditions: &Conditions) -> Option<Wait> {
    (conditions.network == Network::None).then_some(Wait::Network)
}

fn roaming(conditions: &Conditions, permissions: &Permissions) -> Option<Wait> {
    (conditions.network == Network::Roaming && !permissions.while_roaming).then_some(Wait::Home)
}

/// Abroad, too, it is metered: leave to roam is no leave to use mobile data.
fn metered(kind: AssetKind, conditions: &Conditions, permissions: &Permissions) -> Option<Wait> {
    let costs = matches!(conditions.network, Network::Metered | Network::Roaming);
    (costs && !permissions.on_metered(kind)).then_some(Wait::Unmetered(kind))
}

fn not_charging(conditions: &Conditions, permissions: &Permissions) -> Option<Wait> {
    let is_background = conditions.app == App::Background;
    (permissions.only_while_charging && is_background && !conditions.charging).then_some(Wait::Charger)
}

fn power_saver(conditions: &Conditions, permissions: &Permissions, trigger: Trigger) -> Option<Wait> {
    let is_asked = trigger == Trigger::Asked;
    (conditions.power_saver && permissions.rest_in_power_saver && !is_asked).then_some(Wait::Power)
}

/// A picture that seems to come from the future was taken while the clock was wrong: nobody waits for that.
fn too_young(case: Case<'_>) -> Option<Explanation> {
    let delay = case.world.permissions.delay();
    let age = case.world.now - case.asset.taken;
    (0..delay).contains(&age).then(|| Explanation::Waiting(Wait::Delay(case.asset.taken + delay)))
}

fn motion_awaited(case: Case<'_>) -> Option<Explanation> {
    match case.asset.motion {
        Motion::Promised { until } if until > case.world.now => {
            Some(Explanation::Waiting(Wait::Motion(until)))
        }
        _ => None,
    }
}

fn original_in_the_cloud(case: Case<'_>) -> Option<Explanation> {
    let World { conditions, permissions, .. } = case.world;
    waiting(cloud(case.asset, conditions, permissions).filter(|_| !case.needs_no_bytes()))
}

fn cloud(asset: &DeviceAsset, conditions: &Conditions, permissions: &Permissions) -> Option<Wait> {
    if asset.locality == Locality::Here {
        return None;
    }
    if !permissions.fetch_from_cloud {
        return Some(Wait::FetchLeave);
    }
    let is_dear = conditions.network != Network::Unmetered && !permissions.fetch_on_metered;
    is_dear.then_some(Wait::Fetch)
}

fn no_room_in_the_cache(case: Case<'_>) -> Option<Explanation> {
    waiting(cramped(case.asset, case.world.cache_room).filter(|_| !case.needs_no_bytes()))
}

fn cramped(asset: &DeviceAsset, cache_room: u64) -> Option<Wait> {
    let bytes = asset.copied_bytes();
    let wait = || free_for_copy(bytes).map_or(Wait::Download(bytes), Wait::CacheRoom);
    (bytes > largest_copy(cache_room)).then(wait)
}

/// In the background the system ends the app's time when it likes. A video begins there only if what was sent of it is not lost, and while
/// there is time for a part of it; else it goes on the next time. The same is asked before each further part.
fn video_in_a_grant(
    kind: AssetKind,
    conditions: &Conditions,
    permissions: &Permissions,
    resumable: bool,
    takes: Option<i64>,
    now: i64,
) -> Option<Wait> {
    let Grant::Until(until) = conditions.grant else { return None };
    let is_in_parts =
        kind == AssetKind::Video && conditions.app == App::Background && permissions.videos_only_in_parts;
    match (is_in_parts, resumable) {
        (true, false) => Some(Wait::Foreground),
        (true, true) if now.saturating_add(takes.unwrap_or(PART_TIME)) > until => Some(Wait::Grant),
        _ => None,
    }
}

/// What surely is not done when the grant ends is not begun either: the time for it would be lost.
fn grant_over(conditions: &Conditions, takes: Option<i64>, now: i64) -> Option<Wait> {
    match conditions.grant {
        Grant::Until(until) if now >= until || now.saturating_add(takes.unwrap_or(0)) > until => {
            Some(Wait::Grant)
        }
        _ => None,
    }
}

impl Case<'_> {
    /// How long it takes until something of it is safe, µs; none where nothing was measured.
    fn takes(&self) -> Option<i64> {
        let bytes = if self.needs_no_bytes() { 0 } else { first_bytes(self.asset) };
        self.world.rate.map(|rate| time_for(bytes, rate))
    }

    /// Whether what is to be done can be done without the original.
    fn needs_no_bytes(&self) -> bool {
        matches!(work(*self), Work::Recheck(_) | Work::Place(..))
    }
}

fn work(case: Case<'_>) -> Work {
    let Some(known) = case.known else { return Work::New };
    if known.fingerprint != case.asset.fingerprint {
        return Work::Changed;
    }
    if case.can_be_completed() {
        return Work::Complete;
    }
    let is_displaced = known.file.is_some_and(|file| case.world.displaced.contains(&file));
    match (known.state, known.content, known.file) {
        (AssetState::BackedUp, _, Some(file)) if !is_displaced => {
            Work::Place(file, case.world.missing_albums(case.asset, file))
        }
        (AssetState::BackedUp | AssetState::Skipped | AssetState::Freed, Some(content), _) => {
            Work::Recheck(content)
        }
        _ => Work::Retry,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
