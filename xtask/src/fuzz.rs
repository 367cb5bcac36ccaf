//! Builds every fuzz target and runs each for a while.
//!
//! It needs the nightly compiler: where there is none it fails, and says so, instead of passing without having looked.

use crate::setup::Tools;
use crate::shell::{command, execute, root, succeeds};
use anyhow::{Context, Result, ensure};

/// Runs every target of `fuzz/Cargo.toml` for `seconds`.
pub(crate) fn run(tools: &Tools, seconds: u32) -> Result<()> {
    ensure!(
        succeeds(&mut command("rustc", &["+nightly", "--version"])),
        "fuzzing needs a nightly compiler: rustup toolchain install nightly"
    );
    let path = format!("{}:{}", tools.bin.display(), std::env::var("PATH").unwrap_or_default());
    let fuzz = |arguments: &[&str]| {
        let mut words = vec!["+nightly", "fuzz"];
        words.extend(arguments);
        let mut cargo = command("cargo", &words);
        // Set by the cargo that runs this task; the nightly one must not inherit them.
        cargo.env("PATH", &path).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        cargo
    };
    execute(&mut fuzz(&["build"]))?;
    let limit = format!("-max_total_time={seconds}");
    for target in targets()? {
        execute(&mut fuzz(&[
            "run",
            &target,
            "--",
            &limit,
            "-rss_limit_mb=2048",
            "-timeout=20",
            "-verbosity=0",
        ]))?;
    }
    Ok(())
}

/// The targets' names, from the manifest.
fn targets() -> Result<Vec<String>> {
    let manifest: toml::Table = std::fs::read_to_string(root().join("fuzz/Cargo.toml"))?.parse()?;
    let bins =
        manifest.get("bin").and_then(toml::Value::as_array).context("fuzz/Cargo.toml has no [[bin]]")?;
    bins.iter()
        .map(|bin| {
            bin.get("name").and_then(toml::Value::as_str).map(str::to_owned).context("a [[bin]] has no name")
        })
        .collect()
}
