//! The local trash over real files: in and back, what changes on the way, what a crash leaves, and both clocks.

use super::*;
use crate::folder::within::make_folders;

const DAY: i64 = 24 * 3600 * 1_000_000;

/// Both clocks say the same.
fn at(now: i64) -> Moment {
    Moment { here: now, there: Some(now) }
}

fn stat(path: &Path) -> Stat {
    Stat::of(&path.symlink_metadata().unwrap())
}

/// Brings a picture back to a path, whose folder is there.
fn back_to(trashed: &TrashedFile, path: &Path) -> io::Result<Option<Stat>> {
    let folder = path.parent().unwrap();
    take(trashed, &make_folders(folder, folder).unwrap(), path.file_name().unwrap())
}

#[test]
fn a_picture_goes_in_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
    fs::create_dir_all(root.join("a")).unwrap();
    let path = root.join("a/1.jpg");
    fs::write(&path, b"one").unwrap();
    let seen = (stat(&path), ContentHash::of(b"one"));
    put(&trash, &root, b"a/1.jpg", seen, Cause::DeletedThere, at(7)).unwrap();
    assert!(!path.exists());
    let listed = list(&trash).unwrap();
    assert_eq!((listed.len(), listed[0].bytes, listed[0].path.as_path()), (1, 3, Path::new("a/1.jpg")));
    let back = back_to(&listed[0], &path).unwrap().unwrap();
    assert_eq!((fs::read(&path).unwrap().as_slice(), back), (b"one".as_slice(), stat(&path)));
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
}

#[test]
fn what_changed_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
    fs::create_dir(&root).unwrap();
    let path = root.join("1.jpg");
    fs::write(&path, b"one").unwrap();
    let seen = (stat(&path), ContentHash::of(b"one"));
    fs::write(&path, b"another").unwrap();
    let put = put(&trash, &root, b"1.jpg", seen, Cause::DeletedThere, at(7));
    assert!(matches!(put, Err(TrashError::Changed)));
    assert_eq!(fs::read(&path).unwrap(), b"another");
}

/// Between the copy on another disk and the removal another file may get the name: it is not the one that goes.
#[test]
fn what_is_removed_is_what_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (path, leaving) = (folder.path().join("1.jpg"), folder.path().join("leaving"));
    fs::write(&path, b"one").unwrap();
    let seen = stat(&path);
    let new = folder.path().join("new");
    fs::write(&new, b"two").unwrap();
    fs::rename(&new, &path).unwrap();
    assert_eq!(remove_seen(&path, &leaving, seen).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(fs::read(&path).unwrap(), b"two");
    let seen = stat(&path);
    remove_seen(&path, &leaving, seen).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_name_that_was_taken_meanwhile_is_not_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (old, name) = (folder.path().join("leaving"), folder.path().join("1.jpg"));
    fs::write(&old, b"one").unwrap();
    fs::write(&name, b"two").unwrap();
    give_back(&old, &name).unwrap();
    assert_eq!(fs::read(&name).unwrap(), b"two");
    assert_eq!(fs::read(folder.path().join("1 (1).jpg")).unwrap(), b"one");
}

/// Killed between the copy and the removal: what the trash has goes, and what it does not have gets its name back.
#[test]
fn what_was_on_its_way_is_dealt_with() {
    let folder = tempfile::tempdir().unwrap();
    let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
    fs::create_dir(&root).unwrap();
    for (name, left) in [("a.jpg", b"one"), ("b.jpg", b"two")] {
        let path = root.join(name);
        fs::write(&path, b"one").unwrap();
        let seen = (stat(&path), ContentHash::of(b"one"));
        put(&trash, &root, name.as_bytes(), seen, Cause::DeletedThere, at(7)).unwrap();
        let listed = list(&trash).unwrap();
        let entry = listed.iter().find(|entry| entry.path == Path::new(name)).unwrap();
        fs::write(leaving(&path, &entry.file), left).unwrap();
    }
    recover(&trash, &root).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    assert_eq!(fs::read(root.join("b.jpg")).unwrap(), b"two");
}

#[test]
fn a_picture_may_be_called_like_the_note() {
    let folder = tempfile::tempdir().unwrap();
    let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
    fs::create_dir(&root).unwrap();
    let path = root.join(NOTE);
    fs::write(&path, b"one").unwrap();
    let seen = (stat(&path), ContentHash::of(b"one"));
    put(&trash, &root, NOTE.as_bytes(), seen, Cause::DeletedThere, at(7)).unwrap();
    back_to(&list(&trash).unwrap()[0], &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
}

/// Its name says when it was made.
fn entry_of(trash: &Path, since: i64) -> PathBuf {
    let entry = trash.join(format!("{since}-{}", Uuid::new_v4().simple()));
    fs::create_dir_all(&entry).unwrap();
    entry
}

/// What a crash left of an entry goes in time, and not before. Nobody wrote down what the server's clock said: it counts from the first look.
#[test]
fn broken_entries_go_in_time() {
    let folder = tempfile::tempdir().unwrap();
    for age in [29, 31] {
        let half = entry_of(folder.path(), (100 - age) * DAY);
        fs::write(half.join(NOTE), b"{\"path\": \"1.j").unwrap();
        entry_of(folder.path(), (100 - age) * DAY);
    }
    assert_eq!(expire(folder.path(), at(100 * DAY)).unwrap(), 0);
    assert_eq!(expire(folder.path(), at(130 * DAY)).unwrap(), 0);
    assert_eq!(expire(folder.path(), at(131 * DAY)).unwrap(), 4);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Killed while it was copied from another disk.
#[test]
fn half_a_copy_goes_with_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    put_one(folder.path(), "1.jpg", at(DAY));
    let trash = folder.path().join("trash");
    let file = list(&trash).unwrap()[0].file.clone();
    fs::remove_file(&file).unwrap();
    place::temporary(file.parent().unwrap(), place::ARRIVING).unwrap().keep().unwrap();
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 1);
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
}

/// Below it: each file with what is in it.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let content = |path: &Path| if path.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    entries.map(|entry| (entry.path().to_owned(), content(entry.path()))).collect()
}

/// Somebody's pictures lay where the trash was to be: folders that are named like dates, files, a folder that looks like an entry.
#[test]
fn what_is_no_entry_of_ours_stays_for_ever_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let trash = folder.path().join("trash");
    let id = "0123456789abcdef0123456789abcdef";
    let names = [
        "2019-07 Italy".to_owned(),
        "2023-05-12 Wedding".to_owned(),
        "2019-07".to_owned(),
        "Other".to_owned(),
        format!("{id}-{id}"),
        format!("01-{id}"),
        format!("+1-{id}"),
        format!("-1-{id}"),
        format!("1-{}", id.to_uppercase()),
        format!("1-{id}0"),
        format!("1-{}", "0".repeat(31)),
        // As an entry is called, without a note.
        format!("1-{id}"),
    ];
    for name in names {
        fs::create_dir_all(trash.join(&name)).unwrap();
        fs::write(trash.join(&name).join("a.jpg"), b"mine").unwrap();
    }
    fs::write(trash.join("2019-01 x.jpg"), b"mine").unwrap();
    fs::write(trash.join(format!("2-{id}")), b"mine").unwrap();
    #[cfg(unix)]
    {
        let elsewhere = entry_of(&folder.path().join("elsewhere"), 1);
        fs::write(elsewhere.join(NOTE), b"{").unwrap();
        std::os::unix::fs::symlink(&elsewhere, trash.join(format!("3-{id}"))).unwrap();
    }
    let before = tree(folder.path());
    for now in [100, 1000, 2000] {
        assert_eq!(expire(&trash, at(now * DAY)).unwrap(), 0);
    }
    assert_eq!(tree(folder.path()), before);
    put_one(folder.path(), "1.jpg", at(DAY));
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 1, "they keep nothing of ours from going");
}

/// Whatever else is in it, it is somebody's.
#[test]
fn an_entry_with_anything_else_in_it_stays_whole() {
    for extra in
        ["2.jpg", ".hidden", "ENTRY.JSON", ".syncthing.darkslide-.tmp", ".syncthing.darkslide-a b.tmp"]
    {
        let folder = tempfile::tempdir().unwrap();
        let trash = folder.path().join("trash");
        put_one(folder.path(), "1.jpg", Moment { here: DAY, there: None });
        let file = list(&trash).unwrap()[0].file.clone();
        fs::write(file.with_file_name(extra), b"mine").unwrap();
        let before = tree(&trash);
        assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 0);
        assert_eq!(expire(&trash, at(200 * DAY)).unwrap(), 0);
        assert_eq!(tree(&trash), before, "{extra}");
        fs::remove_file(file.with_file_name(extra)).unwrap();
        assert_eq!(expire(&trash, at(300 * DAY)).unwrap(), 0);
        assert_eq!(expire(&trash, at(400 * DAY)).unwrap(), 1);
    }
    // A folder in place of the picture.
    let folder = tempfile::tempdir().unwrap();
    let trash = folder.path().join("trash");
    put_one(folder.path(), "1.jpg", at(DAY));
    let file = list(&trash).unwrap()[0].file.clone();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 0);
    assert!(file.is_dir() && file.with_file_name(NOTE).is_file());
}

#[test]
fn a_folder_with_anything_else_in_it_becomes_no_trash() {
    let folder = tempfile::tempdir().unwrap();
    let trash = folder.path().join("trash");
    assert!(is_free(&trash).unwrap());
    put_one(folder.path(), "1.jpg", at(DAY));
    assert!(is_free(&trash).unwrap());
    fs::create_dir(trash.join("2019-07 Italy")).unwrap();
    assert!(!is_free(&trash).unwrap());
    fs::remove_dir(trash.join("2019-07 Italy")).unwrap();
    fs::write(trash.join("0-0123456789abcdef0123456789abcdef"), b"a file").unwrap();
    assert!(!is_free(&trash).unwrap());
    is_free(&folder.path().join("root/none.jpg")).unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    assert!(is_free(&folder.path().join("file")).is_err());
}

#[test]
fn nothing_is_deleted_when_the_trash_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
    fs::create_dir(&root).unwrap();
    fs::write(&trash, b"a file where a folder should be").unwrap();
    let path = root.join("1.jpg");
    fs::write(&path, b"one").unwrap();
    let seen = (stat(&path), ContentHash::of(b"one"));
    let put = put(&trash, &root, b"1.jpg", seen, Cause::DeletedThere, at(7));
    assert!(matches!(put, Err(TrashError::Refused { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"one");
}

#[test]
fn a_name_that_is_taken_is_not_given_away() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    fs::write(&one, b"one").unwrap();
    fs::write(&two, b"two").unwrap();
    assert_eq!(rename_free(&one, &two).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!((fs::read(&one).unwrap(), fs::read(&two).unwrap()), (b"one".to_vec(), b"two".to_vec()));
}

fn put_one(folder: &Path, name: &str, now: Moment) {
    let root = folder.join("root");
    fs::create_dir_all(&root).unwrap();
    let path = root.join(name);
    fs::write(&path, name).unwrap();
    let seen = (stat(&path), ContentHash::of(name.as_bytes()));
    put(&folder.join("trash"), &root, name.as_bytes(), seen, Cause::DeletedThere, now).unwrap();
}

#[test]
fn entries_go_after_thirty_days() {
    let folder = tempfile::tempdir().unwrap();
    let trash = folder.path().join("trash");
    for (name, age) in [("old.jpg", 31), ("new.jpg", 29)] {
        put_one(folder.path(), name, at((100 - age) * DAY));
    }
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 1);
    assert_eq!(list(&trash).unwrap()[0].path, Path::new("new.jpg"));
}

/// Put at day 100 by both clocks, or by one that was wrong then.
#[test]
fn a_clock_that_jumps_empties_no_trash() {
    let moment =
        |here: i64, there: Option<i64>| Moment { here: here * DAY, there: there.map(|there| there * DAY) };
    for (put, now, goes) in [
        ((100, Some(100)), (131, Some(131)), true),
        // This computer's clock jumps.
        ((100, Some(100)), (131, Some(100)), false),
        ((100, Some(100)), (131, Some(130)), false),
        ((100, Some(100)), (9999, Some(130)), false),
        // The server's does.
        ((100, Some(100)), (101, Some(131)), false),
        // Nobody was asked.
        ((100, Some(100)), (131, None), false),
        ((100, None), (131, None), false),
        ((100, None), (131, Some(131)), false),
        // One of them was wrong when it was put, and is put right.
        ((0, Some(100)), (101, Some(101)), false),
        ((100, Some(0)), (101, Some(101)), false),
        ((900, Some(100)), (131, Some(131)), false),
        ((100, Some(900)), (131, Some(131)), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put_one(folder.path(), "1.jpg", moment(put.0, put.1));
        let trash = folder.path().join("trash");
        let removed = expire(&trash, moment(now.0, now.1)).unwrap();
        assert_eq!(removed == 1, goes, "{put:?} {now:?}");
        assert_eq!(list(&trash).unwrap().len(), usize::from(!goes));
    }
}

/// From then on it counts; and what it was noted by is no obstacle to bringing the picture back.
#[test]
fn an_entry_without_the_server_s_time_gets_it_at_the_first_look() {
    let folder = tempfile::tempdir().unwrap();
    let trash = folder.path().join("trash");
    for name in ["1.jpg", SEEN] {
        put_one(folder.path(), name, Moment { here: 0, there: None });
    }
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 0);
    assert_eq!(expire(&trash, at(129 * DAY)).unwrap(), 0);
    for trashed in list(&trash).unwrap() {
        back_to(&trashed, &folder.path().join("root").join(&trashed.path)).unwrap().unwrap();
    }
    assert_eq!((list(&trash).unwrap().len(), fs::read_dir(&trash).unwrap().count()), (0, 0));
    put_one(folder.path(), "1.jpg", Moment { here: 0, there: None });
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 0);
    assert_eq!(expire(&trash, at(131 * DAY)).unwrap(), 1);
}
