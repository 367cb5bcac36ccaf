//! Settling: when a file that has just arrived may be taken for whole.
//!
//! Two things must hold: nothing has happened to it on *this* disk for a while (its change time tells, which a copy or a
//! synchroniser's rename moves, while both keep the modification time), and its container is complete. A container that
//! never becomes complete is damaged, and somebody's picture all the same: it is waited for once, and then taken as it is.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::catalog::Came;
use darkslide_media::complete::is_complete;
use darkslide_media::file_type::{HEAD_LEN, MediaKind, classify};
use darkslide_media::probe::micros_of;

/// How long a file is left alone after anything happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settling {
    /// Pictures, and what is neither picture nor video.
    pub photos: Duration,
    /// Videos, which are written for longer and with longer pauses.
    pub videos: Duration,
    /// Whatever ends before its container does.
    pub incomplete: Duration,
}

impl Default for Settling {
    fn default() -> Self {
        Self {
            photos: Duration::from_secs(10),
            videos: Duration::from_secs(90),
            incomplete: Duration::from_mins(15),
        }
    }
}

/// Why a file is not taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// It changed a moment ago.
    #[error("it arrived or changed a moment ago")]
    Fresh,
    /// Its container goes on behind its last byte.
    #[error("it is not complete: its last part is missing so far")]
    Incomplete,
}

/// Until when a file is waited for if nothing happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When to look again.
    pub until: SystemTime,
    /// Why.
    pub reason: Unsettled,
}

/// Decides for a file that last changed on this disk at `changed`; none when it has settled. `is_complete` is asked only where
/// its answer matters, for it reads.
pub fn wait<E>(
    settling: Settling,
    kind: MediaKind,
    changed: SystemTime,
    now: SystemTime,
    is_complete: impl FnOnce() -> Result<bool, E>,
) -> Result<Option<Wait>, E> {
    let quiet = match kind {
        MediaKind::Image => settling.photos,
        MediaKind::Video => settling.videos,
    };
    let wait = |duration, reason| Some(Wait { until: changed + duration, reason });
    let age = match now.duration_since(changed) {
        Ok(age) => age,
        // From the future, as far as the clock may jump: fresh. From further on, the clock was wrong then, or is now.
        Err(ahead) if ahead.duration() <= quiet => Duration::ZERO,
        Err(_) => Duration::MAX,
    };
    if age < quiet {
        return Ok(wait(quiet, Unsettled::Fresh));
    }
    if age >= settling.incomplete || is_complete()? {
        return Ok(None);
    }
    Ok(wait(settling.incomplete, Unsettled::Incomplete))
}

/// The same for a file on disk. What is neither picture nor video settles like a picture.
pub fn look(path: &Path, settling: Settling, now: SystemTime) -> io::Result<Option<Wait>> {
    let mut file = File::open(path)?;
    let mut head = Vec::with_capacity(HEAD_LEN);
    (&mut file).take(HEAD_LEN as u64).read_to_end(&mut head)?;
    let media = classify(path.file_name().unwrap_or_default(), &head).media();
    let kind = media.map_or(MediaKind::Image, |media| media.kind);
    let changed = changed_on_this_disk(&file.metadata()?);
    wait(settling, kind, changed, now, || {
        media.map_or(Ok(true), |media| is_complete(media.format, &mut file))
    })
}

/// The change time: nobody can set it to a time of before.
#[cfg(unix)]
pub(crate) fn changed_on_this_disk(metadata: &Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt as _;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// The later of the times that there are: a copy is created now, and what is written to is modified now.
#[cfg(not(unix))]
pub(crate) fn changed_on_this_disk(metadata: &Metadata) -> SystemTime {
    [metadata.created(), metadata.modified()].into_iter().flatten().max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// How far the clock of a file system may be behind, in µs: it ticks a hundred times a second at least.
pub(crate) const COARSE: i64 = 20_000;

/// Since when a file lies on this disk as it is, µs since the epoch; none where that cannot be told, or is said to be in the future.
pub(crate) fn arrived(path: &Path, now: i64) -> Option<i64> {
    let changed = micros_of(changed_on_this_disk(&path.metadata().ok()?)).saturating_add(COARSE);
    (changed <= now).then_some(changed)
}

/// Since when a file lies where it does, and since when there is such a file at all. Its first time tells, which nothing moves, where the disk
/// keeps one; elsewhere the change time. What is said to be in the future was written while the clock was wrong, or it is now: that tells nothing.
pub(crate) fn came(path: &Path, now: SystemTime) -> Came {
    let Ok(metadata) = path.symlink_metadata() else { return Came::default() };
    let latest = micros_of(now).saturating_add(COARSE);
    let moment = |time| Some(micros_of(time)).filter(|at| *at <= latest).map(|at| at.saturating_add(COARSE));
    let made = metadata.created().ok().and_then(moment);
    Came { here: made.or_else(|| moment(changed_on_this_disk(&metadata))), made }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn files_settle_by_kind_and_container() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let (image, video) = (MediaKind::Image, MediaKind::Video);
        let fresh = |until| Some(Wait { until, reason: Unsettled::Fresh });
        let incomplete = |until| Some(Wait { until, reason: Unsettled::Incomplete });
        for (kind, changed, now, complete, expected) in [
            (image, 0, 0, true, fresh(at(10))),
            (image, 0, 9, true, fresh(at(10))),
            (image, 0, 10, true, None),
            (image, 0, 10, false, incomplete(at(900))),
            (image, 0, 899, false, incomplete(at(900))),
            (image, 0, 900, false, None),
            (video, 0, 10, true, fresh(at(90))),
            (video, 0, 90, true, None),
            (video, 0, 90, false, incomplete(at(900))),
            // A clock that was set back a little, and one that was far off.
            (image, 5, 0, true, fresh(at(15))),
            (image, 5000, 0, true, None),
            (image, 5000, 0, false, None),
        ] {
            let decided =
                wait(Settling::default(), kind, at(changed), at(now), || Ok::<_, Infallible>(complete));
            assert_eq!(decided, Ok(expected), "{kind:?} changed at {changed}, seen at {now}, {complete}");
        }
    }

    /// Once, a clock that was set back brought back what was deleted from the vault, if it was moved here.
    #[test]
    fn what_was_made_in_the_future_came_nobody_knows_when() {
        let folder = tempfile::tempdir().unwrap();
        let (now, day) = (SystemTime::now(), Duration::from_hours(24));
        let Came { here, .. } = came(folder.path(), now + day);
        assert!(here.is_some_and(|here| here <= micros_of(now) + COARSE), "{here:?}");
        assert_eq!(came(folder.path(), now - day), Came::default());
    }

    #[test]
    fn times_that_were_set_do_not_make_a_file_older() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, b"\x89PNG\r\n\x1a\n").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let now = SystemTime::now();
        let waits = look(&path, Settling::default(), now).unwrap().unwrap();
        assert_eq!(waits.reason, Unsettled::Fresh);
        let later = look(&path, Settling::default(), now + Duration::from_mins(1)).unwrap().unwrap();
        assert_eq!(later.reason, Unsettled::Incomplete);
        assert_eq!(look(&path, Settling::default(), now + Duration::from_hours(1)).unwrap(), None);
    }
}
