//! A ZIP archive as a library: its entries are listed from the central directory and read where they lie.
//!
//! Nothing is unpacked, and names are only names: no path is ever made of one. They are the bytes that stand there, and of entries of one name each
//! further one has a path of its own, with a number before it ([`without_number`]). Memory is bounded whatever an entry claims
//! (PKWARE APPNOTE.TXT 6.3.10): an entry is read to the size that the directory gives and no further, and what cannot be
//! sought in is inflated again within a budget. Entries are stored or deflated; encryption is told and not broken.

mod end;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::DeflateDecoder;
use rawzip::time::ZipDateTimeKind;
use rawzip::{
    CompressionMethod, FileReader, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipFileHeaderRecord, ZipLocator,
};
use time::{Date, Month, Time};

use end::behind_the_directory;

use super::folder::fingerprint;
use super::path_of;
use crate::catalog::Fingerprint;

/// Inflated bytes that are kept behind the place that is read, for readers that look back.
const WINDOW_LEN: usize = 1 << 20;

/// Bytes that are inflated at once.
const STEP_LEN: usize = 64 * 1024;

/// What a reader that looks back may cost: so many times the size of the entry is inflated, and then no more.
const TIMES_INFLATED_MAX: u64 = 3;

/// Bytes that any entry may be inflated again, however small.
const INFLATED_AGAIN_MIN: u64 = 64 << 20;

/// What stands before and behind the number of an entry whose name another had before it.
const NUMBER_BEGIN: &str = "entry ";
const NUMBER_END: &str = " of one name";

/// Why an archive cannot be read. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not there, or may not be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Its directory, which stands at its end, is not there.
    #[error("it is not a ZIP archive, or its end is missing; download it again")]
    Truncated,
    /// Its directory makes no sense.
    #[error("it is damaged ({0}); download it again")]
    Damaged(String),
    /// Its entries are encrypted.
    #[error("it is encrypted; unpack it, and import the folder")]
    Encrypted,
    /// The other format that exports come in.
    #[error(
        "it is a .tgz archive, which cannot be read in place; unpack it and import the folder, or export again as .zip"
    )]
    Tar,
}

/// Something in an archive that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path in the archive.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

/// An archive and what is in it.
#[derive(Debug)]
pub struct Archive {
    entries: BTreeMap<PathBuf, Entry>,
    /// How many entries have the name of another before them, that one counted.
    repeated: HashMap<PathBuf, u64>,
    /// What is in it and cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl Archive {
    /// Reads the directory of the archive at `path`.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path)?;
        let place = Arc::new(Place { path: path.to_owned(), fingerprint: fingerprint(&file.metadata()?) });
        if is_tar(path, &file)? {
            return Err(ArchiveError::Tar);
        }
        let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let end = behind_the_directory(&file)?;
        let located = ZipLocator::new().locate_in_reader(FileReader::from(file), &mut buffer, end);
        let archive = located.map_err(|(_, error)| told(&error))?;
        let mut listed = Self { entries: BTreeMap::new(), repeated: HashMap::new(), unreadable: Vec::new() };
        let mut records = archive.entries(&mut buffer);
        let mut count = 0;
        while let Some(record) = records.next_entry().map_err(|error| told(&error))? {
            count += 1;
            listed.add(&place, &record)?;
        }
        if count != archive.entries_hint() {
            return Err(ArchiveError::Damaged("entries are missing".to_owned()));
        }
        Ok(listed)
    }

    fn add(&mut self, place: &Arc<Place>, record: &ZipFileHeaderRecord<'_>) -> Result<(), ArchiveError> {
        if record.is_dir() {
            return Ok(());
        }
        if record.flags().is_encrypted() {
            return Err(ArchiveError::Encrypted);
        }
        let path = path_of_name(record.file_path().as_bytes());
        let mut pass = |reason| self.unreadable.push(Unreadable { path: path.clone(), reason });
        let is_deflated = match record.compression_method() {
            CompressionMethod::STORE if record.compressed_size_hint() != record.uncompressed_size_hint() => {
                pass("the archive is damaged here: its size is not what it should be");
                return Ok(());
            }
            CompressionMethod::STORE => false,
            CompressionMethod::DEFLATE => true,
            _ => {
                pass(
                    "it is compressed in a way that cannot be read; unpack the archive and import the folder",
                );
                return Ok(());
            }
        };
        let entry = Entry {
            place: Arc::clone(place),
            header: record.local_header_offset(),
            packed: record.compressed_size_hint(),
            size: record.uncompressed_size_hint(),
            crc32: record.crc32(),
            modified_ns: modified_ns(&record.last_modified()),
            is_deflated,
        };
        if path.as_os_str().is_empty() {
            pass("it has no name");
            return Ok(());
        }
        let path = self.path_of_its_own(path);
        self.entries.insert(path, entry);
        Ok(())
    }

    /// The path by which an entry is known. It depends on the directory alone: whenever the archive is read, it is the same.
    fn path_of_its_own(&mut self, path: PathBuf) -> PathBuf {
        if !self.entries.contains_key(&path) {
            return path;
        }
        let number = self.repeated.entry(path.clone()).or_insert(1);
        loop {
            *number += 1;
            let numbered = Path::new(&format!("{NUMBER_BEGIN}{number}{NUMBER_END}")).join(&path);
            if !self.entries.contains_key(&numbered) {
                return numbered;
            }
        }
    }

    /// Its entries by their paths.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// The entry at a path.
    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(path)
    }
}

/// The archives that a run has met: the directory of each is read once.
#[derive(Debug, Default)]
pub struct Archives(Mutex<HashMap<PathBuf, Option<Arc<Archive>>>>);

impl Archives {
    /// The archive that a root is; none where it is a folder. Blocks.
    pub fn at(&self, root: &Path) -> io::Result<Option<Arc<Archive>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(archive) = known.get(root) {
            return Ok(archive.clone());
        }
        let opened = if root.metadata()?.is_dir() { None } else { Some(Archive::open(root)) };
        let archive = opened.transpose().map_err(io::Error::other)?.map(Arc::new);
        known.insert(root.to_owned(), archive.clone());
        Ok(archive)
    }

    /// Spares one that is open already to be opened again.
    pub fn keep(&self, root: PathBuf, archive: Arc<Archive>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(root, Some(archive));
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    fingerprint: Fingerprint,
}

/// One file in an archive. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    place: Arc<Place>,
    header: u64,
    packed: u64,
    size: u64,
    crc32: u32,
    modified_ns: i64,
    is_deflated: bool,
}

impl Entry {
    /// What tells it from others of its name: its checksum stands for the number that a disk would give.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { size: self.size, modified_ns: self.modified_ns, inode: 1 << 32 | u64::from(self.crc32) }
    }

    /// The archive that it is in.
    pub fn archive(&self) -> &Path {
        &self.place.path
    }

    /// Whether another entry, of any archive, has the same content: by what the directories say.
    pub fn has_content_of(&self, other: &Self) -> bool {
        (self.size, self.crc32) == (other.size, other.crc32)
    }

    /// Whether the archive still is what it was when it was listed.
    pub fn is_unchanged(&self) -> bool {
        self.place.path.metadata().is_ok_and(|metadata| fingerprint(&metadata) == self.place.fingerprint)
    }

    /// Opens it; an error of kind `InvalidData` says that the archive is no longer what was listed, or damaged.
    pub fn open(&self) -> io::Result<EntryReader> {
        let mut file = File::open(&self.place.path)?;
        let is_unchanged = fingerprint(&file.metadata()?) == self.place.fingerprint;
        let start = if is_unchanged { self.start(&mut file)? } else { return Err(changed()) };
        Ok(EntryReader {
            entry: self.clone(),
            at: 0,
            start,
            bytes: if self.is_deflated {
                Bytes::Deflated(Box::new(Inflated::new(file, start, self.packed, self.size)))
            } else {
                Bytes::Stored(file)
            },
            checked: (0, crc32fast::Hasher::new()),
        })
    }

    /// Where its bytes begin: behind the local header, whose fields may be longer than the directory's (4.3.7).
    fn start(&self, file: &mut File) -> io::Result<u64> {
        let mut header = [0; 30];
        file.seek(SeekFrom::Start(self.header))?;
        file.read_exact(&mut header).map_err(|_| damaged())?;
        let [b'P', b'K', 3, 4, .., name_low, name_high, extra_low, extra_high] = header else {
            return Err(damaged());
        };
        let (name, extra) =
            (u16::from_le_bytes([name_low, name_high]), u16::from_le_bytes([extra_low, extra_high]));
        self.header.checked_add(header.len() as u64 + u64::from(name) + u64::from(extra)).ok_or_else(damaged)
    }
}

/// The bytes of an entry, from anywhere in it. Read from the beginning to the end, they are compared with their checksum.
#[derive(Debug)]
pub struct EntryReader {
    entry: Entry,
    at: u64,
    start: u64,
    bytes: Bytes,
    /// So many bytes from the beginning on have been read without a gap, and this is their checksum.
    checked: (u64, crc32fast::Hasher),
}

#[derive(Debug)]
enum Bytes {
    Stored(File),
    Deflated(Box<Inflated>),
}

impl EntryReader {
    /// The entry's fingerprint, if the archive has not been written to since it was listed.
    pub fn fingerprint(&self) -> io::Result<Fingerprint> {
        let file = match &self.bytes {
            Bytes::Stored(file) => file,
            Bytes::Deflated(inflated) => inflated.file(),
        };
        let is_unchanged = fingerprint(&file.metadata()?) == self.entry.place.fingerprint;
        if is_unchanged { Ok(self.entry.fingerprint()) } else { Err(changed()) }
    }

    fn check(&mut self, read: &[u8]) -> io::Result<()> {
        let (upto, checksum) = &mut self.checked;
        if *upto != self.at {
            return Ok(());
        }
        checksum.update(read);
        *upto += read.len() as u64;
        let is_whole = *upto == self.entry.size;
        if is_whole && checksum.clone().finalize() != self.entry.crc32 { Err(damaged()) } else { Ok(()) }
    }
}

impl Read for EntryReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.entry.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let count = match &mut self.bytes {
            Bytes::Stored(file) => {
                file.seek(SeekFrom::Start(self.start.saturating_add(self.at)))?;
                file.read(buffer)?
            }
            Bytes::Deflated(inflated) => inflated.read_at(self.at, buffer)?,
        };
        if count == 0 {
            return Err(damaged());
        }
        self.check(buffer.get(..count).unwrap_or_default())?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for EntryReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.entry.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// An entry that is read in stretches, one behind the other: the reader of one is kept for the next, which would have to inflate all
/// in front of it again. Clones share it.
#[derive(Clone, Debug)]
pub struct Stretches {
    entry: Entry,
    kept: Arc<Mutex<Option<EntryReader>>>,
}

impl Stretches {
    /// Of this entry.
    pub fn new(entry: Entry) -> Self {
        Self { entry, kept: Arc::default() }
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its bytes from `offset` on.
    pub fn open_at(&self, offset: u64) -> io::Result<Stretch> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that is further on would begin anew, and pay for it.
        let kept = kept.filter(|reader| reader.at <= offset && reader.fingerprint().is_ok());
        let mut reader = kept.map_or_else(|| self.entry.open(), Ok)?;
        reader.seek(SeekFrom::Start(offset))?;
        Ok(Stretch { reader: Some(reader), kept: Arc::clone(&self.kept) })
    }
}

/// The reader of one stretch.
#[derive(Debug)]
pub struct Stretch {
    reader: Option<EntryReader>,
    kept: Arc<Mutex<Option<EntryReader>>>,
}

impl Read for Stretch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Err(damaged()) };
        let read = reader.read(buffer);
        if read.is_err() {
            self.reader = None;
        }
        read
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        }
    }
}

/// A deflated entry: inflated forwards, with a window to look back into, and from its beginning again where that is too short.
struct Inflated {
    decoder: DeflateDecoder<BufReader<Take<File>>>,
    start: u64,
    packed: u64,
    /// Bytes that may still be inflated.
    budget: u64,
    /// Where the window begins.
    begin: u64,
    window: Vec<u8>,
}

impl std::fmt::Debug for Inflated {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inflated").field("begin", &self.begin).finish_non_exhaustive()
    }
}

impl Inflated {
    fn new(file: File, start: u64, packed: u64, size: u64) -> Self {
        let budget = size.saturating_mul(TIMES_INFLATED_MAX).max(size.saturating_add(INFLATED_AGAIN_MIN));
        // The file stands just behind the local header's fixed part: it is positioned before the first byte is read.
        let decoder = DeflateDecoder::new(BufReader::with_capacity(STEP_LEN, file.take(0)));
        // Beyond everything: the first read begins anew.
        Self { decoder, start, packed, budget, begin: u64::MAX, window: Vec::new() }
    }

    fn file(&self) -> &File {
        self.decoder.get_ref().get_ref().get_ref()
    }

    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if at < self.begin {
            self.begin_anew()?;
        }
        loop {
            let within = usize::try_from(at - self.begin).ok();
            let there = within.and_then(|within| self.window.get(within..)).unwrap_or_default();
            let count = there.len().min(buffer.len());
            if let (Some(to), Some(from), 1..) = (buffer.get_mut(..count), there.get(..count), count) {
                to.copy_from_slice(from);
                return Ok(count);
            }
            if self.step()? == 0 {
                return Ok(0);
            }
        }
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut file = self.file().try_clone()?;
        file.seek(SeekFrom::Start(self.start))?;
        self.decoder = DeflateDecoder::new(BufReader::with_capacity(STEP_LEN, file.take(self.packed)));
        self.begin = 0;
        self.window.clear();
        Ok(())
    }

    /// Inflates some more behind the window.
    fn step(&mut self) -> io::Result<usize> {
        // It was read back and forth too often: for the reader it ends here.
        self.budget = self.budget.checked_sub(STEP_LEN as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        if self.window.len() >= WINDOW_LEN {
            let dropped = WINDOW_LEN / 2;
            self.window.drain(..dropped);
            self.begin += dropped as u64;
        }
        let before = self.window.len();
        let read = (&mut self.decoder).take(STEP_LEN as u64).read_to_end(&mut self.window);
        // Whatever the decoder finds wrong with it.
        read.map_err(|error| if error.kind() == io::ErrorKind::InvalidInput { damaged() } else { error })?;
        Ok(self.window.len() - before)
    }
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the archive changed while it was read; give the same command again",
    )
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the archive is damaged here; download it again")
}

fn told(error: &rawzip::Error) -> ArchiveError {
    use rawzip::ErrorKind::{Eof, IO, InvalidEndOfCentralDirectory, MissingEndOfCentralDirectory};
    match error.kind() {
        MissingEndOfCentralDirectory | InvalidEndOfCentralDirectory | Eof => ArchiveError::Truncated,
        IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
        IO(error) => ArchiveError::Read(io::Error::new(error.kind(), error.to_string())),
        other => ArchiveError::Damaged(other.to_string()),
    }
}

fn is_tar(path: &Path, mut file: &File) -> io::Result<bool> {
    let named = path.extension().is_some_and(|extension| {
        ["tgz", "gz", "tar"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    let mut magic = [0; 2];
    let count = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(named || (count == 2 && magic == [0x1f, 0x8b]))
}

/// The path of an entry, relative and without steps upwards. It is compared with others and shown, and nothing is opened by it.
fn path_of_name(name: &[u8]) -> PathBuf {
    let parts = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"." | b".."));
    let shown = |part: &[u8]| part.split(|byte| *byte == 0).collect::<Vec<_>>().join("\u{fffd}".as_bytes());
    parts.map(|part| path_of(&shown(part))).collect()
}

/// The path of an entry without the number that it has where its name is that of another: `entry 2 of one name/a.jpg` as `a.jpg`.
pub fn without_number(path: &Path) -> &Path {
    let mut parts = path.components();
    let first = parts.next().and_then(|first| first.as_os_str().to_str());
    let number = first.and_then(|first| first.strip_prefix(NUMBER_BEGIN)?.strip_suffix(NUMBER_END));
    let is_number = number.is_some_and(|number| number.parse::<u64>().is_ok());
    let rest = parts.as_path();
    if is_number && !rest.as_os_str().is_empty() { rest } else { path }
}

/// Nanoseconds since the epoch. Most archives give a wall's clock (4.4.6); it is taken for UTC, like Google's is.
fn modified_ns(modified: &ZipDateTimeKind) -> i64 {
    let (year, month, day, time, nanos) = match modified {
        ZipDateTimeKind::Utc(utc) => {
            (utc.year(), utc.month(), utc.day(), [utc.hour(), utc.minute(), utc.second()], utc.nanosecond())
        }
        ZipDateTimeKind::Local(local) => (
            local.year(),
            local.month(),
            local.day(),
            [local.hour(), local.minute(), local.second()],
            local.nanosecond(),
        ),
    };
    let [hour, minute, second] = time;
    let moment = || {
        let date = Date::from_calendar_date(i32::from(year), Month::try_from(month).ok()?, day).ok()?;
        let time = Time::from_hms_nano(hour, minute, second.min(59), nanos).ok()?;
        i64::try_from(date.with_time(time).assume_utc().unix_timestamp_nanos()).ok()
    };
    moment().unwrap_or(0)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
