//! A program that serves in the background, at a port of its own on 127.0.0.1.
//!
//! A port that was free a moment ago may be somebody's by now, if only of a connection that goes out: then another one is tried.

use super::measure::high_water_mark;
use crate::postgres::free_port;
use crate::shell::{describe, ended_within};
use anyhow::{Context, Result, bail};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a program is started anew that ends before it listens.
const TRIES: usize = 5;

/// How long a program may take until it listens, and until it is gone when it was killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program; dropping it ends it.
pub(crate) struct Background {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Background {
    /// Starts a program, in silence, at any port, and waits until it listens.
    pub(crate) fn listen(command: impl Fn(u16) -> Command) -> Result<Self> {
        let mut last = Self::listen_at(free_port()?, &command);
        for _ in 1..TRIES {
            if last.is_ok() {
                break;
            }
            last = Self::listen_at(free_port()?, &command);
        }
        last
    }

    /// The same at one port.
    pub(crate) fn listen_at(port: u16, command: impl Fn(u16) -> Command) -> Result<Self> {
        let mut command = command(port);
        let line = describe(&command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("could not start: {line}"))?;
        let mut program = Self { child, port };
        let begin = Instant::now();
        while !listens(port) {
            if let Some(status) = program.child.try_wait()? {
                bail!("ended before it listened ({status}): {line}");
            }
            if begin.elapsed() > PATIENCE {
                bail!("does not listen after {} s: {line}", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(program)
    }

    /// Its most resident memory so far, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        high_water_mark(self.child.id())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _gone = self.child.kill();
        let _gone = ended_within(PATIENCE, &mut self.child, "what was killed");
    }
}

/// Whether somebody else answers. A connection to a port of the kernel's own choosing may be given just that port to go out by, and
/// then reaches itself.
fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|connection| {
        let ends = connection.local_addr().ok().zip(connection.peer_addr().ok());
        ends.is_some_and(|(here, there)| here != there)
    })
}
