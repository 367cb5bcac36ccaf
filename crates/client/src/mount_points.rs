//! Where something is mounted, as the system lists it. Only Linux is asked; elsewhere there is nothing to be known.

use std::path::PathBuf;

use crate::library::path_of;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPoint {
    pub(crate) path: PathBuf,
    /// The kind of its file system: `ext4`, `fuse.sshfs`.
    pub(crate) kind: String,
    /// What is mounted there: its numbers, and what of it.
    what: Vec<u8>,
}

/// All of them.
pub(crate) fn mount_points() -> Vec<MountPoint> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    let list = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    list.split(|byte| *byte == b'\n').filter_map(read).collect()
}

/// Reads a line of `/proc/self/mountinfo`, see `proc_pid_mountinfo(5)`: its fifth word is the place, in which blanks, line ends and backslashes
/// are three octal digits behind a backslash; behind a dash is the kind.
pub(crate) fn read(line: &[u8]) -> Option<MountPoint> {
    let mut words = line.split(|byte| *byte == b' ');
    let what = words.by_ref().take(4).collect::<Vec<_>>().join(&b' ');
    let mut rest = words.next()?;
    let mut path = Vec::with_capacity(rest.len());
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.split_at_checked(3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|(digits, behind)| {
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?;
            Some((byte, behind))
        });
        let (byte, behind) = octal.unwrap_or((*first, behind));
        path.push(byte);
        rest = behind;
    }
    let kind = words.skip_while(|word| *word != b"-").nth(1).unwrap_or_default();
    Some(MountPoint { path: path_of(&path), kind: String::from_utf8_lossy(kind).into_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_the_system_writes_them() {
        let place = |line: &[u8]| read(line).map(|point| point.path);
        for (line, expected) in [
            (
                &br"36 35 98:0 /mnt1 /mnt/My\040card\134x rw,noatime master:1 - ext3 /dev/root rw"[..],
                Some(r"/mnt/My card\x"),
            ),
            (
                br"36 35 98:0 /mnt1 /home/me/My\040Pictures\134x rw,noatime master:1 - ext3 /dev/root rw",
                Some(r"/home/me/My Pictures\x"),
            ),
            (br"1 2 3 / /a\9 b", Some(r"/a\9")),
            (b"36 35", None),
            (b"", None),
        ] {
            assert_eq!(place(line), expected.map(PathBuf::from), "{}", String::from_utf8_lossy(line));
        }
        let kind = |line: &[u8]| read(line).unwrap().kind;
        assert_eq!(kind(br"36 35 98:0 / /a rw master:1 - fuse.sshfs me@there:/ rw"), "fuse.sshfs");
        assert_eq!(kind(br"36 35 98:0 / /a rw -"), "");
        let other = read(br"37 35 98:1 /mnt1 /a rw").unwrap();
        assert_ne!(other, read(br"36 35 98:0 /mnt1 /a rw").unwrap(), "another disk at the same place");
    }
}
