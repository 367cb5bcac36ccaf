//! The receiving end: bytes from the connection into a file, the file flushed, its folder flushed.
//!
//! ```text
//! connection = message* end-of-stream          answered by one byte when everything is on the disk
//! message    = length (LE64) ‖ that many bytes: one file
//! ```

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are read from a connection at once.
const READ_LEN: usize = 1 << 20;

/// What direct writes are made of.
const SECTOR: usize = 4096;

static FILES: AtomicU64 = AtomicU64::new(0);

/// Serves until it is killed: a thread a connection.
pub(crate) fn run(folder: &Path, port: u16) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for connection in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let (connection, folder) = (connection?, folder.to_path_buf());
        // A connection that fails leaves its sender without an answer, which fails there.
        std::thread::spawn(move || serve(connection, &folder));
    }
    Ok(())
}

fn serve(mut connection: TcpStream, folder: &PathBuf) -> Result<()> {
    let parent = File::open(folder)?;
    let mut buffer = vec![0; READ_LEN + SECTOR];
    while let Some(length) = next(&mut connection)? {
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let mut file = File::create_new(folder.join(format!("{number:08}")))?;
        copy(&mut connection, &mut file, length, &mut buffer)?;
        file.sync_all()?;
        parent.sync_all()?;
    }
    Ok(connection.write_all(&[1])?)
}

/// The next message's length; none at the end of the stream.
fn next(connection: &mut TcpStream) -> Result<Option<u64>> {
    let mut length = [0; 8];
    match connection.read_exact(&mut length) {
        Ok(()) => Ok(Some(u64::from_le_bytes(length))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads all, and writes it past the page cache, which is faster; what is not whole sectors at the end goes through it.
fn copy(from: &mut impl Read, into: &mut File, mut left: u64, memory: &mut [u8]) -> Result<()> {
    let start = memory.as_ptr().align_offset(SECTOR);
    let buffer = memory.get_mut(start..start + READ_LEN).context("there is room to align")?;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(READ_LEN);
        let read = buffer.get_mut(..most).context("no more than the buffer has")?;
        from.read_exact(read)?;
        let (whole, rest) = read.split_at(most / SECTOR * SECTOR);
        if !whole.is_empty() {
            go_direct(into, true)?;
            into.write_all(whole)?;
        }
        if !rest.is_empty() {
            go_direct(into, false)?;
            into.write_all(rest)?;
        }
        left -= most as u64;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn go_direct(file: &File, direct: bool) -> Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(file)?;
    Ok(fcntl_setfl(file, if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT })?)
}

#[cfg(not(target_os = "linux"))]
fn go_direct(_: &File, _: bool) -> Result<()> {
    Ok(())
}
