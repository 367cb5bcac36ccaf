//! Making the bytes of several files durable at once.
//!
//! Flushing file by file waits for the disk's journal as often as there are files. Linux can flush a whole file system in one go, which for a
//! group of files is the same promise for a fraction of the time. It is used where that promise is kept: on file systems of this machine's own
//! disks, and on kernels that tell of failed writes (syncfs(2): 5.8).

use std::fs::File;
use std::io;

/// Fewer are flushed one by one: what else lies unwritten on the disk would have to be waited for.
#[cfg(target_os = "linux")]
const TOGETHER_MIN: usize = 4;

/// Flushes all of them.
pub(super) fn together(files: &[&File]) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if files.len() >= TOGETHER_MIN
        && let Some(whole) = file_systems(files)?
    {
        return whole.into_iter().try_for_each(|file| Ok(rustix::fs::syncfs(file)?));
    }
    files.iter().try_for_each(|file| file.sync_all())
}

/// One file of each file system that they lie on; none if one of these is not to be flushed as a whole.
#[cfg(target_os = "linux")]
fn file_systems<'f>(files: &[&'f File]) -> io::Result<Option<Vec<&'f File>>> {
    use std::os::unix::fs::MetadataExt as _;
    static TELLS: std::sync::LazyLock<bool> = std::sync::LazyLock::new(tells_of_failed_writes);
    if !*TELLS {
        return Ok(None);
    }
    let mut seen: Vec<(u64, &File)> = Vec::new();
    for &file in files {
        let device = file.metadata()?.dev();
        if seen.iter().any(|(known, _)| *known == device) {
            continue;
        }
        // ext2 to ext4, XFS, Btrfs, F2FS, tmpfs (statfs(2)).
        let kind = u64::try_from(rustix::fs::fstatfs(file)?.f_type).unwrap_or_default();
        if ![0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x0102_1994].contains(&kind) {
            return Ok(None);
        }
        seen.push((device, file));
    }
    Ok(Some(seen.into_iter().map(|(_, file)| file).collect()))
}

#[cfg(target_os = "linux")]
fn tells_of_failed_writes() -> bool {
    let system = rustix::system::uname();
    system.release().to_str().is_ok_and(is_recent)
}

/// Whether it is 5.8 or later.
#[cfg(target_os = "linux")]
fn is_recent(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
    (next(), next()) >= (5, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<File> =
            (0..6).map(|number| File::create(folder.path().join(number.to_string())).unwrap()).collect();
        for count in [0, 1, 3, 4, 6] {
            together(&files.iter().take(count).collect::<Vec<_>>()).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kernels_are_told_apart() {
        for (release, recent) in [
            ("5.7.19", false),
            ("5.8.0-rc1", true),
            ("5.10.0-9-amd64", true),
            ("6.1", true),
            ("4.19.1", false),
            ("", false),
        ] {
            assert_eq!(is_recent(release), recent, "{release}");
        }
    }

    /// What the kernel tells lies on no disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn other_file_systems_are_not_flushed_as_a_whole() {
        let file = File::open("/proc/self/status").unwrap();
        assert!(file_systems(&[&file]).unwrap().is_none());
    }
}
