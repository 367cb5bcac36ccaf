//! Making the assets of a device's own library readable: where they lie, or as copies in the bounded cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use darkslide_media::dates::{CaptureTime, DateSource};
use tokio::sync::mpsc;

use super::device::Hands;
use super::error::AssetError;
use super::identify::{Asset, Component, IdentifyError, InLibrary, Surroundings, look_at};
use super::rules::conditions::free_for_copy;
use super::rules::explanation::Wait;
use super::run::Run;
use super::temporary::{TakenRoom, TemporaryCopy, key_of};
use crate::library::device::{DeviceAsset, Locality, Motion};
use crate::library::{DeviceAlbum, LibraryError, Part, path_of};

/// Copies of an asset's parts that are there already.
pub(super) type KeptCopies = Vec<(Part, TemporaryCopy)>;

impl Hands<'_> {
    /// Makes an asset readable: as it lies on the device, or as a copy that is fetched once and read as often as need be.
    pub(super) async fn open(
        self,
        asset: &DeviceAsset,
        mut kept: KeptCopies,
        album: DeviceAlbum,
        busy: mpsc::Sender<()>,
    ) -> Result<Asset, AssetError> {
        let mut copies = Vec::new();
        let parts = if asset.motion == Motion::Here { 2 } else { 1 };
        let bytes = if kept.len() == parts { 0 } else { asset.copied_bytes() };
        // For both halves at once: whoever waited for the second with the first in hand might wait for ever.
        let room = match bytes {
            0 => self.room(asset, 0).await?,
            bytes => self.room_beside(asset, &mut kept, bytes).await?,
        };
        let opened = self.open_parts(asset, kept, &room, &mut copies).await;
        let (main, motion) = opened.inspect_err(|_| self.put_back(&mut copies))?;
        let (run, name, taken) = (Arc::clone(self.run), asset.name.clone(), asset.taken);
        let looking = tokio::task::spawn_blocking(move || {
            let (main, mut probe) = look(&run, &main, &name)?;
            if probe.captured.source == DateSource::FileModified {
                probe.captured = CaptureTime { micros: taken, ..probe.captured };
            }
            let motion = motion.map(|path| look(&run, &path, &video_name(&name))).transpose()?;
            Ok::<_, IdentifyError>((main, motion.map(|(motion, _)| motion), probe))
        });
        let looked = looking.await.expect("looking at a file does not panic");
        let (main, motion, probe) = looked.inspect_err(|_| copies.iter().for_each(TemporaryCopy::let_go))?;
        // Should the run end before it is sent, it is not fetched again.
        copies.iter().for_each(TemporaryCopy::keep_on);
        let known = InLibrary {
            library: path_of(self.library.id()),
            id: path_of(&asset.id.0),
            fingerprint: asset.fingerprint,
            kind: asset.kind,
            is_place: self.library.ids_are_places(),
            copies,
            busy,
        };
        let root = main.path.parent().unwrap_or(Path::new("")).into();
        let library = Some(Arc::new(known));
        Ok(Asset {
            root,
            main,
            motion,
            probe,
            album,
            is_changed: true,
            library,
            told: None,
            offered: None,
            ticket: None,
        })
    }

    /// Both halves of a Live Photo, or the one part of anything else.
    async fn open_parts(
        self,
        asset: &DeviceAsset,
        mut kept: KeptCopies,
        room: &TakenRoom,
        copies: &mut Vec<TemporaryCopy>,
    ) -> Result<(PathBuf, Option<PathBuf>), AssetError> {
        let mut with_kept = |part| (part, kept.extract_if(.., |(other, _)| *other == part).next());
        let (main, motion) = (with_kept(Part::Main), with_kept(Part::Motion));
        let main = match self.open_part(asset, main, room, copies).await {
            Ok(main) => main,
            Err(error) => {
                copies.extend(motion.1.map(|(_, copy)| copy));
                return Err(error);
            }
        };
        let motion = match asset.motion {
            Motion::Here => Some(self.open_part(asset, motion, room, copies).await?),
            Motion::None | Motion::Promised { .. } => None,
        };
        Ok((main, motion))
    }

    /// The half that could be had is not fetched again as long as nobody else needs its room.
    fn put_back(self, copies: &mut Vec<TemporaryCopy>) {
        for copy in copies.drain(..) {
            self.cache.put_half_back(copy);
        }
    }

    /// The copies that an earlier run fetched and did not send.
    pub(super) fn kept(self, asset: &DeviceAsset) -> KeptCopies {
        let kept = |part| Some((part, self.cache.take(&key_of(self.library.id(), asset, part))?));
        [Part::Main, Part::Motion].into_iter().filter_map(kept).collect()
    }

    /// Room in the cache for copies of so many bytes.
    async fn room(self, asset: &DeviceAsset, bytes: u64) -> Result<TakenRoom, AssetError> {
        self.room_beside(asset, &mut Vec::new(), bytes).await
    }

    /// The same where some of them are kept. They may be let go of.
    async fn room_beside(
        self,
        asset: &DeviceAsset,
        kept: &mut KeptCopies,
        bytes: u64,
    ) -> Result<TakenRoom, AssetError> {
        let room = tokio::select! {
            () = self.run.halt.cancelled() => return Err(AssetError::Stopped),
            room = self.cache.room_beside(kept, bytes, asset.kind) => room,
        };
        room.ok_or_else(|| {
            AssetError::Held(free_for_copy(bytes).map_or(Wait::Download(bytes), Wait::CacheRoom))
        })
    }

    async fn open_part(
        self,
        asset: &DeviceAsset,
        (part, kept): (Part, Option<(Part, TemporaryCopy)>),
        room: &TakenRoom,
        copies: &mut Vec<TemporaryCopy>,
    ) -> Result<PathBuf, AssetError> {
        if let Some((_, copy)) = kept {
            let path = copy.path().to_owned();
            copies.push(copy);
            return Ok(path);
        }
        let name = match part {
            Part::Main => asset.name.clone(),
            Part::Motion => video_name(&asset.name),
        };
        let mut copy = self.cache.place(&name, room).map_err(LibraryError::Read)?;
        let opened = tokio::select! {
            () = self.run.halt.cancelled() => return Err(AssetError::Stopped),
            opened = self.library.open(&asset.id, part, copy.path()) => opened?,
        };
        let Some(path) = opened else {
            let path = copy.path().to_owned();
            if asset.copied_bytes() == 0 {
                // It was exported all the same: nothing more is copied before there is room for that.
                let bytes = path.metadata().map_err(LibraryError::Read)?.len();
                copy.keep(self.room(asset, bytes).await?);
            }
            keep_time(&path, asset.fingerprint.modified_ns).map_err(LibraryError::Read)?;
            if asset.locality == Locality::Cloud && is_on_disk(path.clone()).await {
                copy.may_stay_as(self.cache.place_of(&key_of(self.library.id(), asset, part)));
            }
            copies.push(copy);
            return Ok(path);
        };
        Ok(path)
    }
}

/// The keys of what an asset is read by.
pub(super) fn keys_of(library: &[u8], asset: &DeviceAsset) -> impl Iterator<Item = String> {
    let parts = [Some(Part::Main), (asset.motion == Motion::Here).then_some(Part::Motion)];
    parts.into_iter().flatten().map(|part| key_of(library, asset, part))
}

/// Originals of which there are copies already are as good as here.
pub(super) fn as_kept(library: &[u8], asset: DeviceAsset, is_kept: impl Fn(&String) -> bool) -> DeviceAsset {
    let is_here = asset.locality == Locality::Here || keys_of(library, &asset).all(|key| is_kept(&key));
    DeviceAsset { locality: if is_here { Locality::Here } else { Locality::Cloud }, ..asset }
}

/// Whether a file is on the disk as a whole, also after the power goes.
async fn is_on_disk(path: PathBuf) -> bool {
    let flushing = tokio::task::spawn_blocking(move || std::fs::File::open(path)?.sync_all());
    flushing.await.expect("flushing a file does not panic").is_ok()
}

/// A copy tells when the original was modified, not when it was copied.
fn keep_time(path: &Path, modified_ns: i64) -> std::io::Result<()> {
    let Ok(nanos) = u64::try_from(modified_ns) else { return Ok(()) };
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanos);
    std::fs::File::options().write(true).open(path)?.set_modified(time)
}

fn video_name(still: &str) -> String {
    Path::new(still).with_extension("MOV").to_string_lossy().into_owned()
}

fn look(
    run: &Run,
    path: &Path,
    name: &str,
) -> Result<(Component, darkslide_media::probe::Probe), IdentifyError> {
    let root: Arc<Path> = path.parent().unwrap_or(Path::new("")).into();
    let around = Surroundings { root: &root, zone: &*run.settings.zone, now: run.now };
    let file = PathBuf::from(path.file_name().unwrap_or_default());
    let (component, probe) = look_at(around, &file)?;
    Ok((Component { relative: PathBuf::from(name), ..component }, probe))
}
