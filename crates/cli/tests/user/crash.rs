//! The client killed in the middle, with -9: the next run goes on from the last part that the server acknowledged.

use crate::machine::{Machine, jpeg, tree, write};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Bytes of the large video: some ten parts of 20 MiB.
const VIDEO: usize = 200_000_000;

/// Bytes of one part of ciphertext.
const PART: u64 = 20_971_605;

/// Parts that are whole in the server's folder; what is on its way lies elsewhere.
fn parts(machine: &Machine) -> usize {
    let objects = machine.path("server/objects");
    if objects.is_dir() { large(&objects).len() } else { 0 }
}

/// The parts below a folder, each once: one that is sent again lies there twice for a moment, under the same name but for its end.
fn large(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries
        .filter_map(Result::ok)
        .flat_map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => large(&entry.path()),
            Ok(metadata) if metadata.len() == PART => {
                let name = entry.file_name().to_string_lossy().into_owned();
                BTreeSet::from([name.rsplit_once('.').map_or(name.clone(), |(part, _)| part.to_owned())])
            }
            _ => BTreeSet::new(),
        })
        .collect()
}

#[test]
fn killed_in_the_middle_of_a_video_it_sends_no_acknowledged_part_twice() {
    let machine = Machine::new();
    let folder = machine.path("pictures");
    let noise: Vec<u8> =
        (0..VIDEO as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write(&folder.join("long.mov"), &noise);
    write(&folder.join("a.jpg"), &jpeg(1));
    let _server = machine.with_account("crash@example.org");
    let words = ["backup", folder.to_str().unwrap(), "--no-thumbnails"];
    let mut acknowledged = 0;
    for kill in 1..=3 {
        let mut running =
            machine.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while parts(&machine) < acknowledged + 2 && running.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_mins(2), "kill {kill}: no part arrived");
            std::thread::yield_now();
        }
        running.kill().unwrap();
        running.wait().unwrap();
        acknowledged = parts(&machine);
    }
    let last = machine.json(&words);
    assert_eq!(last["failed"].as_array().unwrap().len(), 0, "{last}");
    let sent = last["bytesSent"].as_u64().unwrap();
    // The part that was under way at the last kill may be whole on disk and still unacknowledged.
    let owed = VIDEO as u64 + 100_000 - PART * (acknowledged as u64 - 1);
    assert!(
        acknowledged >= 3 && sent <= owed,
        "{acknowledged} parts were safe and {sent} bytes were sent again"
    );
    machine.json(&["restore", "--to", "back"]);
    let back = tree(&machine.path("back"));
    assert!(back.values().any(|(bytes, _)| *bytes == noise), "the video came back byte for byte");
    assert_eq!(back.len(), 2);
}
