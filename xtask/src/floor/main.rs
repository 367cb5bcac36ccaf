//! The floor under a first backup and under a second run: what nobody can do without, and nothing else.
//!
//! Two processes do what any backup over a network must: `send` reads, hashes and encrypts, `receive` writes and flushes, with a TCP
//! connection on 127.0.0.1 between them. `walk` looks at every file of a tree once. Nothing is named, remembered, compared or asked:
//! what comes of it is no backup. It is a program of its own so that it is built as the others are, with optimisation.

mod receive;
mod send;
mod walk;

use anyhow::{Context, Result, bail};
use std::path::Path;

/// Plaintext bytes that are sealed at once, and those of a batch of small files: 4 MiB, as in the vault.
const CHUNK_LEN: usize = 4 << 20;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["send", folder, port] => send::run(Path::new(folder), number(port)?),
        ["receive", folder, port] => receive::run(Path::new(folder), number(port)?),
        ["walk", folder] => walk::run(Path::new(folder)),
        _ => bail!("floor send FOLDER PORT | receive FOLDER PORT | walk FOLDER"),
    }
}

fn number(text: &str) -> Result<u16> {
    text.parse().with_context(|| format!("{text:?} is not a port"))
}
