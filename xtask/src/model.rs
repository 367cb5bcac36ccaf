//! The proof of the decisions of a sync folder, over as many random histories as one has time for.
//!
//! It runs a test of the client that every `cargo test` runs over a few. Only that crate is optimised for it: what it depends on is as it
//! was built for other tests, and nothing else is built.

use crate::shell::{cargo, execute};
use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Histories
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Other ones: each number stands for histories of its own
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

/// Runs them on all cores, telling how far it is.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    execute(
        cargo(&[
            "test",
            "--locked",
            "--package",
            "darkslide-client",
            "--lib",
            "--config",
            "profile.dev.package.darkslide-client.opt-level=2",
            "--",
            "folder::model",
            "--nocapture",
        ])
        .env("DARKSLIDE_MODEL_RUNS", arguments.runs.to_string())
        .env("DARKSLIDE_MODEL_SEED", arguments.seed.to_string()),
    )
}
