//! What goes wrong on the way: disks that are not there, full, read-only or broken; lines that are cut; sessions that end.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, picture, tree_of};
use darkslide_client::folder::{Memories, marker, restore_from_trash};
use darkslide_e2e::proxy::Proxy;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Something mounted on a path, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// CI may mount, and must; elsewhere whoever may not is told.
    #[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
    fn mount(words: &[&str], at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(words).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none(), "CI may mount, and must");
        eprintln!("no right to mount: what happens to a sync folder without its disk was NOT tested");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Shows S6, X6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_own_marker_a_root_is_left_alone() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    let marker = scene.path("Phone").join(marker::NAME);
    let before = fs::read(&marker).unwrap();
    for other in [None, Some(&b"another\n"[..])] {
        match other {
            None => fs::remove_file(&marker).unwrap(),
            Some(other) => fs::write(&marker, other).unwrap(),
        }
        scene.remove("Phone/a.jpg");
        let file = scene.trash_elsewhere("b.jpg").await;
        for _ in 0..3 {
            let report = scene.pass_over("Phone").await.unwrap();
            assert!(!report.did_something() && report.unhealthy.unwrap().contains("readopt"));
        }
        assert_eq!((scene.vault().await, scene.tree("Phone").len()), (vec!["a.jpg".to_owned()], 1));
        fs::write(&marker, &before).unwrap();
        scene.write("Phone/a.jpg", 1);
        scene.restore_elsewhere(file).await;
        scene.settle().await;
        assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    }
}

/// Shows S6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmounted_disk_is_no_deletion() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    // The pictures are on the disk that is mounted; behind it is an empty folder.
    let (root, disk) = (scene.path("Phone"), scene.path("disk"));
    fs::rename(&root, &disk).unwrap();
    fs::create_dir(&root).unwrap();
    let Some(mounted) = Mounted::mount(&["--bind", disk.to_str().unwrap()], &root) else { return };
    assert!(scene.settle().await.is_in_step());
    drop(mounted);
    for _ in 0..3 {
        let report = scene.pass_over("Phone").await.unwrap();
        assert!(report.unhealthy.is_some() && !report.did_something());
    }
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
    let Some(_mounted) = Mounted::mount(&["--bind", disk.to_str().unwrap()], &root) else { return };
    assert!(scene.settle().await.is_in_step());
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
}

/// Shows S6. The root is healthy, and a card or a second disk below it is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmounted_disk_below_the_root_is_no_deletion() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("disk/b.jpg", 2), ("disk/deep/c.jpg", 3)] {
        scene.write(path, number);
    }
    let (card, disk) = (scene.path("Phone/DCIM"), scene.path("disk"));
    fs::create_dir(&card).unwrap();
    let Some(mounted) = Mounted::mount(&["--bind", disk.to_str().unwrap()], &card) else { return };
    scene.settle().await;
    assert_eq!(scene.vault().await.len(), 3);
    drop(mounted);
    for _ in 0..3 {
        let report = scene.pass_over("Phone").await.unwrap();
        assert!(!report.did_something() && report.failed[0].reason.contains("readopt"), "{report:?}");
    }
    // What is new goes on; what is gone may have been moved onto the disk that is away, and waits.
    scene.write("Phone/d.jpg", 4);
    scene.remove("Phone/a.jpg");
    for _ in 0..4 {
        scene.pass_over("Phone").await.unwrap();
    }
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (4, 0));
    let mounted = Mounted::mount(&["--bind", disk.to_str().unwrap()], &card);
    if mounted.is_none() {
        return;
    }
    assert!(scene.settle().await.is_in_step());
    assert_eq!(scene.vault().await, ["b.jpg", "c.jpg", "d.jpg"]);
    // Nor does what is brought back by hand come into the place of a disk.
    scene.trash_elsewhere("c.jpg").await;
    assert_eq!(scene.settle().await.trashed_local, 1);
    let (row, id) = (scene.row("Phone").await, scene.local_trash("Phone").await[0].id.clone());
    drop(mounted);
    let told = restore_from_trash(&scene.catalog, &row, &id).await.unwrap_err().to_string();
    assert!(told.contains(card.to_str().unwrap()) && told.contains("mount it there"), "{told}");
    assert_eq!((scene.local_trash("Phone").await.len(), fs::read_dir(&card).unwrap().count()), (1, 0));
    let Some(_mounted) = Mounted::mount(&["--bind", disk.to_str().unwrap()], &card) else { return };
    let back = restore_from_trash(&scene.catalog, &row, &id).await.unwrap();
    assert_eq!(back, Some(card.join("deep/c.jpg")));
    assert_eq!(scene.settle().await.restored, 1);
    // A deletion on the card is one.
    scene.remove("Phone/DCIM/b.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    let root = scene.path("Phone");
    let whole = root.to_str().unwrap().to_owned();
    let Some(mounted) = Mounted::mount(&["--bind", &whole], &root) else { return };
    assert!(Command::new("mount").args(["-o", "remount,bind,ro", &whole]).status().unwrap().success());
    let trashed = scene.trash_elsewhere("a.jpg").await;
    // Seen by a pass, and by the next agent's first.
    for _ in 0..2 {
        let report = scene.pass_over("Phone").await.unwrap();
        let told = report.unhealthy.unwrap_or_else(|| report.failed[0].reason.clone());
        let mends = format!("`sudo mount -o remount,rw \"$(findmnt -nT {whole} -o TARGET)\"`");
        assert!(told.contains(&format!("files in {whole}, ")) && told.contains(&mends), "{told}");
        assert!(!told.contains("trash-Phone"), "{told}");
        scene.memories = Memories::default();
    }
    assert_eq!(scene.tree("Phone").len(), 2);
    drop(mounted);
    assert_eq!(scene.settle().await.trashed_local, 1);
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]));
    // Nor can what comes back be brought.
    let Some(mounted) = Mounted::mount(&["--bind", &whole], &root) else { return };
    assert!(Command::new("mount").args(["-o", "remount,bind,ro", &whole]).status().unwrap().success());
    fs::remove_dir_all(scene.row("Phone").await.folder.trash).unwrap();
    scene.restore_elsewhere(trashed).await;
    let told = scene.pass_over("Phone").await.unwrap().failed[0].reason.clone();
    assert!(told.contains(&format!("files in {whole}, ")) && told.contains("remount,rw"), "{told}");
    drop(mounted);
    assert_eq!(scene.settle().await.materialised, 1);
    // The trash itself takes nothing.
    let trash = scene.row("Phone").await.folder.trash;
    fs::create_dir_all(&trash).unwrap();
    let there = trash.to_str().unwrap().to_owned();
    let Some(_mounted) = Mounted::mount(&["--bind", &there], &trash) else { return };
    assert!(Command::new("mount").args(["-o", "remount,bind,ro", &there]).status().unwrap().success());
    scene.trash_elsewhere("b.jpg").await;
    let told = scene.pass_over("Phone").await.unwrap().failed[0].reason.clone();
    assert!(
        told.contains("local trash") && told.contains(&there) && !told.contains("may not create"),
        "{told}"
    );
    assert_eq!(scene.tree("Phone").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_gets_no_halves() {
    let mut scene = Scene::bare().await;
    let root = scene.path("Phone");
    fs::create_dir(&root).unwrap();
    let Some(_mounted) = Mounted::mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], &root) else { return };
    scene.add("Phone", darkslide_client::folder::reconcile::Direction::Both, None).await;
    let mut large = picture(7);
    large.splice(20..20, vec![0x20; 1_200_000]);
    fs::write(root.join("large.jpg"), &large).unwrap();
    scene.write("Phone/small.jpg", 1);
    scene.settle().await;
    let file = scene.trash_elsewhere("large.jpg").await;
    scene.settle().await;
    fs::remove_dir_all(scene.row("Phone").await.folder.trash).unwrap();
    // No room for it any more.
    fs::write(root.join("ballast.bin"), vec![1; 1_500_000]).unwrap();
    scene.restore_elsewhere(file).await;
    let report = scene.pass_over("Phone").await.unwrap();
    assert_eq!((report.materialised, report.failed_count), (0, 1), "{report:?}");
    let names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(scene.vault().await, ["large.jpg", "small.jpg"]);
    fs::remove_file(root.join("ballast.bin")).unwrap();
    assert_eq!(scene.settle().await.materialised, 1);
    assert_eq!(fs::read(root.join("large.jpg")).unwrap(), large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_is_unknown_and_told() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    // Reading a process's memory at 0 is an error of input and output.
    let path = scene.path("Phone/a.jpg");
    let Some(mounted) = Mounted::mount(&["--bind", "/proc/self/mem"], &path) else { return };
    assert!(fs::read(&path).is_err());
    for _ in 0..3 {
        let report = scene.pass_over("Phone").await.unwrap();
        assert!(!report.did_something());
        assert!(report.failed.iter().any(|told| told.path.ends_with("a.jpg")), "{report:?}");
    }
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    drop(mounted);
    let report = scene.settle().await;
    assert!(report.is_in_step(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_cut_anywhere_change_nothing_in_the_end() {
    let mut scene = Scene::new().await;
    for number in 0..6 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    for cut_after in [0, 150, 400, 900, 2_000, 4_000] {
        let proxy = Proxy::start(&scene.server.base(), cut_after, 6).await;
        let session = scene.through(&proxy.base());
        let _passed_or_not = scene.pass_with(&session, "Phone").await;
    }
    scene.settle().await;
    assert_eq!((scene.vault().await.len(), scene.tree("Phone").len()), (6, 6));
    scene.trash_elsewhere("0.jpg").await;
    scene.remove("Phone/1.jpg");
    scene.rename("Phone/2.jpg", "Phone/two.jpg");
    scene.write("Phone/3.jpg", 33);
    for cut_after in [0, 150, 400, 900, 2_000, 4_000, 8_000] {
        let proxy = Proxy::start(&scene.server.base(), cut_after, 6).await;
        let session = scene.through(&proxy.base());
        let _passed_or_not = scene.pass_with(&session, "Phone").await;
    }
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("3.jpg", 33), ("4.jpg", 4), ("5.jpg", 5), ("two.jpg", 2)]));
    assert_eq!(
        (scene.vault().await.len(), scene.vault_trash().await),
        (4, vec!["0.jpg".into(), "1.jpg".into()])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_or_a_session_that_has_ended_deletes_nothing() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    scene.server.kill();
    let (address, nobody) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), "127.0.0.1:");
    let base = format!("http://{nobody}{}", address.local_addr().unwrap().port());
    drop(address);
    let away = scene.through(&base);
    for _ in 0..3 {
        assert!(scene.pass_with(&away, "Phone").await.is_err());
    }
    scene.server.restart();
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
    let other = scene.through(&scene.server.base());
    other.api.logout().await.unwrap();
    let error = scene.pass_with(&Arc::clone(&other), "Phone").await.unwrap_err();
    assert!(error.is_signed_out(), "{error}");
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_the_server_cannot_vouch_for_is_not_let_go_of() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.trash_elsewhere("a.jpg").await;
    // Every byte that the server stores is another one now.
    let objects = scene.server.data_dir().join("objects");
    spoil(&objects);
    let report = scene.pass_over("Phone").await.unwrap();
    assert_eq!(report.trashed_local, 0);
    assert!(report.failed.iter().any(|told| told.reason.contains("damaged")), "{report:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
}

fn spoil(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil(&path);
        } else {
            let bytes: Vec<u8> = fs::read(&path).unwrap().into_iter().map(|byte| !byte).collect();
            fs::write(&path, bytes).unwrap();
        }
    }
}

/// A clock that jumps 31 days ahead, as one does that was set wrongly and is put right: by that of the server nothing is old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_does_not_empty_the_local_trash() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.trash_elsewhere("a.jpg").await;
    scene.settle().await;
    let trash = scene.row("Phone").await.folder.trash;
    let id = scene.local_trash("Phone").await[0].id.clone();
    let (micros, rest) = id.split_once('-').unwrap();
    let earlier = |micros: i64| micros - 31 * 24 * 3600 * 1_000_000;
    let old = trash.join(format!("{}-{rest}", earlier(micros.parse().unwrap())));
    fs::rename(trash.join(&id), &old).unwrap();
    scene.settle().await;
    assert_eq!(scene.local_trash("Phone").await.len(), 1);
    // Once as much has passed by the server's, too.
    let note = old.join("entry.json");
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    for clock in ["serverTime", "trashedAt"] {
        entry[clock] = earlier(entry[clock].as_i64().unwrap()).into();
    }
    fs::write(&note, entry.to_string()).unwrap();
    scene.settle().await;
    assert_eq!(scene.local_trash("Phone").await.len(), 0);
}

/// The disk goes away while a pass is under way: before the vault's news, of the pass that sends or of the one that removes, or while the server reads
/// its copy. What the pass had seen was true then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_unmounted_in_the_middle_of_a_pass_loses_nothing() {
    // Sending: the look, before, after. Removing: the look, before the vault's trash, and before the local one.
    let turns = (0..6).map(|turn| ("/v1/changes", turn, turn > 4)).chain([("/v1/receipts", 0, true)]);
    for (path, turn, was_there) in turns {
        let mut scene = Scene::new().await;
        for number in 1..=4 {
            scene.write(&format!("Phone/{number}.jpg"), number);
        }
        scene.settle().await;
        let (root, disk) = (scene.path("Phone"), scene.path("disk"));
        fs::rename(&root, &disk).unwrap();
        fs::create_dir(&root).unwrap();
        let bind = ["--bind", disk.to_str().unwrap()];
        let Some(_mounted) = Mounted::mount(&bind, &root) else { return };
        scene.settle().await;
        // Something to be done in every way.
        scene.remove("Phone/1.jpg");
        scene.pass_over("Phone").await.unwrap();
        scene.write("Phone/5.jpg", 5);
        scene.trash_elsewhere("2.jpg").await;
        let place = root.clone();
        let happens = Box::new(move || {
            assert!(Command::new("umount").arg("-l").arg(&place).status().unwrap().success());
            Box::pin(async {}) as _
        });
        let gate = Gate::start(&scene.server.base(), path, Oddity::Before(turn, happens)).await;
        let session = scene.through(&gate.base());
        for _ in 0..2 {
            scene.pass_with(&session, "Phone").await.unwrap();
        }
        let report = scene.pass_with(&session, "Phone").await.unwrap();
        assert!(report.unhealthy.is_some(), "{path} {turn}: {report:?}");
        // What was asked for while the disk was there was gone from it.
        let trashed = if was_there { &["1.jpg", "2.jpg"][..] } else { &["2.jpg"] };
        assert_eq!(scene.vault_trash().await, trashed, "{path} {turn}");
        assert!(gate.calls() > turn && scene.tree("Phone").is_empty(), "nothing came into its place");
        assert_eq!(scene.local_trash("Phone").await.len(), 0);
        let Some(_mounted) = Mounted::mount(&bind, &root) else { return };
        assert_eq!(scene.tree("Phone"), tree_of([("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4), ("5.jpg", 5)]));
        scene.settle().await;
        assert_eq!(scene.tree("Phone"), tree_of([("3.jpg", 3), ("4.jpg", 4), ("5.jpg", 5)]));
        assert_eq!(scene.vault_trash().await, ["1.jpg", "2.jpg"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_local_trash_takes_nothing_and_nothing_is_deleted() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    let trash = scene.row("Phone").await.folder.trash;
    fs::create_dir_all(&trash).unwrap();
    let Some(_mounted) = Mounted::mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"], &trash) else { return };
    let ballast = trash.join("ballast");
    assert!(fs::write(&ballast, vec![1; 1 << 20]).is_err(), "it is full");
    scene.trash_elsewhere("a.jpg").await;
    for _ in 0..3 {
        let report = scene.pass_over("Phone").await.unwrap();
        assert_eq!((report.trashed_local, report.failed_count), (0, 1), "{report:?}");
        let told = &report.failed[0].reason;
        assert!(told.contains("nothing was deleted") && told.contains("No space left"), "{told}");
    }
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 1, "no halves");
    fs::remove_file(ballast).unwrap();
    assert_eq!(scene.settle().await.trashed_local, 1);
    assert_eq!((scene.tree("Phone"), scene.local_trash("Phone").await.len()), (tree_of([("b.jpg", 2)]), 1));
}

/// Between two looks the clock jumps a year ahead, or back: a jump is no look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_between_two_looks_deletes_nothing_that_is_there() {
    const YEAR: i64 = 365 * 24 * 3600 * 1_000_000;
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.settings.absence = std::time::Duration::from_hours(1);
    // What was noted before is as much earlier.
    let jumps = async |scene: &Scene, ahead: i64| {
        let pool = sqlx::SqlitePool::connect(scene.path("catalog.db").to_str().unwrap()).await.unwrap();
        let text = "UPDATE sync_base SET absent_since = absent_since - $1 WHERE absent_since IS NOT NULL";
        sqlx::query(text).bind(ahead).execute(&pool).await.unwrap();
    };
    scene.remove("Phone/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    scene.write("Phone/a.jpg", 1);
    jumps(&scene, YEAR).await;
    for _ in 0..2 {
        assert_eq!(scene.pass_over("Phone").await.unwrap().trashed_remote, 0, "it is there again");
    }
    scene.remove("Phone/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    for _ in 0..2 {
        jumps(&scene, -YEAR).await;
        assert_eq!(
            scene.pass_over("Phone").await.unwrap().trashed_remote,
            0,
            "that look does not count any more"
        );
    }
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg", "c.jpg"]);
    // Missed by one look before the jump and by another one after it.
    jumps(&scene, YEAR).await;
    assert_eq!(scene.pass_over("Phone").await.unwrap().trashed_remote, 1);
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await), (2, vec!["a.jpg".to_owned()]));
}

/// Nobody deleted it in the vault, which has no record of it, as after a disaster there: nothing is done about that, and it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_neither_side_has_any_more_is_told() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let pool = sqlx::SqlitePool::connect(scene.path("catalog.db").to_str().unwrap()).await.unwrap();
    sqlx::query("DELETE FROM files WHERE title = 'a.jpg'").execute(&pool).await.unwrap();
    scene.remove("Phone/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    let report = scene.pass_over("Phone").await.unwrap();
    assert!(!report.did_something(), "{report:?}");
    let told: Vec<_> = report.notices.iter().map(|told| (&*told.path, &*told.reason)).collect();
    assert_eq!(told, [("a.jpg", "it is gone from the folder, and the vault has no record of it")]);
    assert_eq!(scene.pass_over("Phone").await.unwrap().notices.len(), 0, "once");
}
