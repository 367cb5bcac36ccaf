//! The client killed in the middle, with -9: the next run goes on from the last byte that reached the server.

use crate::machine::{Machine, jpeg, tree, write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Bytes of the large video.
const VIDEO: usize = 200_000_000;

/// Bytes that arrive between two kills.
const STEP: u64 = 40_000_000;

/// Bytes of the upload that have arrived.
pub(crate) fn arrived(machine: &Machine) -> u64 {
    let Ok(entries) = std::fs::read_dir(machine.path("server/uploads")) else { return 0 };
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

#[test]
fn killed_in_the_middle_of_a_video_it_sends_nothing_twice_that_arrived() {
    let machine = Machine::new();
    let folder = machine.path("pictures");
    let noise: Vec<u8> =
        (0..VIDEO as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write(&folder.join("long.mov"), &noise);
    write(&folder.join("a.jpg"), &jpeg(1));
    let _server = machine.with_account();
    let words = ["backup", folder.to_str().unwrap(), "--no-thumbnails"];
    let mut safe = 0;
    for kill in 1..=3 {
        let mut running =
            machine.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while arrived(&machine) < safe + STEP && running.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_mins(2), "kill {kill}: nothing arrived");
            std::thread::yield_now();
        }
        // What has arrived is recorded when the connection ends.
        safe = arrived(&machine);
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let last = machine.json(&words);
    assert_eq!(last["failed"].as_array().unwrap().len(), 0, "{last}");
    let sent = last["bytesSent"].as_u64().unwrap();
    let owed = VIDEO as u64 + 100_000 - safe;
    assert!(safe >= 3 * STEP && sent <= owed, "{safe} bytes were safe and {sent} bytes were sent again");
    machine.json(&["restore", "--to", "back"]);
    let back = tree(&machine.path("back"));
    assert!(back.values().any(|(bytes, _)| *bytes == noise), "the video came back byte for byte");
    assert_eq!(back.len(), 2);
}
