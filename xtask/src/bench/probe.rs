//! What only our own client can ask of our server: the example program `probe` of `e2e`, for this crate depends on none of ours.
//!
//! It times itself, without its start and without opening its home.

use crate::shell::{describe, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// What it answers to some words.
pub(crate) fn answer(words: &[&str]) -> Result<Value> {
    let mut command = Command::new(root().join("target/release/examples/probe"));
    command.args(words);
    let output = command.output()?;
    if !output.status.success() {
        bail!("failed: {}\n{}", describe(&command), String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("the probe answers JSON")
}

/// How long what was asked for took.
pub(crate) fn seconds(words: &[&str]) -> Result<Duration> {
    let answer = answer(words)?;
    let seconds = answer.get("seconds").and_then(Value::as_f64).context("the probe answers seconds")?;
    Ok(Duration::from_secs_f64(seconds))
}
