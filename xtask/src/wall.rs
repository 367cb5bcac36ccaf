//! Proves that the zero-knowledge wall stands: a server that depends on the crypto crate, or on the media crate, is refused.
//!
//! A rule that nothing violates might as well not be there, so a copy of the workspace is made to violate it.

use crate::setup::Tools;
use crate::shell::{command, root};
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Crates that `server` must never depend on.
const BEYOND_THE_WALL: [&str; 2] = ["darkslide-crypto", "darkslide-media"];

/// Checks the workspace as it is, then each way of breaking it.
pub(crate) fn run(tools: &Tools) -> Result<()> {
    ensure!(bans(tools, &root())?.status.success(), "the dependency rules fail on the workspace as it is");
    for krate in BEYOND_THE_WALL {
        let copy = tempfile::tempdir()?;
        copy_manifests(&root(), copy.path())?;
        depend(&copy.path().join("crates/server/Cargo.toml"), krate)?;
        let verdict = bans(tools, copy.path())?;
        let text = String::from_utf8_lossy(&verdict.stderr).into_owned();
        ensure!(
            !verdict.status.success() && text.contains(krate),
            "a server that depends on {krate} was not refused:\n{text}"
        );
        println!("a server that depends on {krate} is refused, as it must be");
    }
    Ok(())
}

fn bans(tools: &Tools, workspace: &Path) -> Result<std::process::Output> {
    command(&tools.path("cargo-deny"), &["check", "bans"])
        .current_dir(workspace)
        .output()
        .context("could not start cargo-deny")
}

/// Copies what cargo needs to read the dependency graph: manifests, the lock file, the rules, and every source file's name.
fn copy_manifests(from: &Path, to: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_entry(is_ours) {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target)?;
        } else if is_for_cargo(entry.path()) {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn is_ours(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    !(entry.depth() > 0 && (name == "target" || name == ".git" || name == "fuzz"))
}

fn is_for_cargo(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml" || extension == "rs" || extension == "lock")
}

fn depend(manifest: &Path, krate: &str) -> Result<()> {
    let text = std::fs::read_to_string(manifest)?;
    let broken = text.replacen("[dependencies]\n", &format!("[dependencies]\n{krate}.workspace = true\n"), 1);
    ensure!(broken != text, "{} has no [dependencies]", manifest.display());
    Ok(std::fs::write(manifest, broken)?)
}
