//! The plan as tables, and as properties over generated folders.

use super::*;
use crate::catalog::DeviceAlbumKey;
use darkslide_protocol::{AccountId, Opaque, Version};
use proptest::prelude::*;

const ROOT: &str = "/pictures";

fn print(seed: u64) -> Fingerprint {
    Fingerprint { size: seed, modified_ns: 1_000 + seed.cast_signed(), inode: 7 }
}

fn found(path: &str, seed: u64) -> Found {
    Found { path: path.into(), fingerprint: print(seed) }
}

fn row(path: &str, seed: u64, state: AssetState) -> AssetRow {
    let album = AlbumRule::PerRoot.album_of(Path::new(ROOT), Path::new(path));
    AssetRow {
        root: ROOT.as_bytes().to_vec(),
        path: path.as_bytes().to_vec(),
        fingerprint: print(seed),
        motion: None,
        album: album.key,
        content_hash: Some(ContentHash::of(path.as_bytes())),
        file: Some(FileId(1)),
        state,
        reason: Some("plain text".into()),
        first_seen: 1,
        last_seen: 2,
        failing: None,
    }
}

fn live_row(path: &str, video: &str) -> AssetRow {
    AssetRow { motion: Some((video.as_bytes().to_vec(), print(2))), ..row(path, 1, AssetState::BackedUp) }
}

fn decisions(files: &[Found], known: &[AssetRow], rule: &AlbumRule) -> Vec<(String, Decision)> {
    let plan = plan(Path::new(ROOT), files, known, &BTreeSet::new(), rule);
    plan.steps.into_iter().map(|step| (step.path.display().to_string(), step.decision)).collect()
}

fn check(files: &[Found], known: &[AssetRow], expected: &[(&str, Decision)]) {
    let expected: Vec<_> = expected.iter().map(|(path, d)| ((*path).to_owned(), d.clone())).collect();
    assert_eq!(decisions(files, known, &AlbumRule::PerRoot), expected, "{files:?} {known:?}");
}

#[test]
fn one_file() {
    let hash = ContentHash::of(b"a.jpg");
    let file = found("a.jpg", 1);
    check(std::slice::from_ref(&file), &[], &[("a.jpg", Decision::Read(Why::New))]);
    for (seed, state, expected) in [
        (1, AssetState::BackedUp, Decision::Unchanged),
        (2, AssetState::BackedUp, Decision::Read(Why::Changed)),
        (1, AssetState::Blocked, Decision::Read(Why::Retry)),
        (1, AssetState::NotMedia, Decision::NotMedia("plain text".into())),
        (2, AssetState::NotMedia, Decision::Read(Why::Changed)),
        (1, AssetState::Skipped, Decision::Recheck(hash)),
        (2, AssetState::Skipped, Decision::Read(Why::Changed)),
    ] {
        check(std::slice::from_ref(&file), &[row("a.jpg", seed, state)], &[("a.jpg", expected)]);
    }
}

#[test]
fn another_album_is_looked_up_and_not_read() {
    let files = [found("a.jpg", 1)];
    let known = [row("a.jpg", 1, AssetState::BackedUp)];
    let named = AlbumRule::Named("Ski".into());
    let expected = Decision::Recheck(ContentHash::of(b"a.jpg"));
    assert_eq!(decisions(&files, &known, &named), [("a.jpg".to_owned(), expected)]);
}

#[test]
fn live_photos_are_one_step_until_either_half_changes() {
    let known = [live_row("a.heic", "a.mov")];
    check(&[found("a.heic", 1), found("a.mov", 2)], &known, &[("a.heic", Decision::Unchanged)]);
    let both_read = [("a.heic", Decision::Read(Why::Changed)), ("a.mov", Decision::Read(Why::New))];
    check(&[found("a.heic", 1), found("a.mov", 3)], &known, &both_read);
    check(&[found("a.heic", 3), found("a.mov", 2)], &known, &both_read);
    check(&[found("a.heic", 1)], &known, &[("a.heic", Decision::Read(Why::Changed))]);
    check(&[found("a.mov", 2)], &known, &[("a.mov", Decision::Read(Why::New))]);
}

#[test]
fn a_video_that_arrives_late_brings_its_still_along() {
    let known = [row("a.heic", 1, AssetState::BackedUp), row("b.heic", 1, AssetState::BackedUp)];
    check(
        &[found("a.heic", 1), found("A.MOV", 2), found("b.heic", 1)],
        &known,
        &[
            ("A.MOV", Decision::Read(Why::New)),
            ("a.heic", Decision::Read(Why::Companion)),
            ("b.heic", Decision::Unchanged),
        ],
    );
    // A raw file beside its JPEG is no reason to read the JPEG again.
    check(
        &[found("a.heic", 1), found("a.dng", 2)],
        &known,
        &[("a.dng", Decision::Read(Why::New)), ("a.heic", Decision::Unchanged)],
    );
    // Nor is a further video beside a whole Live Photo, or one beside what is no picture.
    let known = [live_row("a.heic", "a.mov"), row("b.heic", 1, AssetState::NotMedia)];
    check(
        &[found("a.heic", 1), found("a.mov", 2), found("a.mp4", 3), found("b.heic", 1), found("b.mov", 4)],
        &known,
        &[
            ("a.heic", Decision::Unchanged),
            ("a.mp4", Decision::Read(Why::New)),
            ("b.heic", Decision::NotMedia("plain text".into())),
            ("b.mov", Decision::Read(Why::New)),
        ],
    );
}

fn membership(file: i64, collection: i64, deleted: bool) -> FileRow {
    FileRow {
        id: FileId(file),
        collection: CollectionId(collection),
        owner: AccountId(1),
        encrypted_key: Opaque::default(),
        key_nonce: Opaque::default(),
        title: None,
        content_hash: None,
        kind: 0,
        taken: 0,
        modified: 0,
        object_size: 0,
        thumbnail_size: 0,
        object_header: Opaque::default(),
        thumbnail_header: Opaque::default(),
        metadata: None,
        public_metadata: None,
        private_metadata: None,
        version: Version(1),
        deleted,
    }
}

fn trashed(file: i64, at: i64, restored: bool, purged: bool) -> TrashRow {
    TrashRow {
        file: FileId(file),
        collection: CollectionId(1),
        encrypted_key: Opaque::default(),
        key_nonce: Opaque::default(),
        title: None,
        content_hash: None,
        object_size: 0,
        trashed_at: at,
        delete_by: at + 30,
        restored,
        purged,
        version: Version(at),
    }
}

#[test]
fn content_in_the_vault() {
    let album = Some(CollectionId(5));
    let link = |row: &FileRow| ContentDecision::Link(Box::new(row.clone()));
    let elsewhere = membership(9, 4, false);
    let decide = |rows: &[FileRow], trash: &[TrashRow]| decide_content(rows, trash, album, 100);
    assert_eq!(decide(&[], &[]), ContentDecision::Send);
    assert_eq!(decide(&[membership(9, 5, false)], &[]), ContentDecision::Present(FileId(9)));
    assert_eq!(decide(std::slice::from_ref(&elsewhere), &[]), link(&elsewhere));
    assert_eq!(decide_content(std::slice::from_ref(&elsewhere), &[], None, 100), link(&elsewhere));
    // Taken out of this album by its owner: it stays out.
    let taken_out = [elsewhere.clone(), membership(9, 5, true)];
    assert_eq!(decide(&taken_out, &[]), ContentDecision::Present(FileId(9)));
    // Out of another album, or another file out of this one: that says nothing of this picture here.
    for other in [membership(9, 6, true), membership(8, 5, true)] {
        assert_eq!(decide(&[elsewhere.clone(), other], &[]), link(&elsewhere));
    }
    // Live wins over an older copy in the trash.
    assert_eq!(decide(std::slice::from_ref(&elsewhere), &[trashed(8, 200, false, false)]), link(&elsewhere));
    assert_eq!(decide(&[membership(9, 5, true)], &[]), ContentDecision::Send);
}

#[test]
fn content_that_was_deleted() {
    let decide = |trash: &[TrashRow], first_seen| {
        decide_content(&[membership(9, 5, true)], trash, Some(CollectionId(5)), first_seen)
    };
    let deleted = ContentDecision::Deleted { at: 100 };
    for purged in [false, true] {
        assert_eq!(decide(&[trashed(9, 100, false, purged)], 99), deleted);
        assert_eq!(decide(&[trashed(9, 100, false, purged)], 100), deleted);
    }
    let row = trashed(9, 100, false, false);
    assert_eq!(decide(std::slice::from_ref(&row), 101), ContentDecision::Untrash(Box::new(row)));
    assert_eq!(decide(&[trashed(9, 100, false, true)], 101), ContentDecision::Send);
    assert_eq!(decide(&[trashed(9, 100, true, false)], 99), ContentDecision::Send);
}

#[test]
fn the_reason_names_the_day() {
    let expected = "you deleted it from the vault on 2023-11-14; save a copy of it, and it comes back";
    assert_eq!(deleted_reason(1_700_000_000_000_000), expected);
    let expected = "you deleted a.heic, whose video this is, from the vault on 2023-11-14; save a copy of it, and it comes back";
    assert_eq!(of_video(&deleted_reason(1_700_000_000_000_000), "a.heic"), expected);
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("(x/|y/|)[ab](1|2|)\\.(jpg|heic|mov|txt)", 0..12)
        .prop_map(|set| set.into_iter().collect())
}

fn states() -> impl Strategy<Value = AssetState> {
    prop_oneof![
        Just(AssetState::BackedUp),
        Just(AssetState::Skipped),
        Just(AssetState::NotMedia),
        Just(AssetState::Blocked),
    ]
}

/// Rows for some of the paths, some of them with a video that may or may not be there.
fn world() -> impl Strategy<Value = (Vec<Found>, Vec<AssetRow>)> {
    (paths(), prop::collection::vec((any::<bool>(), 0u64..3, 0u64..3, states(), any::<Option<u8>>()), 12))
        .prop_map(|(paths, choices)| {
            let files: Vec<_> = paths.iter().zip(&choices).map(|(path, c)| found(path, c.1)).collect();
            let rows = paths.iter().zip(&choices).filter(|(_, c)| c.0);
            let rows = rows
                .map(|(path, (_, _, seed, state, video))| {
                    let video = video.and_then(|at| paths.get(usize::from(at) % paths.len().max(1)));
                    let motion = video.map(|video| (video.as_bytes().to_vec(), print(*seed)));
                    AssetRow { motion, ..row(path, *seed, *state) }
                })
                .collect();
            (files, rows)
        })
}

proptest! {
    #[test]
    fn every_file_is_in_one_step_or_is_a_video_of_one((files, rows) in world()) {
        let plan = plan(Path::new(ROOT), &files, &rows, &BTreeSet::new(), &AlbumRule::PerRoot);
        let named: HashSet<_> = plan.steps.iter().map(|step| step.path.clone()).collect();
        prop_assert_eq!(named.len(), plan.steps.len());
        let with_videos: HashSet<_> = plan.steps.iter()
            .flat_map(|step| std::iter::once(&step.path).chain(step.motion.as_ref().map(|m| &m.0)))
            .cloned()
            .collect();
        let all: HashSet<_> = files.iter().map(|file| file.path.clone()).collect();
        prop_assert_eq!(with_videos, all);
    }

    #[test]
    fn nothing_is_left_alone_without_proof((files, rows) in world()) {
        for step in plan(Path::new(ROOT), &files, &rows, &BTreeSet::new(), &AlbumRule::PerRoot).steps {
            let row = rows.iter().find(|row| row.path == raw(&step.path));
            match step.decision {
                Decision::Unchanged => {
                    let row = row.unwrap();
                    prop_assert_eq!((row.state, row.fingerprint), (AssetState::BackedUp, step.fingerprint));
                    let video = row.motion.as_ref().map(|(_, fingerprint)| *fingerprint);
                    prop_assert_eq!(video, step.motion.map(|(_, fingerprint)| fingerprint));
                }
                Decision::NotMedia(_) | Decision::Recheck(_) => {
                    prop_assert_eq!(row.unwrap().fingerprint, step.fingerprint);
                }
                Decision::Read(_) => {}
            }
        }
    }

    #[test]
    fn an_unchanged_tree_is_unchanged_and_one_change_touches_only_its_stem(
        paths in paths(), changed in any::<prop::sample::Index>(),
    ) {
        let mut files: Vec<_> = paths.iter().map(|path| found(path, 1)).collect();
        let rows: Vec<_> = paths.iter().map(|path| row(path, 1, AssetState::BackedUp)).collect();
        let before = plan(Path::new(ROOT), &files, &rows, &BTreeSet::new(), &AlbumRule::PerRoot);
        prop_assert!(before.steps.iter().all(|step| step.decision == Decision::Unchanged));
        prop_assume!(!files.is_empty());
        let changed = changed.index(files.len());
        files[changed].fingerprint = print(2);
        let stem = |path: &Path| path.with_extension("");
        for step in plan(Path::new(ROOT), &files, &rows, &BTreeSet::new(), &AlbumRule::PerRoot).steps {
            if step.path == files[changed].path {
                prop_assert_eq!(step.decision, Decision::Read(Why::Changed));
            } else if stem(&step.path) != stem(&files[changed].path) {
                prop_assert_eq!(step.decision, Decision::Unchanged);
            }
        }
    }

    #[test]
    fn the_order_of_the_scan_does_not_matter((files, rows) in world()) {
        let reversed: Vec<_> = files.iter().rev().cloned().collect();
        let plan_of = |files: &[Found]| plan(Path::new(ROOT), files, &rows, &BTreeSet::new(), &AlbumRule::PerRoot);
        prop_assert_eq!(plan_of(&files), plan_of(&reversed));
    }
}

#[test]
fn keys_of_albums_are_compared_not_names() {
    let mut known = row("a.jpg", 1, AssetState::BackedUp);
    known.album = DeviceAlbumKey { root: b"/elsewhere".to_vec(), folder: Vec::new() };
    let expected = Decision::Recheck(ContentHash::of(b"a.jpg"));
    check(&[found("a.jpg", 1)], &[known], &[("a.jpg", expected)]);
}

#[test]
fn what_its_owner_deleted_from_the_vault_is_not_called_safe() {
    let rows = [row("a.jpg", 1, AssetState::BackedUp)];
    let decision = |deleted: &[FileId]| {
        let deleted = deleted.iter().copied().collect();
        let plan = plan(Path::new(ROOT), &[found("a.jpg", 1)], &rows, &deleted, &AlbumRule::PerRoot);
        plan.steps.into_iter().next().unwrap().decision
    };
    assert_eq!(decision(&[FileId(2)]), Decision::Unchanged);
    assert_eq!(decision(&[FileId(1)]), Decision::Recheck(ContentHash::of(b"a.jpg")));
}

#[test]
fn what_is_settled_is_let_go_of_while_it_is_found() {
    let album = AlbumMark::of(&AlbumRule::PerRoot.album_of(Path::new(ROOT), Path::new("a.jpg")).key);
    let other =
        AlbumMark::of(&AlbumRule::Named("Ski".into()).album_of(Path::new(ROOT), Path::new("a.jpg")).key);
    let row =
        SettledRow { path: b"a.jpg".to_vec(), fingerprint: print(1), album: album.clone(), file: FileId(7) };
    let none = BTreeSet::new();
    for (seed, displaced, album, expected) in [
        (1, &none, &album, true),
        (2, &none, &album, false),
        (1, &BTreeSet::from([FileId(7)]), &album, false),
        (1, &none, &other, false),
    ] {
        assert_eq!(is_settled(&row, &found("a.jpg", seed), displaced, album), expected);
    }
}
