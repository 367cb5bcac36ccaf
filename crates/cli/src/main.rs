#![doc = include_str!("../README.md")]

mod agent;
mod arguments;
mod commands;
mod output;
mod pace;
mod profile;
mod progress;
mod questions;
mod screen;

use arguments::General;
use darkslide_client::error::{causes, causes_on};
use output::Output;
use std::process::ExitCode;

/// A command that did its work but could not do all of it: its answer says what, the status says that.
const INCOMPLETE: u8 = 1;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All went well.
    Done,
    /// The answer names what did not.
    Incomplete,
}

impl Ending {
    /// Done when nothing failed.
    pub(crate) fn unless(failed: bool) -> Self {
        if failed { Self::Incomplete } else { Self::Done }
    }
}

fn main() -> ExitCode {
    prefer_short_keys();
    let arguments = arguments::parse();
    let general = arguments.general.clone();
    let output = Output { json: general.json, quiet: general.quiet };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(output, &general, &error.into()),
    };
    let ending = runtime.block_on(commands::run(output, arguments));
    // Blocking work that was cancelled (a prompt, a codec) must not hold the process.
    runtime.shutdown_background();
    match ending {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Incomplete) => ExitCode::from(INCOMPLETE),
        Err(error) => fail(output, &general, &error),
    }
}

/// Of the ciphers of the line, AES with 128 bits comes before the one with 256, which takes a third longer: whatever a picture is or says
/// of itself was sealed with 256 bits before. A server may choose another.
fn prefer_short_keys() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    // Nobody else sets one.
    let _ = provider.install_default();
}

/// What happened, and why, as far down as we know.
fn fail(output: Output, general: &General, error: &anyhow::Error) -> ExitCode {
    let lines = match profile::folder(general) {
        Ok(folder) => causes_on(error.as_ref(), &folder),
        Err(_) => causes(error.as_ref()),
    };
    if output.json {
        eprintln!(
            "{}",
            serde_json::json!({ "error": { "message": lines.first(), "causes": lines.get(1..) } })
        );
    } else {
        // A server's own words may be among them.
        eprintln!("error: {}", output::printable(&lines.join("\n  because: ")));
    }
    ExitCode::FAILURE
}
