//! Files that grow over several requests: what a kill left, who may write, and what they hash to.

use super::super::flush::faults::fail_next;
use super::*;

const ID: Uuid = Uuid::from_u128(7);

/// Recorded to be there, and not read since.
fn reached(before: &[u8]) -> Reached {
    let digest = (!before.is_empty()).then(|| *blake3::hash(before).as_bytes());
    Reached { offset: before.len() as u64, digest, running: None }
}

async fn open(
    objects: &Objects,
    reached: Reached,
    announced: Option<Announced>,
) -> Result<Growing, ObjectError> {
    match objects.open_growing(ID, reached, announced, &CancellationToken::new()).await? {
        Opening::Open(growing) => Ok(*growing),
        Opening::Stopped(_) => panic!("nobody stopped it"),
    }
}

async fn grown(objects: &Objects, before: &[u8], bytes: &'static [u8]) -> Growing {
    let growing = open(objects, reached(before), None).await.unwrap().cut().await.unwrap();
    let (growing, appended) = growing.append_batch(vec![Bytes::from_static(bytes)], true).await.unwrap();
    appended.unwrap();
    let (growing, flushed) = objects.flush_growing(growing).await.unwrap();
    flushed.unwrap();
    growing
}

#[tokio::test]
async fn what_was_not_recorded_is_cut_off_and_what_was_lost_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    drop(grown(&objects, b"", b"recorded, and not").await);
    drop(grown(&objects, b"recorded", b"!").await);
    assert_eq!(fs::read(objects.growing_path(ID)).unwrap(), b"recorded!");
    let error = open(&objects, reached(b"recorded!!"), None).await.unwrap_err();
    assert!(matches!(error, ObjectError::Lost(_)), "{error}");
    let stop = CancellationToken::new();
    let error = objects.open_growing(Uuid::from_u128(8), reached(b"r"), None, &stop).await.unwrap_err();
    assert!(matches!(error, ObjectError::Lost(_)), "{error}");
}

/// A flipped bit below the offset became part of the digest that the object was vouched for by.
#[tokio::test]
async fn what_was_recorded_is_what_was_sent_or_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let growing = grown(&objects, b"", b"recorded").await;
    let running = Some(growing.running());
    drop(growing);
    fs::write(objects.growing_path(ID), b"rec0rded").unwrap();
    // Whoever has the hash of what was sent need not read it, and is not misled either.
    let growing = open(&objects, Reached { running, ..reached(b"recorded") }, None).await.unwrap();
    assert_eq!(growing.digest(), *blake3::hash(b"recorded").as_bytes());
    drop(growing);
    let of_other_bytes = Some(blake3::Hasher::new());
    for running in [None, of_other_bytes] {
        for digest in [reached(b"recorded").digest, None] {
            let reached = Reached { offset: 8, digest, running: running.clone() };
            let error = open(&objects, reached, None).await.unwrap_err();
            assert!(matches!(error, ObjectError::Lost(_)), "{error}");
        }
    }
    fs::write(objects.growing_path(ID), b"recorded").unwrap();
    let growing = grown(&objects, b"recorded", b"!").await;
    assert_eq!(growing.digest(), *blake3::hash(b"recorded!").as_bytes());
}

/// An upload that lay on a bad sector could neither go on nor begin anew for a week.
#[test]
fn what_cannot_be_read_is_lost_unless_the_process_has_run_out_of_something() {
    for (errno, is_lost) in [(rustix::io::Errno::IO, true), (rustix::io::Errno::NOMEM, false)] {
        let error = unreadable(io::Error::from_raw_os_error(errno.raw_os_error()), Path::new("x"));
        assert_eq!(matches!(error, ObjectError::Lost(_)), is_lost, "{error}");
    }
}

/// Whoever asked for the turn waited until all was read, and who was stopped again and again began anew each time.
#[tokio::test]
async fn who_is_stopped_reads_no_more_and_whoever_comes_next_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    drop(grown(&objects, b"", b"recorded").await);
    let stop = CancellationToken::new();
    stop.cancel();
    let mut part = blake3::Hasher::new();
    part.update(b"reco");
    for (running, read) in [(None, 0), (Some(part.clone()), 4)] {
        let reached = Reached { running, ..reached(b"recorded") };
        let opening = objects.open_growing(ID, reached, None, &stop).await.unwrap();
        assert!(matches!(opening, Opening::Stopped(part) if part.count() == read));
    }
    let whole = Some(grown(&objects, b"", b"recorded").await.running());
    let reached = |running| Reached { running, ..reached(b"recorded") };
    let opening = objects.open_growing(ID, reached(whole), None, &stop).await.unwrap();
    assert!(matches!(opening, Opening::Open(_)), "nothing is to be read");
    drop(opening);
    // What was read already is not read again.
    fs::write(objects.growing_path(ID), b"RECOrded").unwrap();
    assert!(open(&objects, reached(Some(part)), None).await.is_ok());
    let error = open(&objects, reached(None), None).await.unwrap_err();
    assert!(matches!(error, ObjectError::Lost(_)), "{error}");
}

#[tokio::test]
async fn what_a_kill_left_counts_if_it_is_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    drop(grown(&objects, b"", b"recorded").await);
    let growing = open(&objects, reached(b"recorded"), None).await.unwrap().cut().await.unwrap();
    assert!(objects.recover_growing(ID, 8, 100).await.unwrap().is_none(), "it is being written");
    let (growing, _) = growing.append_batch(vec![Bytes::from_static(b", and not")], true).await.unwrap();
    drop(growing);
    let found = async |offset, length| {
        let recovered = objects.recover_growing(ID, offset, length).await.unwrap();
        recovered.map(|Recovered { from, to, chunk_digest, digest, .. }| (from, to, chunk_digest, digest))
    };
    let digest = |bytes| *blake3::hash(bytes).as_bytes();
    let sent = Some((8, 17, digest(b", and not"), digest(b"recorded, and not")));
    assert_eq!(found(8, 17).await, sent);
    assert_eq!(found(10, 17).await, sent, "some of it was recorded");
    assert_eq!(found(17, 17).await, None, "all of it was");
    assert_eq!(found(7, 17).await, None, "something is missing before it");
    assert_eq!(found(8, 16).await, None);
    let path = objects.growing_path(ID);
    let write = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
    write(b"recorded, and not, and more");
    assert_eq!(found(8, 100).await, sent);
    for other in [b"recorded, and n0t".as_slice(), b"recorded, and no", b""] {
        write(other);
        assert_eq!(found(8, 17).await, None);
    }
    write(b"recorded, and not");
    fs::write(mark_of(&path), b"what a power cut leaves of it, which may be anything").unwrap();
    assert_eq!(found(8, 17).await, None);
    objects.remove_growing(vec![ID]).await.unwrap();
    assert_eq!(found(0, 17).await, None);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

/// The page cache still had what the disk had refused, a second flush said that all is well, and the offset was acknowledged.
#[tokio::test]
async fn what_could_not_be_flushed_is_not_vouched_for_by_a_second_flush() {
    for (before, is_behind) in [("recorded", false), ("recorded", true), ("", false), ("", true)] {
        let before = before.as_bytes();
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        if !before.is_empty() {
            drop(grown(&objects, b"", b"recorded").await);
        }
        let growing = open(&objects, reached(before), None).await.unwrap().cut().await.unwrap();
        let (growing, _) = growing.append_batch(vec![Bytes::from_static(b", and not")], true).await.unwrap();
        assert!(!growing.is_doubtful());
        fail_next(&objects.growing_path(ID));
        let growing = if is_behind {
            objects.flush_behind(growing.flush_behind()).await.unwrap_err();
            growing
        } else {
            let (growing, flushed) = objects.flush_growing(growing).await.unwrap();
            flushed.unwrap_err();
            growing
        };
        // Nor by this request, in whichever way it asks.
        assert!(growing.is_doubtful());
        objects.flush_behind(growing.flush_behind()).await.unwrap_err();
        let (growing, flushed) = objects.flush_growing(growing).await.unwrap();
        flushed.unwrap_err();
        drop(growing);
        // Another process has the same memory before its eyes.
        for objects in [&objects, &Objects::open(folder.path()).unwrap()] {
            let offset = before.len() as u64;
            assert!(objects.recover_growing(ID, offset, 100).await.unwrap().is_none());
        }
        assert_eq!(objects.growing_path(ID).exists(), !before.is_empty(), "what is recorded stays");
        let growing = grown(&objects, before, b", and now").await;
        assert_eq!(growing.digest(), *blake3::hash(&[before, b", and now"].concat()).as_bytes());
        drop(growing);
        let recovered = objects.recover_growing(ID, before.len() as u64, 100).await.unwrap().unwrap();
        assert_eq!(recovered.to, before.len() as u64 + 9);
    }
}

/// The bytes were flushed, and the name of the new file was not: a second flush of the folder said that all is well.
#[tokio::test]
async fn a_new_file_whose_name_could_not_be_flushed_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let growing = open(&objects, reached(b""), None).await.unwrap().cut().await.unwrap();
    let (growing, _) = growing.append_batch(vec![Bytes::from_static(b"bytes")], true).await.unwrap();
    let path = objects.growing_path(ID);
    fail_next(path.parent().unwrap());
    let (growing, flushed) = objects.flush_growing(growing).await.unwrap();
    flushed.unwrap_err();
    drop(growing);
    assert!(!path.exists());
    assert!(objects.recover_growing(ID, 0, 5).await.unwrap().is_none());
    drop(grown(&objects, b"", b"bytes").await);
    assert_eq!(fs::read(path).unwrap(), b"bytes");
}

/// The name in its place was not flushed, a second flush of the folder said that it was, and the object was acknowledged.
#[tokio::test]
async fn a_whole_file_whose_place_could_not_be_flushed_is_moved_again() {
    let folder = tempfile::tempdir().unwrap();
    let (objects, other) = (Objects::open(folder.path()).unwrap(), Objects::open(folder.path()).unwrap());
    let growing = grown(&objects, b"", b"whole").await;
    let (digest, blob) = (Some(growing.digest()), BlobName::generate(ID, 0));
    let place = objects.path_of(&blob);
    // Nobody moves it while somebody has it.
    let error = other.place_growing(ID, 5, digest, &blob).await.unwrap_err();
    assert!(matches!(error, ObjectError::Locked(_)), "{error}");
    drop(growing);
    fail_next(place.parent().unwrap());
    let error = objects.place_growing(ID, 5, digest, &blob).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(!place.exists() && objects.growing_path(ID).exists());
    other.place_growing(ID, 5, digest, &blob).await.unwrap();
    assert!(!objects.growing_path(ID).exists());
    assert_eq!(fs::read(&place).unwrap(), b"whole");
    // One that somebody else has moved stays where it is: it may be an object by now.
    fail_next(place.parent().unwrap());
    objects.place_growing(ID, 5, digest, &blob).await.unwrap_err();
    assert_eq!(fs::read(place).unwrap(), b"whole");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_was_announced_counts_only_together_on_a_full_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", objects.growing_path(ID)).unwrap();
    let announced = Announced::parse("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=").unwrap();
    let growing = open(&objects, reached(b""), Some(announced)).await.unwrap();
    let (growing, appended) = growing.append_batch(vec![vec![7; 9000].into()], true).await.unwrap();
    assert!(appended.unwrap_err().is_disk_full());
    assert!(growing.is_announced() && !growing.is_as_announced());
    assert_eq!((growing.offset(), growing.chunk_digest()), (0, *blake3::hash(b"").as_bytes()));
}

#[tokio::test]
async fn batches_of_any_length_are_one_file_and_one_hash() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let all: Vec<u8> = (0..900_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut from, mut running) = (0, None);
    // Each request begins where the one before ended, wherever in a sector that is.
    for lengths in [&[1, 2, 4093][..], &[7, 300_000, 4096, 0, 500_001], &[600_000, 600_000, 1]] {
        let began = from;
        let reached = Reached { running: running.take(), ..reached(&all[..from]) };
        let opened = open(&objects, reached, None).await.unwrap();
        let mut growing = opened.cut().await.unwrap();
        for (number, length) in lengths.iter().enumerate() {
            let batch = all[from..from + length].chunks(70_001).map(Bytes::copy_from_slice).collect();
            from += length;
            let (grown, appended) = growing.append_batch(batch, number + 1 == lengths.len()).await.unwrap();
            appended.unwrap();
            growing = grown;
            let written = usize::try_from(growing.offset()).unwrap();
            assert!(written <= from && from - written < 4096, "{written} of {from}");
            assert_eq!(growing.chunk_digest(), *blake3::hash(&all[began..written]).as_bytes());
        }
        assert_eq!(growing.offset(), from as u64);
        running = Some(growing.running());
    }
    assert!(fs::read(objects.growing_path(ID)).unwrap() == all[..from]);
    let blob = BlobName::generate(ID, 0);
    let digest = running.map(|running| *running.finalize().as_bytes());
    let digest = objects.place_growing(ID, from as u64, digest, &blob).await.unwrap();
    assert_eq!(digest, *blake3::hash(&all[..from]).as_bytes());
}

#[tokio::test]
async fn a_file_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Objects::open(folder.path()).unwrap(), Objects::open(folder.path()).unwrap());
    let growing = grown(&one, b"", b"mine").await;
    let error = open(&other, reached(b""), None).await.unwrap_err();
    assert!(matches!(error, ObjectError::Locked(_)), "{error}");
    drop(growing);
    drop(grown(&other, b"mine", b", then yours").await);
}

#[tokio::test]
async fn a_whole_file_becomes_a_blob_however_often_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    let growing = grown(&objects, b"", b"whole").await;
    let (digest, blob) = (growing.digest(), BlobName::generate(ID, 0));
    drop(growing);
    for (length, digest) in [(6, Some(digest)), (5, None)] {
        let error = objects.place_growing(ID, length, digest, &blob).await.unwrap_err();
        assert!(matches!(error, ObjectError::Lost(_)), "{error}");
    }
    for _ in 0..2 {
        let told = objects.place_growing(ID, 5, Some(digest), &blob).await.unwrap();
        assert_eq!((told, digest), (digest, *blake3::hash(b"whole").as_bytes()));
        assert_eq!(fs::read(objects.path_of(&blob)).unwrap(), b"whole");
    }
}

#[tokio::test]
async fn age_is_judged_by_the_moment_that_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    drop(grown(&objects, b"", b"x").await);
    let now = SystemTime::now();
    let minute = std::time::Duration::from_mins(1);
    assert!(objects.growing_older_than(now - minute).await.unwrap().is_empty());
    assert_eq!(objects.growing_older_than(now + minute).await.unwrap(), [ID]);
    objects.remove_growing(vec![ID, ID]).await.unwrap();
    assert!(objects.growing_older_than(now + minute).await.unwrap().is_empty());
}

/// The process was killed before it heard that its bytes were refused: whoever asks first hears it, and nobody after that believes them.
#[tokio::test]
async fn what_was_refused_behind_the_back_of_a_killed_process_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    drop(grown(&objects, b"", b"bytes").await);
    fail_next(&objects.growing_path(ID));
    for _ in 0..2 {
        assert!(objects.recover_growing(ID, 0, 100).await.unwrap().is_none());
    }
    drop(grown(&objects, b"", b"bytes").await);
    assert!(objects.recover_growing(ID, 0, 100).await.unwrap().is_some());
}
