//! One measured run of one program: wall time and peak memory.
//!
//! Memory is the kernel's own high-water mark, read from `/proc` while the program runs.

use crate::shell::describe;
use anyhow::{Context, Result, bail};
use std::process::{Child, Command, Stdio};
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

/// Runs a program to its end, in silence; a failure shows what it said.
pub(crate) fn measure(command: &mut Command) -> Result<Measured> {
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

/// A program in the background; dropping it ends it.
pub(crate) struct Background(Child);

impl Background {
    /// Starts it in silence.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let line = describe(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("could not start: {line}"))?))
    }

    /// Its most resident memory so far, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        high_water_mark(self.0.id())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Waits until a TCP port answers.
pub(crate) fn wait_for_port(port: u16) -> Result<()> {
    let begin = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begin.elapsed() > Duration::from_secs(20) {
            bail!("nothing listens on port {port} after 20 s");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The middle one.
pub(crate) fn median<T: Copy + Ord>(values: &[T]) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
