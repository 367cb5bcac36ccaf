//! Everything that is checked, cheapest first.
//!
//! It is the same on a developer's machine and in CI: there is no other list.

use crate::postgres::Cluster;
use crate::setup::{self, Tools};
use crate::shell::{cargo, command, execute, root};
use crate::{api, fuzz, tidy, wall};
use anyhow::Result;
use std::time::Instant;

/// How long CI runs each fuzz target: long enough to find what is shallow.
const FUZZ_SECONDS: u32 = 10;

/// Tests that run at once, for each processor: most of them wait, for files to settle and processes to start.
const TESTS_A_PROCESSOR: usize = 2;

/// Runs every check; the first failure ends it.
fn check_all(tools: &Tools) -> Result<()> {
    step("tidy", tidy::run)?;
    step("format", || execute(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("dependencies", || deny(tools))?;
    step("wall", || wall::run(tools))?;
    step("clippy", || {
        execute(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    })?;
    step("docs", || {
        execute(cargo(&["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("tests", || test(tools, &[]))?;
    step("api", || api::run(tools))?;
    step("fuzz", || fuzz::run(tools, FUZZ_SECONDS))
}

/// Installs what is needed and runs every check.
pub(crate) fn run() -> Result<()> {
    let tools = setup::run()?;
    check_all(&tools)?;
    println!("\nall checks passed");
    Ok(())
}

/// The tests, with a private PostgreSQL and the environments of Python and Node at hand.
pub(crate) fn test(tools: &Tools, arguments: &[String]) -> Result<()> {
    let cluster = Cluster::start()?;
    let mut words = vec!["test", "--workspace", "--locked"];
    words.extend(arguments.iter().map(String::as_str));
    let corpus = std::env::var("DARKSLIDE_CORPUS")
        .unwrap_or_else(|_| root().join("../shared/corpus").to_string_lossy().into_owned());
    let at_once = std::env::var("RUST_TEST_THREADS").unwrap_or_else(|_| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (TESTS_A_PROCESSOR * processors).to_string()
    });
    execute(
        cargo(&words)
            .env("RUST_TEST_THREADS", at_once)
            .env("DARKSLIDE_TEST_POSTGRES", cluster.url())
            .env("DARKSLIDE_PYTHON", tools.path("python"))
            .env("DARKSLIDE_NODE_MODULES", &tools.node_modules)
            .env("DARKSLIDE_CORPUS", corpus),
    )
}

/// Bans, licences and sources. The advisory database cannot be fetched everywhere, so it is not asked here.
fn deny(tools: &Tools) -> Result<()> {
    execute(&mut command(&tools.path("cargo-deny"), &["check", "bans", "licenses", "sources"]))
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let begin = Instant::now();
    work()?;
    println!("== {name}: {:.0} s", begin.elapsed().as_secs_f32());
    Ok(())
}
