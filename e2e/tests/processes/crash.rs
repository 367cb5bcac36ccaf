//! kill -9 at random moments, hundreds of times, while clients upload and edit: everything acknowledged reads back
//! identical, nothing else is visible, what was not acknowledged can be retried, and no orphan outlives the reaper.

use crate::remains::reap_and_compare;
use crate::workers::{Memory, Signals, Worker, check_everything};
use darkslide_e2e::engine::{Engine, engines};
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::Device;
use darkslide_e2e::stock::web::{self, WEB};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Clients at work at the same time.
const WORKERS: usize = 6;

/// Kills on SQLite, unless `DARKSLIDE_CRASH_KILLS` says otherwise; a quarter of them on PostgreSQL.
const KILLS: usize = 200;

/// One kill in so many does not wait until the server has served anything: it dies while it starts.
const AT_START: usize = 8;

/// The longest life of a server that has begun to serve.
const LIFE_MICROS: u64 = 120_000;

/// The longest life of a server that is killed while it starts.
const START_MICROS: u64 = 60_000;

fn kills() -> usize {
    std::env::var("DARKSLIDE_CRASH_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kill_9() {
    for engine in engines() {
        let count = if matches!(engine, Engine::Sqlite) { kills() } else { kills() / 4 };
        play(&engine, count).await;
    }
}

#[expect(clippy::print_stderr, reason = "how hard it was tried is worth a line")]
async fn play(engine: &Engine, count: usize) {
    let mut server = ServerProcess::start(engine).await;
    let owner = web::sign_up(&server, WEB, "crash@example.org", PASSWORD).await;
    let signals = Arc::new(Signals::default());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        tasks.spawn(Worker::new(&server.base(), &owner, &signals).await.run());
    }
    let began = Instant::now();
    for kill in 0..count {
        live_a_little(&signals, kill).await;
        server.kill();
        server.restart();
    }
    signals.ending.store(true, Ordering::Relaxed);
    let workers = tasks.join_all().await;
    let memories: Vec<&Memory> = workers.iter().map(|worker| &worker.memory).collect();
    let files: usize = memories.iter().map(|memory| memory.files.len()).sum();
    let broken_off = signals.broken_off.load(Ordering::Relaxed);
    eprintln!(
        "{engine:?}: {count} kills in {:.1} s, {files} files, {} calls acknowledged, {broken_off} broken off",
        began.elapsed().as_secs_f64(),
        signals.acknowledged.load(Ordering::Relaxed),
    );
    assert!(broken_off >= count / 4, "too few kills hit a call for the test to mean anything");
    check_twice(&mut server, &owner, &memories).await;
}

/// As it is; then after the reaper took everything that nobody committed, and once more after a kill.
async fn check_twice(server: &mut ServerProcess, owner: &Device, memories: &[&Memory]) {
    check_everything(&server.base(), owner, memories).await;
    server.stop();
    reap_and_compare(server).await;
    server.restart();
    check_everything(&server.base(), owner, memories).await;
}

/// Waits until something was acknowledged since the last kill, most of the time; then a random moment longer.
async fn live_a_little(signals: &Signals, kill: usize) {
    if kill % AT_START == AT_START - 1 {
        tokio::time::sleep(Duration::from_micros(random_below(START_MICROS))).await;
        return;
    }
    let before = signals.acknowledged.load(Ordering::Relaxed);
    let progress = async {
        while signals.acknowledged.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), progress).await.expect("a restarted server serves");
    tokio::time::sleep(Duration::from_micros(random_below(LIFE_MICROS))).await;
}

fn random_below(limit: u64) -> u64 {
    getrandom::u64().unwrap() % limit
}
