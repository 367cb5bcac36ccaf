//! What a real Syncthing does with a folder of pictures, on both sides: the ground that two-way folder sync is tested on, and what
//! it takes for granted.
//!
//! Darkslide is not in it.

#![expect(clippy::unwrap_used, reason = "an expectation that does not hold fails the test right there")]

mod away;
mod everyday;
mod names;

use darkslide_e2e::syncthing::{Instance, Pair};
use std::collections::BTreeMap;
use std::fs;

/// Every file in an instance's folder and in the folders there: relative path and content.
fn tree(instance: &Instance) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![instance.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if let Ok(content) = fs::read(&path) {
                let name = path.strip_prefix(instance.folder()).unwrap().to_str().unwrap();
                files.insert(name.to_owned(), content);
            }
        }
    }
    files
}

/// Waits until an instance has these files and no others. Only the folder's watcher tells Syncthing of what was done.
fn until_there(pair: &Pair, instance: &Instance, files: &[(&str, &str)]) {
    let expected: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect();
    pair.until("the files are there", || {
        let found = tree(instance);
        (found == expected).then_some(()).ok_or_else(|| format!("{:?}", found.keys()))
    });
}

fn write(instance: &Instance, name: &str, content: impl AsRef<[u8]>) {
    let path = instance.folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn rename(instance: &Instance, from: &str, to: &str) {
    fs::rename(instance.folder().join(from), instance.folder().join(to)).unwrap();
}

fn remove(instance: &Instance, name: &str) {
    fs::remove_file(instance.folder().join(name)).unwrap();
}
