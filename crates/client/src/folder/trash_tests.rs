//! The local trash over real files: in and back, what changes on the way, what a crash leaves, and both clocks.

use super::*;

const DAY: i64 = 24 * 3600 * 1_000_000;

/// Both clocks say the same.
fn at(now: i64) -> Moment {
    Moment { here: now, there: Some(now) }
}

fn stat(path: &Path) -> Stat {
    Stat::of(&path.symlink_metadata().unwrap())
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
    let back = take(&listed[0], &path).unwrap().unwrap();
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
    take(&list(&trash).unwrap()[0], &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
}

/// What a crash left of an entry goes in time, and not before. Nobody wrote down what the server's clock said: it counts from the first look.
#[test]
fn broken_entries_go_in_time() {
    let folder = tempfile::tempdir().unwrap();
    for age in [29, 31] {
        let entry = folder.path().join(format!("{}-x", (100 - age) * DAY));
        fs::create_dir(&entry).unwrap();
        fs::write(entry.join("1.jpg"), b"one").unwrap();
    }
    fs::create_dir(folder.path().join("something else")).unwrap();
    assert_eq!(expire(folder.path(), at(100 * DAY)).unwrap(), 0);
    assert_eq!(expire(folder.path(), at(130 * DAY)).unwrap(), 0);
    assert_eq!(expire(folder.path(), at(131 * DAY)).unwrap(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
        take(&trashed, &folder.path().join("root").join(&trashed.path)).unwrap().unwrap();
    }
    assert_eq!((list(&trash).unwrap().len(), fs::read_dir(&trash).unwrap().count()), (0, 0));
    put_one(folder.path(), "1.jpg", Moment { here: 0, there: None });
    assert_eq!(expire(&trash, at(100 * DAY)).unwrap(), 0);
    assert_eq!(expire(&trash, at(131 * DAY)).unwrap(), 1);
}
