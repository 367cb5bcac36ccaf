//! Folders backed up and restored: every name, folder and time comes back, also where several files have one content.

use crate::world::{Person, World, contents};
use darkslide_client::backup::{BackupReport, Settings, backup};
use darkslide_client::catalog::Catalog;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::library::AlbumRule;
use darkslide_client::restore::{RestoreScope, restore};
use darkslide_client::thumbnail::Thumbnailer;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A JPEG as far as its first bytes tell, unlike any other seed's.
fn jpeg(seed: u8) -> Vec<u8> {
    [b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".as_slice(), &[seed; 400], b"\xff\xd9"].concat()
}

/// Writes a picture whose time tells its number, to the nanosecond.
fn write(folder: &Path, name: &str, seed: u8, number: u32) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, jpeg(seed)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000 + u64::from(number), 1 + number);
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
}

fn times(folder: &Path) -> BTreeMap<String, SystemTime> {
    let time = |name: &String| fs::metadata(folder.join(name)).unwrap().modified().unwrap();
    contents(folder).into_keys().map(|name| (name.clone(), time(&name))).collect()
}

struct Device {
    ada: Person,
    photos: PathBuf,
}

impl Device {
    async fn back_up(&self, world: &World, albums: AlbumRule) -> BackupReport {
        let session = Arc::new(self.ada.over(world.address));
        let settings = Settings { albums, thumbnailer: Thumbnailer::off(), ..Settings::default() };
        let (roots, events) = (std::slice::from_ref(&self.photos), Events::silent());
        let stop = tokio_util::sync::CancellationToken::new();
        let catalog = self.ada.catalog.clone();
        let report = backup(session, catalog, roots, &settings, &events, &stop).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        report
    }

    /// Restores on a device that has never seen the vault; gives the folder.
    async fn restored_elsewhere(&self, world: &World, name: &str) -> PathBuf {
        let catalog = Catalog::open(&world.folder.path().join(format!("{name}.sqlite"))).await.unwrap();
        feed::pull(&self.ada.session, &catalog).await.unwrap();
        let target = world.folder.path().join(name);
        let (scope, events) = (RestoreScope::Everything, Events::silent());
        let summary = restore(&self.ada.session, &catalog, &scope, &target, &events).await.unwrap();
        assert!(summary.failed.is_empty() && summary.renamed.is_empty(), "{summary:?}");
        let again = restore(&self.ada.session, &catalog, &scope, &target, &events).await.unwrap();
        assert_eq!((again.restored, again.already_there), (0, summary.restored));
        target
    }
}

async fn device(world: &World) -> Device {
    let ada = world.person("ada").await;
    let photos = world.folder.path().join("Photos");
    let files = [
        ("one.jpg", 1),
        ("copy of one.jpg", 1),
        ("phone a/IMG_0001.jpg", 2),
        ("phone b/IMG_0001.jpg", 3),
        ("phone b/IMG_0001 (1).jpg", 2),
        ("phone b/deep/er/one.jpg", 1),
        ("caf\u{e9}.jpg", 4),
        ("cafe\u{301}.jpg", 5),
    ];
    for (number, (name, seed)) in (0..).zip(files) {
        write(&photos, name, seed, number);
    }
    Device { ada, photos }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_comes_back_from_one_album() {
    let world = World::start().await;
    let device = device(&world).await;
    let report = device.back_up(&world, AlbumRule::PerRoot).await;
    assert_eq!((report.uploaded, report.linked), (5, 3), "{report:?}");
    let again = device.back_up(&world, AlbumRule::PerRoot).await;
    assert_eq!((again.unchanged, again.bytes_sent), (8, 0), "{again:?}");
    let target = device.restored_elsewhere(&world, "restored").await;
    assert_eq!(contents(&target.join("Photos")), contents(&device.photos));
    assert_eq!(times(&target.join("Photos")), times(&device.photos));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_comes_back_from_an_album_a_folder() {
    let world = World::start().await;
    let device = device(&world).await;
    device.back_up(&world, AlbumRule::PerFolder).await;
    let target = device.restored_elsewhere(&world, "restored").await;
    // The album of the files directly in the root has the root's name, the others their paths.
    let restored = |name: &str| match name.rsplit_once('/') {
        Some((folder, name)) => format!("{}/{name}", folder.replace('/', "_")),
        None => format!("Photos/{name}"),
    };
    let expected: BTreeMap<String, SystemTime> =
        times(&device.photos).into_iter().map(|(name, time)| (restored(&name), time)).collect();
    assert_eq!(times(&target), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_arrives_later_comes_back_too() {
    let world = World::start().await;
    let device = device(&world).await;
    device.back_up(&world, AlbumRule::PerRoot).await;
    write(&device.photos, "later/again.jpg", 1, 99);
    let report = device.back_up(&world, AlbumRule::PerRoot).await;
    assert_eq!((report.uploaded, report.linked, report.bytes_sent), (0, 1, 0), "{report:?}");
    let target = device.restored_elsewhere(&world, "restored").await;
    assert_eq!(times(&target.join("Photos")), times(&device.photos));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_set_later_comes_back() {
    let world = World::start().await;
    let device = device(&world).await;
    device.back_up(&world, AlbumRule::PerRoot).await;
    let names: Vec<String> = contents(&device.photos).into_keys().collect();
    for number in [50, 60] {
        for name in &names {
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000 + number, 7);
            File::options().write(true).open(device.photos.join(name)).unwrap().set_modified(time).unwrap();
        }
        let report = device.back_up(&world, AlbumRule::PerRoot).await;
        assert_eq!((report.uploaded, report.bytes_sent), (0, 0), "{report:?}");
    }
    let target = device.restored_elsewhere(&world, "restored").await;
    assert_eq!(times(&target.join("Photos")), times(&device.photos));
}
