//! What every file of the corpus is, and what it says of itself: looked at beside `exiftool`'s answers and the notes
//! of the corpus's own list.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use darkslide_media::dates::{DateSource, utc};
use darkslide_media::file_type::FileType;
use darkslide_media::probe::{Probe, probe};

use super::{NOW, corpus, type_of};

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn line_of(found: &Probe) -> String {
    let mut line = String::new();
    match (found.width, found.height) {
        (Some(width), Some(height)) => write!(line, "{width}x{height}").unwrap(),
        _ => line.push_str("no size"),
    }
    if found.orientation != 1 {
        write!(line, " turned {}", found.orientation).unwrap();
    }
    if let Some(millis) = found.duration_millis {
        write!(line, " {millis} ms").unwrap();
    }
    // Modification times are those of the copy, which differ from machine to machine.
    if found.captured.source == DateSource::FileModified {
        line.push_str(" | FileModified");
    } else {
        let zone = found.captured.offset_time().unwrap_or_else(|| "no zone".into());
        write!(line, " | {:?} {} {zone}", found.captured.source, found.captured.date_time()).unwrap();
    }
    if let Some(place) = found.place {
        write!(line, " | {:.4} {:.4}", place.latitude(), place.longitude()).unwrap();
    }
    if let Some(make) = &found.camera_make {
        write!(line, " | {make} {}", found.camera_model.as_deref().unwrap_or("?")).unwrap();
    }
    if let Some(identifier) = &found.live_identifier {
        write!(line, " | live {identifier}").unwrap();
    }
    if found.motion_photo {
        line.push_str(" | motion");
    }
    if let Some((_, len)) = found.embedded_thumbnail {
        write!(line, " | thumbnail {len}").unwrap();
    }
    line
}

#[test]
fn every_file_is_told_apart_and_probed() {
    let Some(corpus) = corpus() else { return };
    let mut files = Vec::new();
    files_below(&corpus, &mut files);
    files.sort();
    let mut table = String::new();
    for path in files {
        let name = path.strip_prefix(&corpus).unwrap().to_string_lossy().into_owned();
        let apart = ["LICENSES/", "sidecar/", "takeout/"].iter().any(|folder| name.starts_with(folder));
        let name_short: String = name.replace(&"x".repeat(246), "x…");
        let listed = path.extension().is_some_and(|extension| extension == "tsv");
        match type_of(&path) {
            FileType::Media(media) => {
                assert!(!apart && !listed, "{name} is taken for media");
                let found = probe(&path, media, &utc, UNIX_EPOCH + NOW).unwrap();
                writeln!(
                    table,
                    "{name_short}\n    {:?} by {:?} | {}",
                    media.format,
                    media.evidence,
                    line_of(&found)
                )
                .unwrap();
            }
            FileType::NotMedia(reason) => {
                assert!(apart || listed, "{name} would not be backed up: {reason}");
                writeln!(table, "{name_short}\n    {reason:?}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}
