//! Generated corpora: the same bytes in every run, each file another, incompressible.
//!
//! Most are noise that is JPEG enough to be taken for pictures; nothing can be decoded from them. Where thumbnails are made every file
//! is the same picture with another comment and another end: whoever keeps equal stretches of files once would keep almost nothing, so
//! no peer is measured on those.

mod contents;
mod noise;
mod picture;

pub(crate) use contents::{all_contents, same_contents};

use anyhow::{Context, Result};
use noise::Noise;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a JPEG begins and ends with.
const HEAD: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00";
const TAIL: &[u8] = b"\xff\xd9";

/// Bytes of noise that are made at once.
const BLOCK_LEN: usize = 1 << 16;

/// A set of files of about one size.
pub(crate) struct Corpus {
    /// How it is named on the command line, and in what is written down.
    pub(crate) name: &'static str,
    /// How it is named in the table.
    pub(crate) title: String,
    /// How many there are.
    pub(crate) files: usize,
    bytes: usize,
    content: Content,
    files_in_a_folder: usize,
    /// Which of those that are otherwise alike.
    seed: u64,
}

/// What is in the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Noise,
    Movie,
    Picture,
}

impl Corpus {
    /// A thousand photos.
    pub(crate) fn photos(divide: usize) -> Self {
        Self::new("photos", "3 MB", 1000 / divide, 3_000_000)
    }

    /// Twenty thousand small pictures.
    pub(crate) fn small(divide: usize) -> Self {
        Self::new("small", "40 KB", 20_000 / divide, 40_000)
    }

    /// One large movie; `divide` makes it shorter.
    pub(crate) fn huge(divide: usize) -> Self {
        let bytes = 4_000_000_000 / divide;
        let title = format!("{} MB", bytes / 1_000_000);
        Self { content: Content::Movie, ..Self::new("huge", &title, 1, bytes) }
    }

    /// A hundred thousand files with hardly anything in them: what counts is how many they are.
    pub(crate) fn many(divide: usize) -> Self {
        Self { files_in_a_folder: 1000, ..Self::new("many", "100 bytes", 100_000 / divide, 100) }
    }

    /// What is copied into a watch folder.
    pub(crate) fn arrivals(files: usize) -> Self {
        Self { files_in_a_folder: 1000, ..Self::new("arrivals", "4 KB", files, 4096) }
    }

    /// A thousand photos that can be decoded.
    pub(crate) fn pictures(divide: usize) -> Self {
        let noise = Self::new("pictures", "3 MB, decodable", 1000 / divide, 3_000_000);
        Self { content: Content::Picture, ..noise }
    }

    /// Twenty thousand small pictures that can be decoded.
    pub(crate) fn small_pictures(divide: usize) -> Self {
        let noise = Self::new("small-pictures", "40 KB, decodable", 20_000 / divide, 40_000);
        Self { content: Content::Picture, ..noise }
    }

    /// Small pictures that come to what is there already, others every time.
    pub(crate) fn newcomers(time: usize) -> Self {
        Self { seed: time as u64 + 1, ..Self::new("newcomers", "40 KB", 2000, 40_000) }
    }

    fn new(name: &'static str, size: &str, files: usize, bytes: usize) -> Self {
        let title = format!("{files} × {size}");
        Self { name, title, files, bytes, content: Content::Noise, files_in_a_folder: 100, seed: 0 }
    }

    /// Bytes of all files together.
    pub(crate) fn total(&self) -> u64 {
        (self.files * self.bytes) as u64
    }

    /// Writes the files.
    pub(crate) fn generate(&self, folder: &Path) -> Result<()> {
        let mut noise = Noise::new(self.bytes as u64 + (self.seed << 32));
        let room_for_comment = comment(0).len() + BLOCK_LEN.min(self.bytes / 32);
        let picture = match self.content {
            Content::Picture => picture::jpeg(self.bytes - room_for_comment)?,
            Content::Noise | Content::Movie => [HEAD, TAIL].concat(),
        };
        let ending = if self.content == Content::Movie { "mov" } else { "jpg" };
        for number in 0..self.files {
            let parent = folder.join(format!("{:03}", number / self.files_in_a_folder));
            std::fs::create_dir_all(&parent)?;
            let path = parent.join(format!("IMG_{number:06}.{ending}"));
            let written = match self.content {
                Content::Picture => write_picture(&path, &picture, self.bytes, &mut noise),
                Content::Noise | Content::Movie => write_noise(&path, self.bytes, &mut noise),
            };
            written.with_context(|| format!("could not write {}", path.display()))?;
        }
        Ok(())
    }
}

fn write_noise(path: &Path, bytes: usize, noise: &mut Noise) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(HEAD)?;
    fill(&mut file, bytes - HEAD.len() - TAIL.len(), noise)?;
    file.write_all(TAIL)?;
    Ok(file.flush()?)
}

/// The picture with a comment of its own behind its first two bytes, and noise behind its end, which no decoder reads.
fn write_picture(path: &Path, picture: &[u8], bytes: usize, noise: &mut Noise) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (start, rest) = picture.split_at_checked(2).context("a JPEG begins with two bytes")?;
    let comment = comment(noise.next());
    file.write_all(start)?;
    file.write_all(&comment)?;
    file.write_all(rest)?;
    fill(&mut file, bytes - picture.len() - comment.len(), noise)?;
    Ok(file.flush()?)
}

/// A comment as JPEG has it: its mark, its length with these two bytes, its text.
fn comment(number: u64) -> Vec<u8> {
    [&[0xff, 0xfe, 0, 18][..], format!("{number:016x}").as_bytes()].concat()
}

fn fill(file: &mut impl Write, mut left: usize, noise: &mut Noise) -> Result<()> {
    let mut block = vec![0; BLOCK_LEN.min(left.next_multiple_of(8))];
    while left > 0 {
        let length = left.min(block.len());
        noise.fill(&mut block);
        file.write_all(block.get(..length).context("a block is at least as long as what is left of it")?)?;
        left -= length;
    }
    Ok(())
}
