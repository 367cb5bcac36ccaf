//! Memory of the engine as the agent has it, and phones.

use crate::agent::Agent;
use crate::machine::Machine;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Bytes of a film that would show in memory if any part of it grew with its length.
const FILM_BYTES: usize = 256 << 20;

/// The most that the agent may ever take, in KiB: 64 MiB.
const PEAK_KIB_MAX: u64 = 64 << 10;

/// A film of which no part is like another.
fn record(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut film = BufWriter::new(File::create(path).unwrap());
    film.write_all(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom").unwrap();
    let mut state = 1_u64;
    for _ in 0..FILM_BYTES / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        film.write_all(&(state ^ (state >> 29)).to_le_bytes()).unwrap();
    }
    film.flush().unwrap();
}

#[test]
fn a_long_film_passes_through_little_memory() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("films");
    record(&folder.join("film.mp4"));
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &["--settle-incomplete", "100"]);
    agent.until_done(1, 0);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}
