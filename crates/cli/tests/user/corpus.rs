//! Real media, all the way in and all the way back.

use crate::machine::{Machine, jpeg, tree, write};
use std::path::{Path, PathBuf};

/// The corpus; where it is absent, on a user's clone, media that this makes.
pub(crate) fn corpus(machine: &Machine) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("DARKSLIDE_CORPUS").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return folder;
    }
    assert!(std::env::var_os("CI").is_none(), "{} must be there in CI", folder.display());
    let made = machine.path("made");
    for name in ["jpeg/a.jpg", "names/caf\u{e9}.jpg", "names/cafe\u{301}.jpg", "dupes/one/a.jpg"] {
        write(&made.join(name), &jpeg(name.len() as u8));
    }
    write(&made.join("dupes/two/a (1).jpg"), &jpeg("dupes/one/a.jpg".len() as u8));
    write(&made.join("sidecar/a.xmp"), b"<x:xmpmeta/>");
    made
}

/// Whether the corpus says that this is a picture or a video.
fn is_media(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let not = ["LICENSES/", "sidecar/", "takeout/"].iter().any(|folder| text.starts_with(folder));
    !not && path.extension().is_none_or(|extension| extension != "tsv")
}

#[test]
fn every_picture_comes_back_byte_for_byte_with_its_name_and_time() {
    let machine = Machine::new();
    let corpus = corpus(&machine);
    let source = corpus.to_str().unwrap();
    let _server = machine.with_account();

    let first = machine.json(&["backup", source, "--album", "Corpus"]);
    assert_eq!(first["failed"].as_array().unwrap().len(), 0, "{first}");
    let wanted: Vec<_> = tree(&corpus).into_iter().filter(|(path, _)| is_media(path)).collect();
    let passed_over: Vec<_> = tree(&corpus).into_keys().filter(|path| !is_media(path)).collect();
    for path in &passed_over {
        let full = corpus.join(path);
        let named = first["notMedia"].as_array().unwrap().iter().any(|entry| {
            Path::new(entry["path"].as_str().unwrap()).ends_with(path)
                || entry["path"] == full.to_str().unwrap()
        });
        assert!(named, "{} is not named in the report", path.display());
    }

    let second = machine.json(&["backup", source, "--album", "Corpus"]);
    assert_eq!(second["bytesSent"], 0, "{second}");
    assert_eq!(second["uploaded"], 0);

    let restored = machine.json(&["restore", "--to", "back"]);
    assert_eq!(restored["failed"].as_array().unwrap().len(), 0, "{restored}");
    let back = tree(&machine.path("back/Corpus"));
    for (path, (bytes, modified)) in &wanted {
        let (same, time) = back.get(path).unwrap_or_else(|| panic!("{} did not come back", path.display()));
        assert!(same == bytes, "{} came back altered", path.display());
        assert_eq!(time, modified, "{} came back with another time", path.display());
    }
    assert_eq!(back.len(), wanted.len(), "something came back that was never there");

    let again = machine.json(&["restore", "--to", "back"]);
    assert_eq!(again["restored"], 0, "{again}");
    assert_eq!(tree(&machine.path("back/Corpus")).len(), wanted.len());

    let verified = machine.json(&["verify"]);
    assert_eq!(verified["failed"].as_array().unwrap().len(), 0);
}

/// Places in one file that are damaged, one after the other.
const FLIPS: usize = 12;

#[test]
fn a_flipped_byte_in_any_stored_object_is_found_and_named() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let _server = machine.with_account();
    machine.json(&["backup", folder.to_str().unwrap()]);
    let objects: Vec<PathBuf> = tree(&machine.path("server/objects"))
        .into_keys()
        .map(|path| machine.path("server/objects").join(path))
        .collect();
    assert!(!objects.is_empty());
    // Small objects share files: flips all over each file hit originals and thumbnails.
    let flips = objects.iter().flat_map(|object| (0..=FLIPS).map(move |flip| (object, flip)));
    for (object, flip) in flips {
        let whole = std::fs::read(object).unwrap();
        let mut flipped = whole.clone();
        let at = (flipped.len() - 1) * flip / FLIPS;
        flipped[at] ^= 1;
        std::fs::write(object, &flipped).unwrap();
        let output = machine.run(&["verify", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{} was flipped", object.display());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let failed = report["failed"].as_array().unwrap();
        assert_eq!(failed.len(), 1, "{report}");
        assert!(failed[0]["name"].as_str().unwrap().contains(".jpg"), "{report}");
        assert_eq!(failed[0]["damaged"], true, "{report}");
        std::fs::write(object, &whole).unwrap();
    }
    machine.says(&["verify"]);
}
