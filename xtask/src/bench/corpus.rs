//! Generated corpora: the same bytes in every run, incompressible, and JPEG enough to be taken for pictures.
//!
//! They are not pictures: nothing can be decoded from them, so thumbnails are off where they are used.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// A set of files of one size.
pub(crate) struct Corpus {
    /// How it is named on the command line.
    pub(crate) name: &'static str,
    /// How it is named in the table.
    pub(crate) title: String,
    files: usize,
    bytes: usize,
}

impl Corpus {
    /// All of them; `divide` makes them smaller.
    pub(crate) fn all(divide: usize) -> [Self; 3] {
        let divide = divide.max(1);
        let make = |name, files: usize, bytes: usize| Self {
            name,
            title: format!("{files} × {} KB", bytes / 1000),
            files,
            bytes,
        };
        [
            make("photos", 1000 / divide, 3_000_000),
            make("small", 5000 / divide, 40_000),
            make("huge", 1, 4_000_000_000 / divide),
        ]
    }

    /// Bytes of all files together.
    pub(crate) fn total(&self) -> u64 {
        (self.files * self.bytes) as u64
    }

    /// Writes the files, a hundred to a folder.
    pub(crate) fn generate(&self, folder: &Path) -> Result<()> {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15 ^ self.bytes as u64);
        let ending = if self.files == 1 { "mov" } else { "jpg" };
        for number in 0..self.files {
            let parent = folder.join(format!("{:03}", number / 100));
            std::fs::create_dir_all(&parent)?;
            let path = parent.join(format!("IMG_{number:05}.{ending}"));
            write_file(&path, self.bytes, &mut noise)
                .with_context(|| format!("could not write {}", path.display()))?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, bytes: usize, noise: &mut Noise) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let head: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00";
    let tail: &[u8] = b"\xff\xd9";
    file.write_all(head)?;
    let mut left = bytes - head.len() - tail.len();
    let mut block = vec![0; 1 << 16];
    while left > 0 {
        let length = left.min(block.len());
        noise.fill(&mut block);
        file.write_all(block.get(..length).context("a block is at least as long as what is left of it")?)?;
        left -= length;
    }
    file.write_all(tail)?;
    Ok(file.flush()?)
}

/// Xorshift: fast, and the same everywhere.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

/// A measurement of a restore that lost something is worth nothing: every file of `source` must be somewhere under `target`.
pub(crate) fn same_contents(source: &Path, target: &Path) -> Result<()> {
    let wanted = sums(source)?;
    let found = sums(target)?;
    ensure!(
        wanted == found,
        "{} holds {} of {} files as they were",
        target.display(),
        found.len(),
        wanted.len()
    );
    Ok(())
}

/// How often each content occurs, by a checksum over it.
fn sums(folder: &Path) -> Result<BTreeMap<u64, usize>> {
    let mut sums = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            *sums.entry(sum(entry.path())?).or_default() += 1;
        }
    }
    Ok(sums)
}

fn sum(path: &Path) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(sum);
        }
        for word in block.get(..length).unwrap_or_default().chunks(8) {
            let value = word.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            sum = (sum ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }
}
