//! Builds every fuzz target and runs each for a while.
//!
//! It needs the nightly compiler: where there is none it fails, and says so, instead of passing without having looked.

use crate::setup::Tools;
use crate::shell::{command, describe, execute, root, succeeds};
use anyhow::{Context as _, Result, ensure};
use std::num::NonZero;
use std::process::Command;
use std::sync::Mutex;

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
    let left = Mutex::new(targets()?);
    // A target uses one processor.
    let worker = || -> Result<()> {
        loop {
            let Some(target) = left.lock().expect("no worker panics").pop() else { return Ok(()) };
            let words = ["run", &target, "--", &limit, "-rss_limit_mb=2048", "-timeout=20", "-verbosity=0"];
            told(&mut fuzz(&words))?;
        }
    };
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })
}

/// Runs one of several at once: what it says comes in one piece behind it.
fn told(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let output = command.output().with_context(|| format!("could not start: {line}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    println!("\n$ {line}\n{}{said}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "failed ({}): {line}", output.status);
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
