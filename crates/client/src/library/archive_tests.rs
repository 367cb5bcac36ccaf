//! Archives that are whole, cut, encrypted, damaged and hostile; entries read from the beginning and from anywhere.

use super::*;
use proptest::prelude::*;
use std::io::Write as _;
use zip::CompressionMethod::{Deflated, Stored};
use zip::write::{SimpleFileOptions, ZipWriter};

/// An archive of these entries in a folder of its own.
fn archive(entries: &[(&str, zip::CompressionMethod, &[u8])]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("takeout-001.zip");
    let mut writer = ZipWriter::new(File::create(&path).unwrap());
    for (name, method, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(*method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
    (folder, path)
}

/// Bytes that can be deflated, and are not all the same.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7).to_le_bytes()[0] ^ (at / 1000).to_le_bytes()[0]).collect()
}

fn read_at(entry: &Entry, at: u64, len: usize) -> Vec<u8> {
    let mut reader = entry.open().unwrap();
    reader.seek(SeekFrom::Start(at)).unwrap();
    let mut bytes = Vec::new();
    reader.take(len as u64).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn entries_are_read_from_anywhere() {
    let bytes = content(3_000_000);
    let (_folder, path) = archive(&[("a/stored.jpg", Stored, &bytes), ("a/deflated.jpg", Deflated, &bytes)]);
    let archive = Archive::open(&path).unwrap();
    for name in ["a/stored.jpg", "a/deflated.jpg"] {
        let entry = archive.entry(Path::new(name)).unwrap();
        assert_eq!(entry.fingerprint().size, 3_000_000);
        assert!(read_at(entry, 0, usize::MAX) == bytes, "{name}");
        for at in [0, 1, 65_535, 65_536, 1_500_000, 2_999_999, 3_000_000, 4_000_000] {
            let expected = bytes.get(at..).unwrap_or_default();
            let expected = &expected[..expected.len().min(1000)];
            assert!(read_at(entry, at as u64, 1000) == expected, "{name} from {at}");
        }
        // Back and forth, further than the window.
        let mut reader = entry.open().unwrap();
        for at in [2_900_000_usize, 10, 2_000_000, 1_999_990, 0] {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut found = [0; 10];
            reader.read_exact(&mut found).unwrap();
            assert_eq!(found, bytes[at..at + 10], "{name} at {at}");
        }
        assert!(reader.fingerprint().is_ok() && entry.is_unchanged());
    }
}

#[test]
fn looking_back_has_a_price_that_is_limited() {
    let bytes = content(4_000_000);
    let (_folder, path) = archive(&[("a.mp4", Deflated, &bytes)]);
    let archive = Archive::open(&path).unwrap();
    let mut reader = archive.entry(Path::new("a.mp4")).unwrap().open().unwrap();
    let mut attempt = || {
        reader.seek(SeekFrom::Start(3_999_999))?;
        reader.read_exact(&mut [0])?;
        reader.seek(SeekFrom::Start(0))?;
        reader.read_exact(&mut [0])
    };
    let ended = (0..1000).find_map(|_| attempt().err()).unwrap();
    assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn stretches_are_inflated_once() {
    let bytes = content(4_000_000);
    let (_folder, path) = archive(&[("a.mp4", Deflated, &bytes), ("b.mp4", Stored, &bytes)]);
    let archive = Archive::open(&path).unwrap();
    for name in ["a.mp4", "b.mp4"] {
        let stretches = Stretches::new(archive.entry(Path::new(name)).unwrap().clone());
        let read = |from: usize| {
            let mut found = vec![0; 10_000];
            stretches.clone().open_at(from as u64).unwrap().read_exact(&mut found).unwrap();
            assert!(found == bytes[from..from + 10_000], "{name} from {from}");
        };
        (0..4_000_000).step_by(10_000).for_each(read);
        if let Bytes::Deflated(inflated) = &stretches.kept.lock().unwrap().as_ref().unwrap().bytes {
            let spent = 4_000_000 + INFLATED_AGAIN_MIN - inflated.budget;
            assert!(spent < 4_200_000, "{spent} bytes were inflated");
        }
        // Going back is another reader's business.
        read(20_000);
    }
}

#[test]
fn names_lead_nowhere() {
    let names = ["../../etc/passwd", "/abs.jpg", "a/./b//c.jpg", "d/../e.jpg", "a/b/c.jpg"];
    let entries: Vec<_> = names.iter().map(|name| (*name, Stored, b"x".as_slice())).collect();
    let (_folder, path) = archive(&entries);
    let archive = Archive::open(&path).unwrap();
    let found: Vec<_> = archive.entries().map(|(path, _)| path.to_str().unwrap().to_owned()).collect();
    let again = "entry 2 of one name/a/b/c.jpg";
    assert_eq!(found, ["a/b/c.jpg", "abs.jpg", "d/e.jpg", again, "etc/passwd"]);
    assert_eq!(archive.unreadable, []);
}

/// Once, the second was an entry that could not be read.
#[test]
fn names_that_are_no_utf8_are_as_many_as_there_are() {
    let (_folder, path) = archive(&[("a/caf1.jpg", Stored, b"one"), ("a/caf2.jpg", Stored, b"two")]);
    let mut bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() - 4 {
        match &bytes[at..at + 4] {
            b"caf1" => bytes[at + 3] = 0xe8,
            b"caf2" => bytes[at + 3] = 0xe9,
            _ => {}
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let archive = Archive::open(&path).unwrap();
    let paths: Vec<_> = archive.entries().map(|(path, _)| path.to_owned()).collect();
    assert_eq!((paths.len(), archive.unreadable.len()), (2, 0), "{paths:?}");
    if cfg!(unix) {
        assert_eq!(paths, [path_of(b"a/caf\xe8.jpg"), path_of(b"a/caf\xe9.jpg")]);
    }
}

/// Once, all but the first were entries that could not be read.
#[test]
fn entries_of_one_name_are_as_many_as_there_are() {
    let names = ["a/xx1.jpg", "a/b.jpg", "a/xx2.jpg", "a/xx3.jpg"];
    let contents: [&[u8]; 4] = [b"one", b"b", b"two", b"one"];
    let entries: Vec<_> = names.iter().zip(contents).map(|(name, bytes)| (*name, Stored, bytes)).collect();
    let (_folder, path) = archive(&entries);
    let mut bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() - 3 {
        if bytes[at..].starts_with(b"xx") && bytes[at + 3] == b'.' {
            bytes[at + 2] = b'x';
        }
    }
    std::fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let archive = Archive::open(&path).unwrap();
        assert_eq!(archive.unreadable, []);
        let read =
            |(path, entry): (&Path, &Entry)| (path.to_str().unwrap().to_owned(), read_at(entry, 0, 10));
        let found: Vec<_> = archive.entries().map(read).collect();
        let expected = [
            ("a/b.jpg", "b"),
            ("a/xxx.jpg", "one"),
            ("entry 2 of one name/a/xxx.jpg", "two"),
            ("entry 3 of one name/a/xxx.jpg", "one"),
        ];
        let expected = expected.map(|(path, bytes)| (path.to_owned(), bytes.as_bytes().to_vec()));
        assert_eq!(found, expected);
        for (path, _) in archive.entries() {
            assert_eq!(without_number(path).components().next(), Path::new("a").components().next());
        }
    }
    for path in [
        "entry 2 of one name.jpg",
        "entry 2 of one name",
        "entry of one name/a.jpg",
        "a/entry 2 of one name/a",
    ] {
        assert_eq!(without_number(Path::new(path)), Path::new(path));
    }
}

/// Once, the end of the archive was sought in its comment.
#[test]
fn a_comment_is_no_directory() {
    let bytes = content(1000);
    let (folder, path) = archive(&[("a.jpg", Stored, &bytes)]);
    let whole = std::fs::read(&path).unwrap();
    let with_comment = |comment: &[u8], behind: &[u8]| {
        let path = folder.path().join("commented.zip");
        let (before, _) = whole.split_at(whole.len() - 2);
        let length = u16::try_from(comment.len()).unwrap().to_le_bytes();
        std::fs::write(&path, [before, &length, comment, behind].concat()).unwrap();
        Archive::open(&path).map(|archive| read_at(archive.entry(Path::new("a.jpg")).unwrap(), 0, 2000))
    };
    let end = &whole[whole.len() - 22..];
    for comment in [
        b"".to_vec(),
        b"hello PK\x05\x06 there".to_vec(),
        b"PK\x05\x06".to_vec(),
        [&b"PK\x05\x06"[..], &[0; 17]].concat(),
        // An end whose own comment would be longer or shorter than what is behind it.
        [end, b"x"].concat(),
        [&end[..20], &[9, 0], b"x"].concat(),
        vec![b'x'; 65_535],
        [&vec![b'x'; 65_000][..], b"PK\x05\x06", &[b'x'; 500]].concat(),
    ] {
        assert!(with_comment(&comment, b"").unwrap() == bytes, "{:?}", &comment[..comment.len().min(50)]);
    }
    // What a download put behind it does no harm, whatever the comment looks like.
    for comment in
        [&b""[..], b"hello", b"PK\x05\x06", [&b"PK\x05\x06"[..], &[0; 200]].concat().as_slice(), end]
    {
        for behind in [&[0; 5000][..], b"\r\n", &vec![b'x'; 40_000]] {
            assert!(with_comment(comment, behind).unwrap() == bytes, "{comment:?}");
        }
    }
}

/// An archive in another one is part of it. Of two that are one behind the other nobody knows which is meant.
#[test]
fn of_several_ends_that_around_the_others_is_the_archives() {
    let bytes = content(1000);
    let (folder, path) = archive(&[("a.jpg", Stored, &bytes)]);
    let inner = std::fs::read(&path).unwrap();
    let (_outer_folder, outer_path) = archive(&[("in.zip", Stored, &inner), ("b.jpg", Stored, &bytes)]);
    let outer = std::fs::read(outer_path).unwrap();
    let open = |bytes: &[u8]| {
        let path = folder.path().join("several.zip");
        std::fs::write(&path, bytes).unwrap();
        Archive::open(&path)
    };
    for before in [&b""[..], b"#!/bin/sh\n"] {
        let found = open(&[before, &outer, b"behind"].concat()).unwrap();
        let names: Vec<_> = found.entries().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(names, ["b.jpg", "in.zip"]);
    }
    let error = open(&[&inner[..], &inner, b"behind"].concat()).unwrap_err();
    assert_eq!(error.to_string(), "it is damaged (another archive is behind its end); download it again");
}

#[test]
fn what_is_no_whole_archive_is_told() {
    let bytes = content(100_000);
    let (folder, path) = archive(&[("a.jpg", Stored, &bytes), ("b.jpg", Deflated, &bytes)]);
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        let path = folder.path().join("damaged.zip");
        std::fs::write(&path, bytes).unwrap();
        Archive::open(&path).map(drop)
    };
    assert!(open(&whole).is_ok());
    for len in [0, 1, 30, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(open(&whole[..len]), Err(ArchiveError::Truncated)), "{len}");
    }
    let mut encrypted = whole.clone();
    let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    encrypted[directory + 8] |= 1;
    assert!(matches!(open(&encrypted), Err(ArchiveError::Encrypted)));
    let mut torn = whole.clone();
    torn[directory] = b'X';
    assert!(matches!(open(&torn), Err(ArchiveError::Damaged(_))));
    assert!(matches!(open(b"\x1f\x8b\x08 a tarball"), Err(ArchiveError::Tar)));
    assert!(matches!(Archive::open(&folder.path().join("gone.zip")), Err(ArchiveError::Read(_))));
}

#[test]
fn a_damaged_entry_stops_no_other() {
    let bytes = content(100_000);
    for method in [Stored, Deflated] {
        let (_folder, path) = archive(&[("a.jpg", method, &bytes), ("b.jpg", method, &bytes)]);
        let mut whole = std::fs::read(&path).unwrap();
        whole[200] ^= 0x55;
        std::fs::write(&path, &whole).unwrap();
        let archive = Archive::open(&path).unwrap();
        let read = |name| {
            let mut bytes = Vec::new();
            archive.entry(Path::new(name)).unwrap().open().unwrap().read_to_end(&mut bytes).map(|_| bytes)
        };
        assert!(read("a.jpg").is_err());
        assert!(read("b.jpg").unwrap() == bytes);
    }
}

#[test]
fn a_bomb_costs_what_it_claims_and_no_more() {
    let (_folder, path) = archive(&[("a.jpg", Deflated, &vec![0; 50_000_000])]);
    // It claims to be small.
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() < 100_000);
    let directory = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&1000_u32.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let archive = Archive::open(&path).unwrap();
    let mut found = Vec::new();
    let read = archive.entry(Path::new("a.jpg")).unwrap().open().unwrap().read_to_end(&mut found);
    assert!(read.is_err() && found.len() <= 1000);
}

#[test]
fn an_archive_that_changed_is_not_read() {
    let (_folder, path) = archive(&[("a.jpg", Stored, b"before")]);
    let archive = Archive::open(&path).unwrap();
    let entry = archive.entry(Path::new("a.jpg")).unwrap();
    std::fs::write(&path, b"after").unwrap();
    assert!(!entry.is_unchanged());
    assert_eq!(entry.open().unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn archives_are_opened_once() {
    let (folder, path) = archive(&[("a.jpg", Stored, b"x")]);
    let archives = Archives::default();
    let first = archives.at(&path).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &archives.at(&path).unwrap().unwrap()));
    assert!(archives.at(folder.path()).unwrap().is_none());
    assert!(archives.at(&folder.path().join("gone.zip")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_borne(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300), flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..8),
    ) {
        let (folder, path) = archive(&[("a.jpg", Stored, b"abc"), ("b/c.jpg", Deflated, &content(500))]);
        let whole = std::fs::read(&path).unwrap();
        // Half of the cases are archives with some bytes changed.
        if flips.len() % 2 == 0 {
            bytes = whole;
            for (at, with) in flips {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
            }
        }
        let path = folder.path().join("any.zip");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(archive) = Archive::open(&path) {
            for (_, entry) in archive.entries() {
                let Ok(reader) = entry.open() else { continue };
                let mut found = Vec::new();
                let _ = reader.take(10_000).read_to_end(&mut found);
                prop_assert!(found.len() as u64 <= entry.fingerprint().size);
            }
        }
    }
}
