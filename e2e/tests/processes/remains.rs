//! What is left on disk and in the tables once everything that nobody committed has expired: nothing that is not named
//! by a committed object, and no object without its bytes.

use darkslide_e2e::engine::open;
use darkslide_e2e::process::ServerProcess;
use darkslide_server::config::{Config, RawConfig, SecretText};
use darkslide_server::jobs::expire::{expire, sweep_orphans};
use darkslide_server::{Server, Shared};
use sqlx::Row as _;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longer than uncommitted objects are kept, shorter than the trash's 30 days.
const DAYS: i64 = 20;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Runs the server's reaper over a stopped server's data as if 20 days had passed, and compares folder and tables.
pub(crate) async fn reap_and_compare(server: &ServerProcess) {
    let reaper = open_stopped(server).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let later = i64::try_from(now.as_micros()).unwrap() + DAYS * DAY_MICROS;
    expire(&reaper, later).await.unwrap();
    sweep_orphans(&reaper, later).await.unwrap();
    expire(&reaper, later).await.unwrap();
    reaper.store.close().await;
    drop(reaper);
    compare(server).await;
}

async fn open_stopped(server: &ServerProcess) -> Shared {
    let settings = RawConfig {
        data_dir: Some(server.data_dir()),
        database_url: Some(SecretText::new(server.database_url().to_owned())),
        ..RawConfig::default()
    };
    let config = Config::from_layers(settings, RawConfig::default(), RawConfig::default()).unwrap();
    Server::open(config).await.unwrap()
}

async fn compare(server: &ServerProcess) {
    let pool = open(server.database_url()).await;
    let named = names(&pool, "SELECT blob FROM objects WHERE blob IS NOT NULL").await;
    let parts = names(&pool, "SELECT blob FROM object_parts").await;
    let named: BTreeSet<String> = named.union(&parts).cloned().collect();
    let stored: BTreeSet<String> = files_below(&server.data_dir().join("objects"));
    assert_eq!(stored.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "orphans on disk");
    assert_eq!(named.difference(&stored).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without bytes");
    let mut incoming = files_below(&server.data_dir().join("incoming"));
    // Of a server that was killed as it claimed its folder: an hour later the next one removes it.
    incoming.remove("new-lock");
    assert_eq!(incoming, BTreeSet::new(), "half-written files");
    let uploads = files_below(&server.data_dir().join("uploads"));
    assert_eq!(uploads, BTreeSet::new(), "half-sent uploads");
    let open_states = "SELECT key FROM objects WHERE state IN ('open', 'stored')";
    assert_eq!(names(&pool, open_states).await, BTreeSet::new(), "rows that nobody committed");
    let parentless = "SELECT object_key FROM object_parts WHERE object_key NOT IN (SELECT key FROM objects)";
    assert_eq!(names(&pool, parentless).await, BTreeSet::new(), "parts of nothing");
    let unused =
        "SELECT key FROM objects WHERE state = 'committed' AND file_id NOT IN (SELECT id FROM files)";
    assert_eq!(names(&pool, unused).await, BTreeSet::new(), "objects of nothing");
    pool.close().await;
}

async fn names(pool: &sqlx::AnyPool, query: &'static str) -> BTreeSet<String> {
    let rows = sqlx::query(query).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

/// The names of all files below a folder.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(files_below(&entry.path()));
        } else {
            names.insert(entry.file_name().into_string().unwrap());
        }
    }
    names
}
