//! One measured run of one program: wall time, peak memory, and the time until its work is on the disk.
//!
//! Memory is the kernel's own high-water mark, read from `/proc` while the program runs.

use crate::shell::describe;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a running program's high-water mark is read.
const POLL: Duration = Duration::from_millis(5);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Wall time.
    pub(crate) time: Duration,
    /// Bytes of resident memory at most.
    pub(crate) memory: u64,
}

/// A run, and how long it took until nothing of it was in memory only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnDisk {
    /// The run itself.
    pub(crate) measured: Measured,
    /// Its wall time and that of flushing what it left to the kernel.
    pub(crate) time: Duration,
}

/// Does something to a folder, and then has the kernel write what it still holds back. What others left there is flushed before.
pub(crate) fn until_on_disk(
    folder: &Path,
    work: impl FnOnce() -> Result<Option<Measured>>,
) -> Result<Option<OnDisk>> {
    let folder = File::open(folder)?;
    rustix::fs::syncfs(&folder)?;
    let Some(measured) = work()? else { return Ok(None) };
    let begin = Instant::now();
    rustix::fs::syncfs(&folder)?;
    Ok(Some(OnDisk { measured, time: measured.time + begin.elapsed() }))
}

/// Runs a program to its end, in silence; a failure shows what it said.
pub(crate) fn measure(command: &mut Command) -> Result<Measured> {
    measure_while(command, || Ok(()))
}

/// The same. One that takes longer than this is killed, and that is an error which names it.
pub(crate) fn measure_within(patience: Duration, command: &mut Command) -> Result<Measured> {
    let line = describe(command);
    let begin = Instant::now();
    measure_while(command, || {
        ensure!(begin.elapsed() <= patience, "it has not ended after {} s: {line}", patience.as_secs());
        Ok(())
    })
}

/// The same; `look` is called again and again while the program runs. When that fails the program is killed.
pub(crate) fn measure_while(command: &mut Command, mut look: impl FnMut() -> Result<()>) -> Result<Measured> {
    let line = describe(command);
    let log = tempfile::NamedTempFile::new()?;
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.reopen()?)
        .stderr(log.reopen()?)
        .spawn()
        .with_context(|| format!("could not start: {line}"))?;
    let mut memory = 0;
    let status = loop {
        memory = memory.max(high_water_mark(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Err(error) = look() {
            child.kill()?;
            return Err(error);
        }
        std::thread::sleep(POLL);
    };
    let time = begin.elapsed();
    if !status.success() {
        bail!("failed ({status}): {line}\n{}", std::fs::read_to_string(log.path()).unwrap_or_default());
    }
    Ok(Measured { time, memory })
}

/// The most resident memory that a process had so far, in bytes.
pub(crate) fn high_water_mark(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}
