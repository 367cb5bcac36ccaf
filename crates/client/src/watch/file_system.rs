//! Whether a folder's file system tells of changes. Those that another machine can change tell of its own changes only.

use std::io;
use std::path::Path;

/// File systems of which somebody else may be the writer, by the number that `statfs(2)` gives, and what people call them.
#[cfg(target_os = "linux")]
const SHARED: [(u64, &str); 13] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x786f_4256, "a shared folder of VirtualBox"),
    (0xbacb_acbc, "a shared folder of VMware"),
];

/// The same by what lists of mounted disks call them. `fuse.sshfs` and all others of its family are FUSE; not `fuseblk`, which is a disk of this
/// machine.
const SHARED_KINDS: [(&str, &str); 14] = [
    ("nfs", "NFS"),
    ("nfs4", "NFS"),
    ("cifs", "SMB"),
    ("smb3", "SMB"),
    ("smbfs", "SMB"),
    ("fuse", "FUSE"),
    ("virtiofs", "FUSE"),
    ("9p", "9P"),
    ("ceph", "Ceph"),
    ("afs", "AFS"),
    ("coda", "Coda"),
    ("ncpfs", "NCP"),
    ("vboxsf", "a shared folder of VirtualBox"),
    ("vmhgfs", "a shared folder of VMware"),
];

/// The name of a file system of this kind, if changes on it are not told. Asks no disk, which may not answer.
pub(super) fn untold_kind(kind: &str) -> Option<&'static str> {
    let family = kind.split('.').next().unwrap_or(kind);
    SHARED_KINDS.iter().find(|(known, _)| *known == family).map(|(_, name)| *name)
}

/// The name of the file system that a folder is on, if changes on it are not told.
#[cfg(target_os = "linux")]
pub fn untold(path: &Path) -> io::Result<Option<&'static str>> {
    let kind = rustix::fs::statfs(path)?.f_type.cast_unsigned();
    Ok(name_of(kind))
}

/// Elsewhere nothing says so: the full scans find what was not told.
#[cfg(not(target_os = "linux"))]
pub fn untold(_path: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
fn name_of(kind: u64) -> Option<&'static str> {
    // The number is 32 bits wide, and sign-extended on some systems.
    SHARED.iter().find(|(number, _)| *number == kind & 0xffff_ffff).map(|(_, name)| *name)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn shared_file_systems_are_known_by_their_numbers() {
        assert_eq!(name_of(0x6969), Some("NFS"));
        assert_eq!(name_of(0xffff_ffff_ff53_4d42), Some("SMB"));
        assert_eq!(name_of(0xef53), None, "ext4");
        for (kind, name) in [
            ("nfs4", Some("NFS")),
            ("fuse.sshfs", Some("FUSE")),
            ("fuseblk", None),
            ("ext4", None),
            ("tmpfs", None),
            ("", None),
        ] {
            assert_eq!(untold_kind(kind), name, "{kind}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(untold(folder.path()).unwrap(), None);
        assert_eq!(untold(Path::new("/proc")).unwrap(), None);
    }
}
