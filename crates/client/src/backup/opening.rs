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
use super::temporary::{TakenRoom, TemporaryCopy};
use crate::library::device::{DeviceAsset, Motion};
use crate::library::{DeviceAlbum, LibraryError, Part, path_of};

impl Hands<'_> {
    /// Makes an asset readable: as it lies on the device, or as a copy that is fetched once and read as often as need be.
    pub(super) async fn open(
        self,
        asset: &DeviceAsset,
        album: DeviceAlbum,
        busy: mpsc::Sender<()>,
    ) -> Result<Asset, AssetError> {
        let mut copies = Vec::new();
        // For both halves at once: whoever waited for the second with the first in hand might wait for ever.
        let room = self.room(asset, asset.copied_bytes()).await?;
        let main = self.open_part(asset, Part::Main, &room, &mut copies).await?;
        let motion = match asset.motion {
            Motion::Here => Some(self.open_part(asset, Part::Motion, &room, &mut copies).await?),
            Motion::None | Motion::Promised { .. } => None,
        };
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
        let (main, motion, probe) = looked?;
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
        Ok(Asset { root, main, motion, probe, album, is_changed: true, library, told: None, offered: None })
    }

    /// Room in the cache for copies of so many bytes.
    async fn room(self, asset: &DeviceAsset, bytes: u64) -> Result<TakenRoom, AssetError> {
        let room = tokio::select! {
            () = self.run.halt.cancelled() => return Err(AssetError::Stopped),
            room = self.cache.room(bytes, asset.kind) => room,
        };
        room.ok_or_else(|| {
            AssetError::Held(free_for_copy(bytes).map_or(Wait::Download(bytes), Wait::CacheRoom))
        })
    }

    async fn open_part(
        self,
        asset: &DeviceAsset,
        part: Part,
        room: &TakenRoom,
        copies: &mut Vec<TemporaryCopy>,
    ) -> Result<PathBuf, AssetError> {
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
            copies.push(copy);
            return Ok(path);
        };
        Ok(path)
    }
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
