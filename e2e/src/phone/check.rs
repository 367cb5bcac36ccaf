//! Whether what a phone explains of its pictures is true of the phone and of the vault. The conditions are said once more here, in other words
//! than the engine's.

use super::Phone;
use super::home::Home;
use super::state::State;
use darkslide_client::backup::rules::conditions::{App, CanRun, Grant, Network};
use darkslide_client::backup::rules::explanation::{Explanation, Skip, Wait};
use darkslide_client::catalog::AssetState;
use darkslide_client::library::device::{AlbumChoice, AssetKind, DeviceAsset, Locality, Motion};

impl Phone {
    /// Compares what every explanation says with what the vault has and with how the phone is; gives how many assets are safe.
    pub async fn check_explanations(&self, home: &Home) -> usize {
        let vault = home.contents().await;
        let chosen = self.catalog.chosen_albums(self.library_id()).await.unwrap();
        let all = self.explanations().await;
        let mut safe = 0;
        for (asset, told) in all {
            let content = self.state().shelf.content_hash(&asset.id, motion_is_sent(&asset, &told));
            let is_there = vault.contains(&content);
            let choices: Vec<AlbumChoice> =
                asset.albums.iter().filter_map(|key| chosen.get(key)).map(|album| album.choice).collect();
            let is_true = match &told {
                Explanation::BackedUp { .. } => {
                    safe += 1;
                    is_there
                }
                Explanation::Kept { skip, .. } => {
                    safe += 1;
                    is_there && leaves_alone(skip, &choices)
                }
                Explanation::Skipped(Skip::Deleted(_)) => !is_there,
                Explanation::Skipped(skip) => leaves_alone(skip, &choices),
                Explanation::Waiting(wait) => {
                    let is_left_alone = self.is_left_alone(&asset).await && !is_there;
                    waits_for(&self.state(), &asset, wait, home.has_quota())
                        && !(is_left_alone && *wait == Wait::Turn)
                }
                // Nothing on a simulated phone is broken but files that are lost.
                Explanation::Blocked { .. } => self.state().shelf.is_lost(&asset.id),
            };
            let conditions = self.state().conditions;
            assert!(is_true, "of {} it is said: {told} (vault: {is_there}; {conditions:?})", asset.name);
            assert!(told.to_string().ends_with('.'), "{told}");
        }
        safe
    }
}

impl Phone {
    /// Whether a run left it alone as it is: then it waits for no other.
    async fn is_left_alone(&self, asset: &DeviceAsset) -> bool {
        let row = self.catalog.asset(self.library_id(), &asset.id.0).await.unwrap();
        row.is_some_and(|row| row.state == AssetState::Skipped && row.fingerprint == asset.fingerprint)
    }
}

/// Whether what its owner chose leaves an asset alone.
fn leaves_alone(skip: &Skip, choices: &[AlbumChoice]) -> bool {
    match skip {
        Skip::NotSelected => !choices.contains(&AlbumChoice::Selected),
        Skip::Excluded(_) => choices.contains(&AlbumChoice::Excluded),
        Skip::NotMedia(_) => true,
        Skip::Deleted(_) => false,
    }
}

/// Whether it is true that an asset waits for this, and for nothing that would have to be told before it.
fn waits_for(state: &State, asset: &DeviceAsset, wait: &Wait, has_quota: bool) -> bool {
    let (now, conditions, allowed) = (state.now, &state.conditions, &state.permissions);
    let is_behind = conditions.app == App::Background;
    let may_use_mobile = match asset.kind {
        AssetKind::Video => allowed.videos_on_metered,
        AssetKind::Photo | AssetKind::LivePhoto => allowed.photos_on_metered,
    };
    let network_forbids = match conditions.network {
        Network::None => true,
        Network::Unmetered => false,
        Network::Metered => !may_use_mobile,
        Network::Roaming => !may_use_mobile || !allowed.while_roaming,
    };
    let needs_charger = is_behind && allowed.only_while_charging && !conditions.charging;
    let saves_power = conditions.power_saver && allowed.rest_in_power_saver;
    let is_in_cloud = asset.locality == Locality::Cloud;
    let left = match conditions.grant {
        Grant::Unlimited => i64::MAX,
        Grant::Until(until) => until - now,
    };
    let nothing_forbids =
        conditions.can_run == CanRun::Ok && !network_forbids && !needs_charger && !saves_power;
    match wait {
        Wait::Turn => {
            let may_fetch = allowed.fetch_from_cloud
                && (conditions.network == Network::Unmetered || allowed.fetch_on_metered);
            nothing_forbids && left > 0 && (may_fetch || !is_in_cloud) && state.server_answered
        }
        Wait::Server => nothing_forbids && !state.server_answered,
        Wait::Storage => nothing_forbids && has_quota,
        Wait::Network => conditions.network == Network::None,
        Wait::Home => conditions.network == Network::Roaming && !allowed.while_roaming,
        Wait::Unmetered(kind) => {
            let is_mobile = matches!(conditions.network, Network::Metered | Network::Roaming);
            *kind == asset.kind && is_mobile && !may_use_mobile
        }
        Wait::Charger => !network_forbids && needs_charger,
        Wait::Power => !network_forbids && saves_power,
        Wait::Delay(until) => {
            let delay = i64::from(allowed.delay_after_capture) * super::SECOND;
            nothing_forbids && *until == asset.taken + delay && (asset.taken..*until).contains(&now)
        }
        Wait::Motion(until) => {
            nothing_forbids && asset.motion == Motion::Promised { until: *until } && now < *until
        }
        Wait::Fetch => is_in_cloud && conditions.network != Network::Unmetered && !allowed.fetch_on_metered,
        Wait::FetchLeave => is_in_cloud && !allowed.fetch_from_cloud,
        Wait::CacheRoom(needed) => conditions.free_bytes.is_some_and(|free| free < *needed),
        Wait::Download(bytes) => is_in_cloud && asset.fingerprint.size == *bytes,
        // The server of these tests takes parts.
        Wait::Foreground => false,
        Wait::Grant => {
            let is_video_in_parts =
                asset.kind == AssetKind::Video && is_behind && allowed.videos_only_in_parts;
            nothing_forbids && (left <= 0 || is_video_in_parts && left < 3 * super::SECOND)
        }
        Wait::AppOpened => conditions.can_run == CanRun::AppKilled,
        Wait::PrivateSpace => conditions.can_run == CanRun::PrivateSpaceLocked,
        Wait::BatteryExemption => conditions.can_run == CanRun::BatteryOptimised,
    }
}

/// Whether the video of a Live Photo is in the vault too, as an explanation has it.
fn motion_is_sent(asset: &DeviceAsset, told: &Explanation) -> bool {
    let is_whole = !matches!(told, Explanation::BackedUp { is_whole: false, .. });
    asset.kind == AssetKind::LivePhoto && is_whole && asset.motion == Motion::Here
}
