//! The file that a Live Photo is in the vault: a ZIP of exactly two entries, picture first.
//!
//! Layout (PKWARE APPNOTE 6.3.10; all integers little-endian; entries stored, never deflated):
//!
//! ```text
//! header   local file header of "image" + its extension            30 + name length (+ 20 if zip64)
//!          the picture's bytes
//! middle   local file header of "video" + its extension            30 + name length (+ 20 if zip64)
//!          the video's bytes
//! trailer  central directory of both                               46 + name length (+ 12..28 if zip64) each
//!          (zip64 end of central directory and its locator         56 + 20, if zip64)
//!          end of central directory                                22
//! ```
//!
//! The same two files always give the same bytes: dates are fixed at 1980-01-01, the zero of the format, so that a
//! backup that is resumed on another day continues the same container. Sizes and checksums are known before the
//! first byte is sent, so that nothing is written to a temporary file. Zip64 is used only where a number does not
//! fit 32 bits.
//!
//! The reader takes what other clients write: stored or deflated, data descriptors, any order. It refuses anything
//! that is not one picture and one video, and stops at the limits that it is given.

use std::io::{self, Read, Seek, Write};

use zip::ZipArchive;
use zip::result::ZipError;

/// The longest extension (without its dot) that an entry may have.
pub const MAX_EXTENSION_LEN: usize = 64;

const FIXED_DATE: u16 = 0x0021; // 1980-01-01
const FIXED_TIME: u16 = 0;
/// General purpose bit 11: names are UTF-8.
const UTF8_NAMES: u16 = 1 << 11;
const FITS_32: u64 = 0xFFFF_FFFF;

/// Length and CRC-32 (IEEE 802.3) of one of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub len: u64,
    /// Checksum of all of them.
    pub crc32: u32,
}

impl Content {
    /// Reads a stream to its end in constant memory.
    pub fn of(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = crc32fast::Hasher::new();
        let mut len = 0;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self { len, crc32: hasher.finalize() }),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(buffer.get(..read).unwrap_or_default());
            len += read as u64;
        }
    }
}

/// Why a container cannot be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// An extension is too long, or holds a separator, a dot or NUL.
    #[error("the extension of one half cannot be the end of an entry's name")]
    BadExtension,
    /// The container would be longer than a 64-bit number can tell.
    #[error("the two halves together are too long")]
    TooLong,
}

/// The bytes of a container around the two files, which the caller streams in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveContainer {
    header: Vec<u8>,
    image_len: u64,
    middle: Vec<u8>,
    video_len: u64,
    trailer: Vec<u8>,
}

impl LiveContainer {
    /// Lays a container out. Extensions come without their dot, in their own case (`HEIC`, `MOV`); an empty one
    /// gives an entry without extension.
    pub fn new(
        image_extension: &str,
        image: Content,
        video_extension: &str,
        video: Content,
    ) -> Result<Self, LayoutError> {
        let image_entry = Entry { name: entry_name("image", image_extension)?, content: image, offset: 0 };
        let header = image_entry.local_header();
        let middle_at = sum(&[header.len() as u64, image.len])?;
        let video_entry =
            Entry { name: entry_name("video", video_extension)?, content: video, offset: middle_at };
        let middle = video_entry.local_header();
        let directory_at = sum(&[middle_at, middle.len() as u64, video.len])?;
        let trailer = trailer(&[image_entry, video_entry], directory_at);
        sum(&[directory_at, trailer.len() as u64])?;
        Ok(Self { header, image_len: image.len, middle, video_len: video.len, trailer })
    }

    /// What stands before the picture's bytes.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// What stands between the picture's bytes and the video's.
    pub fn middle(&self) -> &[u8] {
        &self.middle
    }

    /// What stands after the video's bytes.
    pub fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    /// Length of the whole container in bytes.
    pub fn total_len(&self) -> u64 {
        // Cannot overflow: `new` has added the same numbers.
        let around = self.header.len() + self.middle.len() + self.trailer.len();
        around as u64 + self.image_len + self.video_len
    }

    /// The whole container as one stream. The readers must give exactly the lengths that were laid out: fewer or
    /// more bytes are an error of kind [`io::ErrorKind::UnexpectedEof`] or [`io::ErrorKind::InvalidData`], as the
    /// files then changed while they were read. Their checksums are the caller's to have computed from the same bytes.
    pub fn stream<I: Read, V: Read>(&self, image: I, video: V) -> impl Read + use<'_, I, V> {
        self.header
            .as_slice()
            .chain(Exactly { inner: image, left: self.image_len })
            .chain(self.middle.as_slice())
            .chain(Exactly { inner: video, left: self.video_len })
            .chain(self.trailer.as_slice())
    }
}

/// A stream that must have a certain length.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the file grew while it was read")),
            };
        }
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..want).unwrap_or_default())?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file shrank while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

struct Entry {
    name: String,
    content: Content,
    offset: u64,
}

fn entry_name(prefix: &str, extension: &str) -> Result<String, LayoutError> {
    if extension.len() > MAX_EXTENSION_LEN || extension.contains(['/', '\\', '.', '\0']) {
        return Err(LayoutError::BadExtension);
    }
    Ok(if extension.is_empty() { prefix.to_owned() } else { format!("{prefix}.{extension}") })
}

fn sum(numbers: &[u64]) -> Result<u64, LayoutError> {
    numbers.iter().try_fold(0u64, |total, number| total.checked_add(*number)).ok_or(LayoutError::TooLong)
}

/// A number in its 32-bit field: all ones send the reader to the zip64 extra field.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Entry {
    /// All ones is the mark of zip64, so that exactly `0xFFFF_FFFF` bytes need it as well.
    fn is_long(&self) -> bool {
        self.content.len >= FITS_32
    }

    /// §4.3.7. In a local header the zip64 extra field must hold both sizes (§4.5.3).
    fn local_header(&self) -> Vec<u8> {
        let extra =
            if self.is_long() { zip64_extra(&[self.content.len, self.content.len]) } else { Vec::new() };
        let mut bytes = Vec::new();
        bytes.extend(b"PK\x03\x04");
        self.common_fields(&mut bytes, self.is_long(), extra.len());
        bytes.extend(self.name.as_bytes());
        bytes.extend(extra);
        bytes
    }

    /// §4.3.12. Here the zip64 extra field holds only the numbers that do not fit, in this order.
    fn directory_header(&self) -> Vec<u8> {
        let mut wide = Vec::new();
        if self.is_long() {
            wide.extend([self.content.len, self.content.len]);
        }
        if self.offset >= FITS_32 {
            wide.push(self.offset);
        }
        let extra = zip64_extra(&wide);
        let mut bytes = Vec::new();
        bytes.extend(b"PK\x01\x02");
        bytes.extend(version(!wide.is_empty()).to_le_bytes()); // made by: MS-DOS attributes
        self.common_fields(&mut bytes, !wide.is_empty(), extra.len());
        bytes.extend([0; 2 + 2 + 2 + 4]); // comment length, disk, internal and external attributes
        bytes.extend(narrow(self.offset.min(FITS_32)).to_le_bytes());
        bytes.extend(self.name.as_bytes());
        bytes.extend(extra);
        bytes
    }

    /// From “version needed to extract” to “extra field length”: the same in both headers.
    fn common_fields(&self, bytes: &mut Vec<u8>, zip64: bool, extra_len: usize) {
        for field in [version(zip64), UTF8_NAMES, 0, FIXED_TIME, FIXED_DATE] {
            bytes.extend(field.to_le_bytes());
        }
        let size = narrow(self.content.len);
        for field in [self.content.crc32, size, size] {
            bytes.extend(field.to_le_bytes());
        }
        for len in [self.name.len(), extra_len] {
            bytes.extend(u16::try_from(len).expect("names and extra fields are short").to_le_bytes());
        }
    }
}

/// 4.5 is the version that knows zip64, 2.0 the one that every reader knows (§4.4.3.2).
fn version(zip64: bool) -> u16 {
    if zip64 { 45 } else { 20 }
}

/// §4.5.3; nothing if there is nothing to say.
fn zip64_extra(numbers: &[u64]) -> Vec<u8> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let len = u16::try_from(numbers.len() * 8).expect("at most three numbers");
    let mut bytes = Vec::new();
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

fn trailer(entries: &[Entry; 2], directory_at: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::directory_header).collect();
    let directory_len = bytes.len() as u64;
    let zip64 = directory_at >= FITS_32;
    if zip64 {
        bytes.extend(zip64_end(entries.len() as u64, directory_len, directory_at));
    }
    let count = u16::try_from(entries.len()).expect("two");
    bytes.extend(b"PK\x05\x06"); // §4.3.16
    bytes.extend([0; 4]); // disks
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend(narrow(directory_len).to_le_bytes());
    bytes.extend(narrow(directory_at).to_le_bytes());
    bytes.extend([0; 2]); // comment length
    bytes
}

/// §4.3.14 and §4.3.15.
fn zip64_end(count: u64, directory_len: u64, directory_at: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes()); // what follows in this record
    bytes.extend(45u16.to_le_bytes());
    bytes.extend(45u16.to_le_bytes());
    bytes.extend([0; 8]); // disks
    for number in [count, count, directory_len, directory_at] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07");
    bytes.extend([0; 4]); // disk of the record above
    bytes.extend((directory_at + directory_len).to_le_bytes());
    bytes.extend(1u32.to_le_bytes()); // disks in all
    bytes
}

/// The two files that were taken out of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The picture's extension, without its dot; empty if it has none.
    pub image_extension: String,
    /// The picture's length in bytes.
    pub image_len: u64,
    /// The video's extension, without its dot; empty if it has none.
    pub video_extension: String,
    /// The video's length in bytes.
    pub video_len: u64,
}

/// Why a container cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// Not a ZIP, a damaged one, or one whose contents do not match their checksums.
    #[error("the Live Photo container is damaged")]
    Damaged(#[source] ZipError),
    /// It does not hold exactly one `image…` and one `video…` at its top.
    #[error("the Live Photo container does not hold one picture and one video")]
    NotALivePhoto,
    /// A file in it is longer than the limit.
    #[error("a file in the Live Photo container is longer than {limit} bytes")]
    TooLong {
        /// The limit that was given.
        limit: u64,
    },
    /// The container could not be read or decompressed.
    #[error("the Live Photo container could not be read")]
    Read(#[source] io::Error),
    /// The file that was taken out could not be written.
    #[error("a half of the Live Photo could not be written")]
    Write(#[source] io::Error),
}

/// Takes both files out of a container, each at most `limit` bytes, checked against their CRC-32. What was already
/// written when an error is returned is to be thrown away.
pub fn extract<R: Read + Seek>(
    container: R,
    limit: u64,
    image: &mut dyn Write,
    video: &mut dyn Write,
) -> Result<Extracted, ExtractError> {
    let mut archive = ZipArchive::new(container).map_err(ExtractError::Damaged)?;
    let (image_at, image_extension) = find(&archive, "image")?;
    let (video_at, video_extension) = find(&archive, "video")?;
    if archive.len() != 2 {
        return Err(ExtractError::NotALivePhoto);
    }
    let image_len = copy_entry(&mut archive, image_at, limit, image)?;
    let video_len = copy_entry(&mut archive, video_at, limit, video)?;
    Ok(Extracted { image_extension, image_len, video_extension, video_len })
}

fn find<R: Read + Seek>(archive: &ZipArchive<R>, prefix: &str) -> Result<(usize, String), ExtractError> {
    let mut found = (0..archive.len()).filter_map(|at| {
        let name = archive.name_for_index(at)?.ok()?;
        let rest = name.strip_prefix(prefix)?;
        let extension = rest.strip_prefix('.').or(rest.is_empty().then_some(""))?;
        let plain = extension.len() <= MAX_EXTENSION_LEN && !extension.contains(['/', '\\', '.', '\0']);
        plain.then(|| (at, extension.to_owned()))
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(ExtractError::NotALivePhoto),
    }
}

fn copy_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    at: usize,
    limit: u64,
    out: &mut dyn Write,
) -> Result<u64, ExtractError> {
    let mut entry = archive.by_index(at).map_err(ExtractError::Damaged)?;
    if entry.size() > limit {
        return Err(ExtractError::TooLong { limit });
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut len = 0u64;
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => return Ok(len),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ExtractError::Read(error)),
        };
        len += read as u64;
        // The size in the directory is only a claim; a bomb says less than it holds.
        if len > limit {
            return Err(ExtractError::TooLong { limit });
        }
        out.write_all(buffer.get(..read).unwrap_or_default()).map_err(ExtractError::Write)?;
    }
}

#[cfg(test)]
mod tests;
