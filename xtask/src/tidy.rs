//! House rules that no compiler knows: the first line of every file, names that say nothing, files that grew too long, links
//! that lead nowhere, media that must not be committed.
//!
//! It looks at what git tracks, and changes nothing.

use crate::shell::{command, root};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// A file longer than this explains itself in its first lines, with the words “long because”.
const LINES_MAX: usize = 600;

/// Names under which everything ends up.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "manager", "prelude"];

/// Endings of pictures and videos. A fixture that a test needs is made by the test.
const MEDIA: [&str; 14] =
    ["jpg", "jpeg", "heic", "mov", "mp4", "avif", "jxl", "dng", "cr3", "nef", "arw", "webp", "gif", "tiff"];

/// Checks every tracked file and lists all that is wrong.
pub(crate) fn run() -> Result<()> {
    let mut faults = Vec::new();
    let files = tracked()?;
    ensure!(!files.is_empty(), "git lists no files: tidy must be run in a clone");
    for file in &files {
        let path = root().join(file);
        check_name(file, &mut faults);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        match Path::new(file).extension().and_then(|extension| extension.to_str()) {
            Some("rs") => check_rust(file, &text, &mut faults),
            Some("md") => check_links(file, &text, &mut faults),
            _ => {}
        }
    }
    crate::rows::check(&files, &mut faults)?;
    if faults.is_empty() {
        println!("{} files are tidy", files.len());
        return Ok(());
    }
    bail!("{}", faults.join("\n"))
}

/// What git tracks and is there.
pub(crate) fn tracked() -> Result<Vec<String>> {
    let output = command("git", &["ls-files", "-z"]).output().context("could not start git")?;
    let text = String::from_utf8(output.stdout).context("git lists a name that is not UTF-8")?;
    Ok(text
        .split('\0')
        .filter(|name| !name.is_empty() && root().join(name).exists())
        .map(str::to_owned)
        .collect())
}

fn check_name(file: &str, faults: &mut Vec<String>) {
    let path = Path::new(file);
    let lower = |part: Option<&std::ffi::OsStr>| {
        part.and_then(|text| text.to_str()).unwrap_or_default().to_ascii_lowercase()
    };
    if EMPTY_NAMES.contains(&lower(path.file_stem()).as_str()) {
        faults.push(format!("{file}: the name says nothing about what is in it"));
    }
    if MEDIA.contains(&lower(path.extension()).as_str()) {
        faults.push(format!("{file}: media are not committed; let the test make it"));
    }
}

fn check_rust(file: &str, text: &str, faults: &mut Vec<String>) {
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("//!") && !first.starts_with("#![doc") && !first.starts_with("#![no_main]") {
        faults.push(format!("{file}:1: must open with `//!`: what it is, and what it refuses to do"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX && !text.lines().take(12).any(|line| line.contains("long because")) {
        faults.push(format!(
            "{file}: {lines} lines; split it by noun, or say “long because …” in its first lines"
        ));
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("#[allow(") || code.starts_with("#![allow(") {
            faults.push(format!("{file}:{}: use #[expect(…, reason = \"…\")]", number + 1));
        }
        if code.starts_with("#[ignore") {
            faults.push(format!("{file}:{}: a skipped test is a defect", number + 1));
        }
    }
}

/// Every relative link in a document leads to a file that is there.
fn check_links(file: &str, text: &str, faults: &mut Vec<String>) {
    let folder = root().join(file).parent().map(Path::to_path_buf).unwrap_or_default();
    for (number, line) in text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !folder.join(target).exists() {
                faults.push(format!("{file}:{}: {target} is not there", number + 1));
            }
        }
    }
}
