//! What lies in a device's library, without being told all of it each time.
//!
//! A library tells what changed since it was last asked; the catalog keeps what it told before, so that what waits is planned again though
//! nothing happened to it. Everything is listed at first, when the library no longer knows what it told, and every so often.

use std::collections::HashMap;

use super::error::{AssetError, BackupError};
use crate::catalog::{Catalog, LibraryToken};
use crate::library::device::{AssetId, DeviceAsset};
use crate::library::{Library, LibraryChanges};

/// How long a library is taken at its word; then it lists everything once more, µs.
const WORD_VALID: i64 = 7 * 24 * 3_600_000_000;

/// How thoroughly a library is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thoroughness {
    /// Everything is listed when it is time for that.
    Usual,
    /// Time is short: what changed, if it can tell that.
    OnlyChanges,
}

/// What lies in a library now, and what it told for that.
pub(super) struct Listing {
    pub(super) assets: Vec<DeviceAsset>,
    pub(super) told: LibraryChanges,
}

/// Asks a library. Records nothing: whoever plans by the listing does ([`Catalog::record_library`]).
pub(super) async fn list(
    catalog: &Catalog,
    library: &dyn Library,
    thoroughness: Thoroughness,
    now: i64,
) -> Result<Listing, BackupError> {
    let known = catalog.library_token(library.id()).await?;
    let since = known.filter(|known| thoroughness == Thoroughness::OnlyChanges || is_fresh(known, now));
    let told = library.changes(since.as_ref().map(|known| known.token.as_slice())).await;
    let told = told.map_err(|error| BackupError::Asset(AssetError::Library(error)))?;
    let before = if told.is_everything { Vec::new() } else { catalog.library_assets(library.id()).await? };
    Ok(Listing { assets: after(before, &told), told })
}

/// A clock that was set back has nothing to say of how long ago that was.
fn is_fresh(known: &LibraryToken, now: i64) -> bool {
    (0..WORD_VALID).contains(&now.saturating_sub(known.listed))
}

fn after(before: Vec<DeviceAsset>, told: &LibraryChanges) -> Vec<DeviceAsset> {
    let mut assets: HashMap<AssetId, DeviceAsset> =
        before.into_iter().map(|asset| (asset.id.clone(), asset)).collect();
    for id in &told.gone {
        assets.remove(id);
    }
    assets.extend(told.changed.iter().map(|asset| (asset.id.clone(), asset.clone())));
    assets.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AssetRow, AssetState, DeviceAlbumKey, Fingerprint};
    use crate::library::device::{AssetKind, Locality, Motion};
    use std::collections::BTreeSet;

    const DAY: i64 = 24 * 3_600_000_000;

    fn asset(id: &str, kind: AssetKind, motion: Motion) -> DeviceAsset {
        DeviceAsset {
            id: AssetId::new(id),
            name: format!("{id}.jpg"),
            kind,
            fingerprint: Fingerprint { size: 5, modified_ns: -7, inode: u64::MAX },
            taken: -1,
            albums: [b"Camera".to_vec(), b"\xff\x00".to_vec()]
                .map(|folder| DeviceAlbumKey { root: b"phone".to_vec(), folder })
                .into(),
            favourite: kind == AssetKind::Video,
            locality: if kind == AssetKind::Photo { Locality::Cloud } else { Locality::Here },
            motion,
        }
    }

    fn told(changed: &[DeviceAsset], gone: &[&str], is_everything: bool, token: &str) -> LibraryChanges {
        let gone = gone.iter().map(|id| AssetId::new(id)).collect();
        LibraryChanges { changed: changed.to_vec(), gone, is_everything, token: token.as_bytes().to_vec() }
    }

    /// What waits for its turn does so since it was told of for the first time, or edited, however often that happens.
    #[tokio::test]
    async fn what_no_run_has_dealt_with_waits_since_it_was_told_of_first() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let tell = async |assets: &[DeviceAsset], now| {
            catalog.record_library(b"phone", &told(assets, &[], true, "1"), 0, now).await.unwrap();
            let mut waiting: Vec<_> = catalog.waiting_assets(b"phone").await.unwrap().into_iter().collect();
            waiting.sort();
            let text = |(id, since): (AssetId, i64)| format!("{} {since}", String::from_utf8(id.0).unwrap());
            waiting.into_iter().map(text).collect::<Vec<_>>().join(", ")
        };
        let deal_with = async |asset: &DeviceAsset| {
            let row = AssetRow {
                root: b"phone".to_vec(),
                path: asset.id.0.clone(),
                fingerprint: asset.fingerprint,
                motion: None,
                album: DeviceAlbumKey { root: b"phone".to_vec(), folder: Vec::new() },
                content_hash: None,
                file: None,
                state: AssetState::NoRoom,
                reason: None,
                first_seen: 11,
                last_seen: 21,
                failing: None,
            };
            catalog.put_asset(&row).await.unwrap();
        };
        let edited = |asset: &DeviceAsset, modified_ns| DeviceAsset {
            fingerprint: Fingerprint { modified_ns, ..asset.fingerprint },
            ..asset.clone()
        };
        let [a, b, c] = ["a", "b", "c"].map(|id| asset(id, AssetKind::Photo, Motion::None));
        assert_eq!(tell(&[a.clone(), b.clone()], 10).await, "a 10, b 10");
        assert_eq!(tell(&[a.clone(), b.clone(), c.clone()], 20).await, "a 10, b 10, c 20");
        deal_with(&b).await;
        assert_eq!(tell(&[edited(&a, 1), b.clone(), c.clone()], 30).await, "a 10, c 20");
        for (now, edit) in [(40, 1), (50, 2), (60, 2), (70, 3)] {
            assert_eq!(tell(&[a.clone(), edited(&b, edit), c.clone()], now).await, "a 10, b 40, c 20");
        }
        deal_with(&edited(&b, 3)).await;
        assert_eq!(tell(&[a.clone(), edited(&b, 3), c.clone()], 80).await, "a 10, c 20");
        assert_eq!(tell(&[a.clone(), edited(&b, 4), c.clone()], 90).await, "a 10, b 90, c 20");
        assert_eq!(catalog.waiting_assets(b"another").await.unwrap(), HashMap::new());
    }

    #[tokio::test]
    async fn what_was_told_is_kept_with_its_token() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let photo = asset("photo", AssetKind::Photo, Motion::None);
        let video = asset("video", AssetKind::Video, Motion::None);
        let live = asset("live", AssetKind::LivePhoto, Motion::Promised { until: 9 });
        let whole = DeviceAsset { motion: Motion::Here, albums: BTreeSet::new(), ..live.clone() };
        let token = |token: &str, listed| Some(LibraryToken { token: token.into(), listed });
        let all = [photo.clone(), video.clone(), live];
        assert_eq!(catalog.library_token(b"phone").await.unwrap(), None);
        for (told, now, assets, expected) in [
            (told(&all, &[], true, "1"), 10, all.to_vec(), token("1", 10)),
            (
                told(std::slice::from_ref(&whole), &["video"], false, "2"),
                20,
                vec![whole.clone(), photo.clone()],
                token("2", 10),
            ),
            (told(&[], &["never seen"], false, "3"), 30, vec![whole.clone(), photo.clone()], token("3", 10)),
            (told(std::slice::from_ref(&video), &[], true, "4"), 40, vec![video.clone()], token("4", 40)),
            (told(std::slice::from_ref(&photo), &[], true, ""), 50, vec![photo.clone()], None),
        ] {
            let mut planned = after(catalog.library_assets(b"phone").await.unwrap(), &told);
            if told.is_everything {
                planned = after(Vec::new(), &told);
            }
            catalog.record_library(b"phone", &told, now, now + 1).await.unwrap();
            let mut kept = catalog.library_assets(b"phone").await.unwrap();
            for list in [&mut planned, &mut kept] {
                list.sort_by(|one, other| one.id.cmp(&other.id));
            }
            let mut assets = assets;
            assets.sort_by(|one, other| one.id.cmp(&other.id));
            assert_eq!((&planned, &kept), (&assets, &assets), "{told:?}");
            assert_eq!(catalog.library_token(b"phone").await.unwrap(), expected);
        }
        assert_eq!(catalog.library_assets(b"other").await.unwrap(), []);
        catalog.record_locality(b"phone", &photo.id, Locality::Here).await.unwrap();
        let kept = catalog.library_assets(b"phone").await.unwrap();
        assert_eq!(kept, [DeviceAsset { locality: Locality::Here, ..photo }]);
    }

    #[tokio::test]
    async fn what_was_told_once_was_there_since_then_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let photo = asset("photo", AssetKind::Photo, Motion::None);
        let edited = DeviceAsset { taken: 7, ..photo.clone() };
        let video = asset("video", AssetKind::Video, Motion::None);
        for (told, now, expected) in [
            (told(std::slice::from_ref(&photo), &[], true, "1"), 10, (Some(10), None)),
            (told(&[edited.clone(), video.clone()], &[], false, "2"), 20, (Some(10), Some(20))),
            (told(&[video.clone(), edited], &[], true, "3"), 30, (Some(10), Some(20))),
            (told(&[], &["photo"], false, "4"), 40, (None, Some(20))),
            (told(std::slice::from_ref(&photo), &[], false, "5"), 50, (Some(50), Some(20))),
            (told(std::slice::from_ref(&photo), &[], true, "6"), 60, (Some(50), None)),
            (told(&[photo, video], &[], true, "7"), 70, (Some(50), Some(70))),
        ] {
            catalog.record_library(b"phone", &told, 0, now).await.unwrap();
            let photo = catalog.first_listed(b"phone", b"photo").await.unwrap();
            let video = catalog.first_listed(b"phone", b"video").await.unwrap();
            assert_eq!((photo, video), expected, "{now}");
        }
    }

    #[test]
    fn everything_is_listed_once_a_week_and_when_the_clock_is_wrong() {
        let known = LibraryToken { token: Vec::new(), listed: 100 * DAY };
        for (now, expected) in [
            (100 * DAY, true),
            (107 * DAY - 1, true),
            (107 * DAY, false),
            (99 * DAY, false),
            (i64::MIN, false),
        ] {
            assert_eq!(is_fresh(&known, now), expected, "{now}");
        }
    }
}
