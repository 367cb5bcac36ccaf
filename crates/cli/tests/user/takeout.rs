//! A Google Takeout export, as somebody has it who leaves.

use crate::crash::arrived;
use crate::machine::{Machine, jpeg, tree};
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};
use zip::CompressionMethod::{self, Deflated, Stored};
use zip::write::{SimpleFileOptions, ZipWriter};

const YEAR: &str = "Takeout/Google Photos/Photos from 2023";

fn write_zip(machine: &Machine, name: &str, entries: &[(String, CompressionMethod, Vec<u8>)]) {
    let mut writer = ZipWriter::new(std::fs::File::create(machine.path(name)).unwrap());
    for (name, method, bytes) in entries {
        writer.start_file(name, SimpleFileOptions::default().compression_method(*method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
}

fn json_entry(path: String, text: &str) -> (String, CompressionMethod, Vec<u8>) {
    (path, Deflated, text.as_bytes().to_vec())
}

/// An export in two archives: the sidecar of one picture is in the other one.
pub(crate) fn export(machine: &Machine) -> [&'static str; 2] {
    let taken = r#"{"title":"a.jpg","photoTakenTime":{"timestamp":"1700000000"}}"#;
    write_zip(
        machine,
        "takeout-001.zip",
        &[
            (format!("{YEAR}/a.jpg"), Deflated, jpeg(1)),
            (format!("{YEAR}/b.jpg"), Stored, jpeg(2)),
            ("Takeout/Google Photos/Paris/a.jpg".to_owned(), Deflated, jpeg(1)),
            json_entry("Takeout/archive_browser.html".to_owned(), "<html>"),
        ],
    );
    write_zip(
        machine,
        "takeout-002.zip",
        &[
            json_entry(format!("{YEAR}/a.jpg.supplemental-metadata.json"), taken),
            json_entry(
                "Takeout/Google Photos/Paris/métadonnées.json".to_owned(),
                r#"{"title":"Paris, mai"}"#,
            ),
        ],
    );
    ["takeout-001.zip", "takeout-002.zip"]
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|path| path.as_str().unwrap().rsplit('/').next().unwrap()).collect()
}

#[test]
fn an_export_goes_in_is_explained_and_comes_back() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let [first, second] = export(&machine);

    let preview = machine.json(&["import", "takeout", first, second, "--dry-run"]);
    let files = preview["files"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{preview}");
    assert_eq!((&files[0]["album"], &files[0]["sidecar"]), (&"Paris, mai".into(), &Value::Null));
    assert_eq!(files[1]["taken"], "2023-11-14T22:13:20Z");
    assert_eq!(names(&preview["withoutSidecar"]), ["a.jpg", "b.jpg"]);
    assert_eq!(machine.json(&["list"])["files"].as_array().unwrap().len(), 0, "nothing was imported");
    let text = machine.says(&["import", "takeout", first, second, "--dry-run"]);
    assert!(text.contains("Would import 3 files"), "{text}");

    let report = machine.json(&["import", "takeout", first, second]);
    assert_eq!((&report["uploaded"], &report["linked"]), (&2.into(), &1.into()), "{report}");
    assert_eq!(names(&report["withoutSidecar"]), ["a.jpg", "b.jpg"]);
    assert_eq!(report["notMedia"].as_array().unwrap().len(), 1, "{report}");
    let again = machine.json(&["import", "takeout", second, first]);
    assert_eq!((&again["bytesSent"], &again["unchanged"]), (&0.into(), &3.into()), "{again}");

    let entry = machine.path(first).join(YEAR).join("b.jpg");
    let explained = machine.json(&["explain", entry.to_str().unwrap()]);
    assert!(explained[0]["explanation"].as_str().unwrap().starts_with("Backed up on "), "{explained}");

    machine.json(&["restore", "--to", "back"]);
    let back: Vec<String> =
        tree(&machine.path("back")).into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
    let expected =
        ["Google Photos/Photos from 2023/a.jpg", "Google Photos/Photos from 2023/b.jpg", "Paris, mai/a.jpg"];
    assert_eq!(back, expected);
}

#[test]
fn an_archive_that_is_cut_is_named_and_the_status_says_so() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let [first, second] = export(&machine);
    let whole = std::fs::read(machine.path(second)).unwrap();
    std::fs::write(machine.path(second), &whole[..whole.len() / 2]).unwrap();
    let output = machine.run(&["import", "takeout", first, second]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("2 files uploaded"), "{text}");
    assert!(text.contains("takeout-002.zip: it is not a ZIP archive, or its end is missing"), "{text}");
    // Downloaded again, it adds the album and the date; what was sent before is linked.
    std::fs::write(machine.path(second), &whole).unwrap();
    let report = machine.json(&["import", "takeout", first, second]);
    assert_eq!((&report["uploaded"], &report["linked"]), (&0.into(), &2.into()), "{report}");
    let dated = machine.json(&["list", "--from", "2023-11-14", "--before", "2023-11-15"]);
    assert_eq!(dated["files"].as_array().unwrap().len(), 1, "{dated}");
    assert_eq!(machine.json(&["list", "--album", "Paris, mai"])["files"].as_array().unwrap().len(), 1);
}

/// Bytes of a large video.
const VIDEO: usize = 100_000_000;

/// Bytes that arrive before the kill.
const STEP: u64 = 40_000_000;

#[test]
fn killed_in_the_middle_of_an_entry_it_sends_nothing_twice_that_arrived() {
    for method in [Stored, Deflated] {
        let machine = Machine::new();
        let noise: Vec<u8> =
            (0..VIDEO as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        write_zip(&machine, "takeout.zip", &[(format!("{YEAR}/long.mov"), method, noise.clone())]);
        let _server = machine.with_account();
        let words = ["import", "takeout", "takeout.zip", "--no-thumbnails"];
        let mut running =
            machine.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while arrived(&machine) < STEP && running.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_mins(2), "nothing arrived");
            std::thread::yield_now();
        }
        let safe = arrived(&machine);
        running.kill().unwrap();
        running.wait().unwrap();
        let last = machine.json(&words);
        assert_eq!((&last["uploaded"], last["failed"].as_array().unwrap().len()), (&1.into(), 0), "{last}");
        let sent = last["bytesSent"].as_u64().unwrap();
        assert!(safe >= STEP && sent <= VIDEO as u64 + 100_000 - safe, "{safe} were safe, {sent} were sent");
        machine.json(&["restore", "--to", "back"]);
        assert!(tree(&machine.path("back")).values().any(|(bytes, _)| *bytes == noise));
    }
}
