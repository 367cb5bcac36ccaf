//! Reading bytes back to see whether they are still those that were stored.
//!
//! In small steps on blocking threads, one buffer each, so that whoever asks can pause or give up between any two. The kernel is asked
//! to forget what it has in memory first (Linux), so that it is the disk that answers; it may still be the kernel elsewhere, or where
//! it declines, as while others read the same. It ignores what is less than it keeps as one (posix_fadvise(2)), so more is named than what is
//! read. Nothing is mended here, and nothing is written.

use super::incoming::blocking;
use super::{BlobName, Digest, Hasher, ObjectError, Objects};
use darkslide_protocol::receipt::Damage;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many bytes one step reads at most.
pub const STEP_BYTES: usize = 1024 * 1024;

/// Bytes that lie together and have a digest of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The blob that they lie in.
    pub name: BlobName,
    /// Where they begin in it, in bytes.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// What they were when they were stored.
    pub digest: Digest,
    /// Whether nothing else may lie in that blob: then what follows them is damage.
    pub is_alone: bool,
}

/// An object that is being read back.
#[derive(Debug)]
pub struct ReadBack {
    left: VecDeque<(PathBuf, Stretch)>,
    open: Option<OpenStretch>,
    /// Of all stretches together; `None` when there is one, whose own digest is of the kind that is answered.
    whole: Option<Hasher>,
    last: Option<Digest>,
    buffer: Vec<u8>,
    read: u64,
}

/// How far a reading has come.
#[derive(Debug)]
pub enum Progress {
    /// There is more to read.
    Further(Box<ReadBack>),
    /// It is over.
    Over(Found),
}

/// What a reading found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The BLAKE3 of the whole object when every byte is what was stored, or what is wrong.
    pub outcome: Result<Digest, Damage>,
    /// How many bytes were read to find out.
    pub read: u64,
}

impl Objects {
    /// Begins to read an object back: its stretches in their order.
    pub fn read_back(&self, stretches: Vec<Stretch>) -> Box<ReadBack> {
        let is_plain = matches!(&stretches[..], [Stretch { digest: Digest::Blake3(_), .. }]);
        let longest = stretches.iter().map(|stretch| stretch.length).max().unwrap_or(0);
        let located = |stretch: Stretch| (self.path_of(&stretch.name), stretch);
        Box::new(ReadBack {
            left: stretches.into_iter().map(located).collect(),
            open: None,
            whole: (!is_plain).then(Hasher::new),
            last: None,
            buffer: vec![0; usize::try_from(longest).map_or(STEP_BYTES, |longest| longest.min(STEP_BYTES))],
            read: 0,
        })
    }

    /// Reads an object back to the end.
    pub async fn read_back_whole(&self, stretches: Vec<Stretch>) -> Result<Found, ObjectError> {
        let mut reading = self.read_back(stretches);
        loop {
            match reading.step().await? {
                Progress::Further(rest) => reading = rest,
                Progress::Over(found) => return Ok(found),
            }
        }
    }
}

impl ReadBack {
    /// How many bytes were read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Reads on, [`STEP_BYTES`] at most. Fails only when it could not be found out whether the bytes are whole.
    pub async fn step(self: Box<Self>) -> Result<Progress, ObjectError> {
        blocking(move || self.step_here()).await?
    }

    fn step_here(mut self: Box<Self>) -> Result<Progress, ObjectError> {
        let end = self.read + STEP_BYTES as u64;
        while self.read < end {
            let open = match self.open.take() {
                Some(open) => open,
                None => match self.left.pop_front() {
                    None => return Ok(self.is_whole()),
                    Some((path, stretch)) => match OpenStretch::open(path, stretch)? {
                        Ok(open) => open,
                        Err(damage) => return Ok(self.is_damaged(damage)),
                    },
                },
            };
            if let Err(damage) = self.read_some(open)? {
                return Ok(self.is_damaged(damage));
            }
        }
        Ok(Progress::Further(self))
    }

    fn is_whole(&self) -> Progress {
        let digest = self.whole.as_ref().map(Hasher::digest).or(self.last);
        Progress::Over(Found { outcome: digest.ok_or(Damage::Unknown), read: self.read })
    }

    fn is_damaged(&self, damage: Damage) -> Progress {
        Progress::Over(Found { outcome: Err(damage), read: self.read })
    }

    /// Reads a buffer of the stretch, or compares it when it is at its end.
    fn read_some(&mut self, mut open: OpenStretch) -> Result<Result<(), Damage>, ObjectError> {
        if open.left == 0 {
            self.last = Some(open.hasher.digest());
            return Ok(if self.last == Some(open.stretch.digest) { Ok(()) } else { Err(Damage::Altered) });
        }
        let bytes = match open.read(&mut self.buffer) {
            Ok([]) => return Ok(Err(Damage::Shorter)),
            Ok(bytes) => bytes,
            Err(error) => return damage_of(error, "read", &open.path).map(Err),
        };
        self.read += bytes.len() as u64;
        if let Some(whole) = &mut self.whole {
            whole.update(bytes);
        }
        self.open = Some(open);
        Ok(Ok(()))
    }
}

/// A stretch that is being read.
#[derive(Debug)]
struct OpenStretch {
    path: PathBuf,
    stretch: Stretch,
    file: File,
    hasher: Hasher,
    left: u64,
}

impl OpenStretch {
    /// Opens the blob and sees whether it is as long as it must be.
    fn open(path: PathBuf, stretch: Stretch) -> Result<Result<Self, Damage>, ObjectError> {
        let opened = File::open(&path).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(stretch.offset))?;
            Ok((file, length))
        });
        let (file, length) = match opened {
            Ok(opened) => opened,
            Err(error) => return damage_of(error, "open", &path).map(Err),
        };
        let end = stretch.offset.saturating_add(stretch.length);
        if length < end {
            return Ok(Err(Damage::Shorter));
        }
        if length > end && stretch.is_alone {
            return Ok(Err(Damage::Longer));
        }
        // Of small objects that lie together each is read alone: what would be read ahead is forgotten before its turn.
        if !stretch.is_alone {
            read_no_further(&file);
        }
        forget_cached(&file, stretch.offset..end, FOLIO_BYTES_MAX);
        Ok(Ok(Self { path, file, hasher: stretch.digest.hasher(), left: stretch.length, stretch }))
    }

    fn read<'b>(&mut self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let count = read_uninterrupted(&mut self.file, room)?;
        let bytes = room.get(..count).unwrap_or_default();
        self.hasher.update(bytes);
        self.left -= count as u64;
        // Read once for this; what others read often shall not have to go for it.
        let read = self.stretch.offset..self.stretch.offset + self.stretch.length - self.left;
        forget_cached(&self.file, read, PAGE_BYTES);
        Ok(bytes)
    }
}

fn read_uninterrupted(file: &mut File, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What an error of the disk says of the bytes. That this process has run out of something says nothing of them.
fn damage_of(error: io::Error, action: &'static str, path: &Path) -> Result<Damage, ObjectError> {
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(Damage::Missing);
    }
    if is_shortage(&error) { Err(ObjectError::disk(action, path)(error)) } else { Ok(Damage::Unreadable) }
}

/// Whether there is no memory, or no file descriptor left.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(number) = error.raw_os_error() {
        use rustix::io::Errno;
        return [Errno::MFILE, Errno::NFILE, Errno::NOMEM].iter().any(|errno| errno.raw_os_error() == number);
    }
    error.kind() == io::ErrorKind::OutOfMemory
}

/// Bytes of what the kernel keeps and drops as one: pages, or folios of many. These lie at multiples of their size and are no larger, where pages have
/// their usual size.
pub(super) const FOLIO_BYTES_MAX: u64 = 2 << 20;

/// Bytes of the smallest.
const PAGE_BYTES: u64 = 4096;

/// A range that ends at multiples of `unit` and has all of another.
#[cfg(any(target_os = "linux", test))]
fn around(range: Range<u64>, unit: u64) -> Range<u64> {
    range.start / unit * unit..range.end.checked_next_multiple_of(unit).unwrap_or(range.end)
}

/// Asks the kernel to drop what it has in memory of a range, up to multiples of `unit`. It may decline; then it is memory that answers.
#[cfg(target_os = "linux")]
pub(super) fn forget_cached(file: &File, range: Range<u64>, unit: u64) {
    advise(file, around(range, unit), rustix::fs::Advice::DontNeed);
}

/// Asks the kernel to read what it is asked for and no more.
#[cfg(target_os = "linux")]
fn read_no_further(file: &File) {
    advise(file, 0..0, rustix::fs::Advice::Random);
}

/// An empty range is the whole file.
#[cfg(target_os = "linux")]
fn advise(file: &File, range: Range<u64>, advice: rustix::fs::Advice) {
    let length = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
    let _ = rustix::fs::fadvise(file, range.start, length, advice);
}

/// Elsewhere there is no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn forget_cached(_: &File, _: Range<u64>, _: u64) {}

/// Nor this one.
#[cfg(not(target_os = "linux"))]
fn read_no_further(_: &File) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn more_is_forgotten_than_is_read() {
        assert_eq!(around(5000..9000, PAGE_BYTES), 4096..12_288);
        assert_eq!(around(4096..8192, PAGE_BYTES), 4096..8192);
        assert_eq!(around(3 << 20..(3 << 20) + 5, FOLIO_BYTES_MAX), 2 << 20..4 << 20);
        assert_eq!(around(7..u64::MAX, PAGE_BYTES), 0..u64::MAX);
    }

    /// Bytes that this thread had fetched from a disk.
    #[cfg(target_os = "linux")]
    fn fetched() -> u64 {
        let told = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        let read = told.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap();
        read.parse().unwrap()
    }

    /// Whether the disk of a folder is memory, which nothing is fetched from.
    #[cfg(target_os = "linux")]
    fn is_memory(folder: &Path) -> bool {
        const TMPFS_AND_RAMFS: [i64; 2] = [0x0102_1994, 0x8584_58f6];
        TMPFS_AND_RAMFS.contains(&rustix::fs::statfs(folder).unwrap().f_type)
    }

    /// Of a pack that had just been written or read, six objects were vouched for without a byte from the disk: less than a page at either end of what
    /// the kernel is told to forget stays, and what it has in larger pieces stays whole.
    #[cfg(target_os = "linux")]
    #[test]
    fn small_objects_of_one_pack_are_read_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        for lengths in [&[700_u64, 5000, 4, 12_345, 40_000, 4][..], &[3_000_000, 17], &[4096, 4096]] {
            let name = BlobName::generate(uuid::Uuid::new_v4(), 0);
            let path = objects.path_of(&name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes: Vec<u8> = (0..lengths.iter().sum::<u64>())
                .map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1])
                .collect();
            std::fs::write(&path, &bytes).unwrap();
            File::open(&path).unwrap().sync_all().unwrap();
            let mut offset = 0;
            for length in lengths {
                let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
                let digest = Digest::of(&bytes[range]);
                let stretch =
                    Stretch { name: name.clone(), offset, length: *length, digest, is_alone: false };
                // The thread may fetch its own code too, but not each time.
                let most = *length + 3 * PAGE_BYTES;
                let least = (0..3).map(|_| {
                    // All of it is in memory again.
                    assert!(std::fs::read(&path).unwrap() == bytes);
                    let before = fetched();
                    let mut reading = objects.read_back(vec![stretch.clone()]);
                    let found = loop {
                        match reading.step_here().unwrap() {
                            Progress::Further(rest) => reading = rest,
                            Progress::Over(found) => break found,
                        }
                    };
                    assert_eq!((found.outcome, found.read), (Ok(digest), *length));
                    let fetched = fetched() - before;
                    assert!(
                        fetched >= *length || is_memory(folder.path()),
                        "{fetched} of {length} at {offset}"
                    );
                    fetched
                });
                let least = least.min().unwrap();
                assert!(least <= most, "{least} of {length} at {offset}: more than is needed");
                if is_memory(folder.path()) {
                    let _ = std::io::stderr()
                        .write_all(b"\n\nNOT TESTED: bytes come from the disk, for TMPDIR is in memory.\n\n");
                }
                offset += length;
            }
        }
    }
}
