//! What is Darkslide's own wherever it lies, by its name and by what lies beside it: the databases and data folders of servers and profiles, of this one and of
//! any other, running or copied.
//!
//! None of it is ever opened. POSIX drops all locks that a process has on a file when any of its descriptors of that file is closed: whoever reads a
//! database that the same process has open makes the next process believe that it is alone with it, and that one removes the log with what was written last.

use std::path::Path;

use super::PassReason;

/// The database of a server, and that of a profile.
const SERVER: &str = "darkslide.db";
const PROFILE: &str = "catalog.sqlite";

/// What the lock of an account is called, before and behind the hash of its key. It changes with each run: whoever watched it would run for ever.
const LOCK: [&str; 2] = ["darkslide-account-", ".lock"];

/// What SQLite puts behind the name of a database for the files beside it.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The name of an account's lock.
pub fn lock_name(hash: &str) -> String {
    let [before, behind] = LOCK;
    format!("{before}{hash}{behind}")
}

/// Of a file's name that a database or a lock of ours may have, that.
pub fn own_file(path: &Path) -> Option<PassReason> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let [before, behind] = LOCK;
    if name.starts_with(before) && name.ends_with(behind) {
        return Some(PassReason::Own);
    }
    let is_of = |database: &str| name.strip_prefix(database).is_some_and(|rest| BESIDE.contains(&rest));
    (is_of(SERVER) || is_of(PROFILE)).then_some(PassReason::Database)
}

/// Of a folder that a server or a profile has its data in, that: its database lies there, and what else it always makes. Costs one `stat` or two.
pub fn data_folder(folder: &Path) -> Option<PassReason> {
    let has_file = |name: &str| folder.join(name).is_file();
    let has_folder = |name: &str| folder.join(name).is_dir();
    if has_file(SERVER) && (has_folder("incoming") || has_folder("objects")) {
        return Some(PassReason::ServerData);
    }
    let is_profile = || has_file("config.toml") || has_file("device.toml");
    (has_file(PROFILE) && is_profile()).then_some(PassReason::Own)
}

/// Why a file is left alone that lies at `below` under a root, if it is ours: for its own name, or for a folder between the root and it. The root
/// itself decides nothing: somebody chose it.
pub fn found_at(root: &Path, below: &Path) -> Option<PassReason> {
    let folders = below.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    own_file(below).or_else(|| folders.into_iter().find_map(|folder| data_folder(&root.join(folder))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn databases_and_locks_are_known_by_their_names() {
        for (name, is_ours) in [
            ("darkslide.db", true),
            ("darkslide.db-wal", true),
            ("a/catalog.sqlite", true),
            ("a/Catalog.SQLite-shm", true),
            ("catalog.sqlite-journal", true),
            ("catalog.sqlite.jpg", false),
            ("darkslide.db-walrus.jpg", false),
            ("my catalog.sqlite", false),
            ("..", false),
            (&lock_name("00ff"), true),
            ("darkslide-account-book.jpg", false),
        ] {
            assert_eq!(own_file(Path::new(name)).is_some(), is_ours, "{name}");
        }
    }

    /// A copy of a database among pictures hides none of them.
    #[test]
    fn data_folders_are_known_by_what_lies_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in
            ["server/darkslide.db", "profile/catalog.sqlite", "profile/device.toml", "copies/darkslide.db"]
        {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), b"x").unwrap();
        }
        fs::write(root.join("copies/catalog.sqlite"), b"x").unwrap();
        fs::create_dir_all(root.join("server/objects/00")).unwrap();
        for (path, is_ours) in [
            ("server/objects/00/blob", true),
            ("profile/keys", true),
            ("copies/a.jpg", false),
            ("copies/darkslide.db", true),
            ("a.jpg", false),
        ] {
            assert_eq!(found_at(root, Path::new(path)).is_some(), is_ours, "{path}");
        }
        assert!(found_at(&root.join("server"), Path::new("a.jpg")).is_none(), "somebody chose the root");
    }
}
