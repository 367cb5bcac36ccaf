//! Completion scripts and manual pages, made from the command line's own definition.

use crate::Ending;
use crate::arguments;
use crate::output::{Output, counted};
use anyhow::{Context, Result};
use std::path::Path;

/// A completion script on standard output.
pub(crate) fn completions(output: Output, shell: clap_complete::Shell) -> Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut arguments::command(), "darkslide", &mut script);
    let script = String::from_utf8(script).context("the script is not UTF-8")?;
    // A script is for a shell to read: `--json` would only be in the way.
    Output { json: false, ..output }.answer(&(), |()| script)?;
    Ok(Ending::Done)
}

/// One page a command, in section 1.
pub(crate) fn manual_pages(output: Output, folder: &Path) -> Result<Ending> {
    std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    clap_mangen::generate_to(arguments::command(), folder)
        .with_context(|| format!("could not write into {}", folder.display()))?;
    let pages = std::fs::read_dir(folder)?.count();
    let answer = serde_json::json!({ "folder": folder, "pages": pages });
    output.answer(&answer, |_| format!("{} in {}", counted(pages as u64, "page"), folder.display()))?;
    Ok(Ending::Done)
}
