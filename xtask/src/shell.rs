//! Running other programs, loudly: what is run is printed, and a failure names it.
//!
//! No shell is involved: arguments are passed as they are.

use anyhow::{Context, Result, bail};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How often a program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}

/// Cargo, as this task was started with it.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), arguments)
}

/// A program in the workspace's root.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs it to its end; anything but success is an error.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let line = describe(command);
    println!("\n$ {line}");
    let status = command.status().with_context(|| format!("could not start: {line}"))?;
    if !status.success() {
        bail!("failed ({status}): {line}");
    }
    Ok(())
}

/// Runs it to its end without a word, and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs it to its end without a word, and gives what it said. One that takes longer than this is killed, and that is an error.
pub(crate) fn output_within(patience: Duration, command: &mut Command) -> Result<Output> {
    let line = describe(command);
    // Files, not pipes: nobody has to read them meanwhile.
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("could not start: {line}"))?;
    let status = ended_within(patience, &mut child, &line)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for (file, bytes) in [(&mut out, &mut stdout), (&mut err, &mut stderr)] {
        file.rewind()?;
        file.read_to_end(bytes)?;
    }
    Ok(Output { status, stdout, stderr })
}

/// Waits until a program has ended. One that takes longer than this is killed, and that is an error which names it.
pub(crate) fn ended_within(patience: Duration, child: &mut Child, what: &str) -> Result<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begin.elapsed() > patience {
            child.kill()?;
            bail!("it has not ended after {} s: {what}", patience.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

pub(crate) fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_too_long_is_killed_and_named() {
        let begin = Instant::now();
        let error = output_within(Duration::from_millis(50), Command::new("sleep").arg("600")).unwrap_err();
        assert!(begin.elapsed() < Duration::from_mins(5));
        assert_eq!(error.to_string(), "it has not ended after 0 s: sleep 600");
        let output = output_within(Duration::from_mins(5), Command::new("printf").arg("a\nb")).unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout.as_slice(), output.stderr.len()), (&b"a\nb"[..], 0));
    }
}
