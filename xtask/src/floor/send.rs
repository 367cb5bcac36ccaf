//! The sending end: lanes that take files from one list, each with a connection of its own and two threads: one reads and hashes,
//! the other encrypts and sends.
//!
//! A file of a MiB or more is a message by itself, in chunks of 4 MiB; smaller ones go in batches of 4 MiB, which the receiver flushes
//! once each, and are hashed together. Buffers go round between the two threads of a lane: none is made while it runs.

use crate::CHUNK_LEN;
use anyhow::{Context, Result, anyhow, ensure};
use blake2b_simd::many::{HashManyJob, hash_many};
use dryoc::classic::crypto_aead_chacha20poly1305_ietf::crypto_aead_chacha20poly1305_ietf_encrypt_detached_inplace as encrypt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Lanes: more than there are cores, for some wait while their receiver flushes.
const LANES: usize = 4;

/// Buffers of a lane: one at each thread, and one between them.
const BUFFERS: usize = 3;

/// A file of this many bytes is flushed by itself.
const LARGE: u64 = 1 << 20;

/// Bytes of a message authentication code.
const MAC_LEN: usize = 16;

/// The most files in a batch: so many codes have room behind a chunk.
const BATCH_FILES: usize = 4096;

/// One message.
enum Unit {
    Large(PathBuf, u64),
    Batch(Vec<(PathBuf, usize)>),
}

/// A buffer on its way.
struct Chunk {
    /// The length of the message that begins with it.
    begins: Option<u64>,
    bytes: Vec<u8>,
    /// What is sealed by itself, each with room for its code behind it.
    parts: Vec<Range<usize>>,
}

impl Chunk {
    fn new() -> Self {
        Self { begins: None, bytes: vec![0; CHUNK_LEN + BATCH_FILES * MAC_LEN], parts: Vec::new() }
    }

    /// Reads a part of `length` bytes behind those that are there.
    fn read(&mut self, file: &mut File, length: usize) -> Result<()> {
        let start = self.end();
        let room = self.bytes.get_mut(start..start + length).context("a chunk has room for its parts")?;
        file.read_exact(room)?;
        self.parts.push(start..start + length);
        Ok(())
    }

    fn plain(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|part| self.bytes.get(part.clone()))
    }

    fn end(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end + MAC_LEN)
    }

    fn clear(&mut self) {
        self.begins = None;
        self.parts.clear();
    }
}

/// Sends all files of a folder and waits until they are on the disk.
pub(crate) fn run(folder: &Path, port: u16) -> Result<()> {
    let units = Mutex::new(units(folder)?.into_iter());
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(|| lane(&units, port))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().map_err(|_| anyhow!("a lane broke down"))?)
    })
}

fn units(folder: &Path) -> Result<Vec<Unit>> {
    let (mut units, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let length = entry.metadata()?.len();
        if length >= LARGE {
            units.push(Unit::Large(entry.into_path(), length));
            continue;
        }
        let length = usize::try_from(length)?;
        if bytes + length > CHUNK_LEN || batch.len() == BATCH_FILES {
            units.push(Unit::Batch(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += length;
        batch.push((entry.into_path(), length));
    }
    units.push(Unit::Batch(batch));
    units.retain(|unit| !matches!(unit, Unit::Batch(files) if files.is_empty()));
    Ok(units)
}

fn lane(units: &Mutex<std::vec::IntoIter<Unit>>, port: u16) -> Result<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    let (filled, to_seal) = sync_channel::<Chunk>(BUFFERS);
    let (emptied, to_fill) = sync_channel::<Chunk>(BUFFERS);
    for _ in 0..BUFFERS {
        emptied.send(Chunk::new())?;
    }
    let connected = &mut connection;
    std::thread::scope(move |scope| {
        let reading = scope.spawn(move || {
            while let Some(unit) = units.lock().map_err(|_| anyhow!("another lane broke down"))?.next() {
                read(unit, &to_fill, &filled)?;
            }
            anyhow::Ok(())
        });
        seal_all(to_seal, emptied, connected)?;
        reading.join().map_err(|_| anyhow!("a reader broke down"))?
    })?;
    connection.shutdown(Shutdown::Write)?;
    let mut answer = [0];
    connection.read_exact(&mut answer).context("the receiver did not flush everything")?;
    ensure!(answer == [1], "the receiver answered something else");
    Ok(())
}

/// Ends when the reader does. Its ends of the channels go with it, so that a reader never waits for a lane that failed.
#[expect(clippy::needless_pass_by_value, reason = "they are dropped here, see above")]
fn seal_all(to_seal: Receiver<Chunk>, emptied: SyncSender<Chunk>, connection: &mut TcpStream) -> Result<()> {
    for chunk in to_seal {
        let chunk = seal_and_send(chunk, connection)?;
        // When nobody reads any more it is not needed.
        drop(emptied.send(chunk));
    }
    Ok(())
}

fn read(unit: Unit, to_fill: &Receiver<Chunk>, filled: &SyncSender<Chunk>) -> Result<()> {
    match unit {
        Unit::Large(path, length) => read_large(&path, length, to_fill, filled),
        Unit::Batch(files) => {
            let mut chunk = to_fill.recv()?;
            for (path, length) in files {
                chunk.read(&mut File::open(path)?, length)?;
            }
            chunk.begins = Some(chunk.end() as u64);
            hash_parts(&chunk);
            Ok(filled.send(chunk)?)
        }
    }
}

fn read_large(path: &Path, length: u64, to_fill: &Receiver<Chunk>, filled: &SyncSender<Chunk>) -> Result<()> {
    let mut file = File::open(path)?;
    let mut state = blake2b_simd::State::new();
    let mut left = length;
    while left > 0 {
        let mut chunk = to_fill.recv()?;
        if left == length {
            chunk.begins = Some(length + length.div_ceil(CHUNK_LEN as u64) * MAC_LEN as u64);
        }
        let part = usize::try_from(left.min(CHUNK_LEN as u64))?;
        chunk.read(&mut file, part)?;
        for bytes in chunk.plain() {
            state.update(bytes);
        }
        left -= part as u64;
        filled.send(chunk)?;
    }
    std::hint::black_box(state.finalize());
    Ok(())
}

fn hash_parts(chunk: &Chunk) {
    let params = blake2b_simd::Params::new();
    let mut jobs: Vec<_> = chunk.plain().map(|bytes| HashManyJob::new(&params, bytes)).collect();
    hash_many(jobs.iter_mut());
    std::hint::black_box(jobs.iter().map(HashManyJob::to_hash).collect::<Vec<_>>());
}

/// Gives the buffer back, empty.
fn seal_and_send(mut chunk: Chunk, connection: &mut TcpStream) -> Result<Chunk> {
    // Not secret and used again: this is for its cost.
    let (key, nonce) = ([7; 32], [9; 12]);
    for part in &chunk.parts {
        let sealed = chunk.bytes.get_mut(part.start..part.end + MAC_LEN);
        let (bytes, code) =
            sealed.and_then(|sealed| sealed.split_last_chunk_mut::<MAC_LEN>()).context("room")?;
        encrypt(bytes, code, None, &nonce, &key).map_err(|error| anyhow!("{error}"))?;
    }
    if let Some(length) = chunk.begins {
        connection.write_all(&length.to_le_bytes())?;
    }
    connection.write_all(chunk.bytes.get(..chunk.end()).context("parts lie in their chunk")?)?;
    chunk.clear();
    Ok(chunk)
}
