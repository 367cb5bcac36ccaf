//! Putting finished files where they belong, without ever replacing one.
//!
//! A file is written under a temporary name in its folder, flushed, then renamed; the rename fails where the name is
//! taken in the meantime. What is there already with the same content counts as restored.

use super::plan::Place;
use darkslide_crypto::{ContentHash, ContentHasher};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// How temporary files begin and end: a run that was killed leaves some, the next one removes them. Letters and digits are in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temporary {
    pub(crate) prefix: &'static str,
    pub(crate) suffix: &'static str,
}

impl Temporary {
    /// Whether it is the name of one.
    pub(crate) fn is_name(self, name: &OsStr) -> bool {
        let random = name.to_str().and_then(|name| name.strip_prefix(self.prefix)?.strip_suffix(self.suffix));
        random.is_some_and(|random| {
            !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    }
}

/// Backups ignore these by the beginning.
pub(crate) const RESTORING: Temporary = Temporary { prefix: ".darkslide-restore-", suffix: ".partial" };

/// In a folder that a synchroniser may look after: Syncthing takes these for its own. It does not carry half of a file to the phone, and
/// removes what is a day old.
pub(crate) const ARRIVING: Temporary = Temporary { prefix: ".syncthing.darkslide-", suffix: ".tmp" };

/// Numbers that are tried for a name.
pub(crate) const NUMBERS_MAX: u32 = 10_000;

/// Bytes that are read at once when comparing.
const READ_BYTES: usize = 1 << 20;

/// What each part must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpectedPart {
    pub(super) content: ContentHash,
    /// Where known: spares reading a file of another length.
    pub(super) length: Option<u64>,
}

/// Where a file stands, or can stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// All its parts are there under this number.
    Taken(u32),
    /// Under this number nothing different was there; of each part, whether it was there already.
    Free(u32, Vec<bool>),
}

/// How a placement ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Where its (first) part is.
    pub(super) path: PathBuf,
    /// Whether it was there before.
    pub(super) already_there: bool,
    /// Whether it stands under another name than it had.
    pub(super) renamed: bool,
}

/// What a content hash says of each part.
pub(super) fn expected_parts(hash: &ContentHash, length: Option<u64>) -> Vec<ExpectedPart> {
    match hash {
        ContentHash::Single(_) => vec![ExpectedPart { content: *hash, length }],
        ContentHash::LivePhoto { image, video } => [image, video]
            .map(|digest| ExpectedPart { content: ContentHash::Single(*digest), length: None })
            .to_vec(),
    }
}

/// A temporary file in `folder`, with the rights that new files have here.
pub(crate) fn temporary(folder: &Path, name: Temporary) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(name.prefix).suffix(name.suffix);
    #[cfg(unix)]
    let permissions = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    match builder.tempfile_in(folder) {
        // What is told is why there is no such folder. It is not made here: its disk may have gone, and another lie behind it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(folder)?;
            fs::remove_dir(folder)?;
            Err(error)
        }
        other => other,
    }
}

/// Removes what a killed run left in `folder`.
pub(crate) fn remove_leftovers(folder: &Path, left: Temporary) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if left.is_name(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Finds the first number, from the planned one on, under which all parts are there already or nothing different is.
pub(super) fn find_spot(place: &Place, expected: &[ExpectedPart]) -> io::Result<Spot> {
    for number in place.number..place.number.saturating_add(NUMBERS_MAX) {
        let mut present = Vec::with_capacity(place.parts.len());
        let mut different = false;
        for (part, expected) in place.parts.iter().zip(expected) {
            let found = compare(&place.folder.join(part.name.candidate(number)), expected)?;
            different |= found == Some(false);
            present.push(found == Some(true));
        }
        if !different {
            let all = present.iter().all(|present| *present);
            return Ok(if all { Spot::Taken(number) } else { Spot::Free(number, present) });
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
}

/// Whether what is at `path` has the expected content; `None` if nothing is there. Anything but a plain file differs.
fn compare(path: &Path, expected: &ExpectedPart) -> io::Result<Option<bool>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let other_length = expected.length.is_some_and(|length| length != metadata.len());
    if !metadata.is_file() || other_length {
        return Ok(Some(false));
    }
    Ok(Some(content_of(path)? == expected.content))
}

pub(crate) fn content_of(path: &Path) -> io::Result<ContentHash> {
    content_of_file(&mut File::open(path)?)
}

/// Of all that comes from here on.
pub(crate) fn content_of_file(file: &mut File) -> io::Result<ContentHash> {
    let mut hasher = ContentHasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sets the time and makes the bytes durable.
pub(crate) fn settle(file: &NamedTempFile, modified: SystemTime) -> io::Result<()> {
    file.as_file().set_modified(modified)?;
    file.as_file().sync_all()
}

/// Another temporary file with the same bytes.
pub(super) fn copy_into(folder: &Path, of: &NamedTempFile) -> io::Result<NamedTempFile> {
    let mut copy = temporary(folder, RESTORING)?;
    io::copy(&mut File::open(of.path())?, copy.as_file_mut())?;
    Ok(copy)
}

/// Gives settled temporary files their names: one number for all parts, none replaced.
pub(super) fn place(
    place: &Place,
    mut staged: Vec<NamedTempFile>,
    expected: &[ExpectedPart],
) -> io::Result<Placed> {
    loop {
        match find_spot(place, expected)? {
            Spot::Taken(number) => return Ok(placed(place, number, true)),
            Spot::Free(number, present) => match rename_all(place, staged, number, &present)? {
                None => return Ok(placed(place, number, false)),
                // A name was taken in this very moment: look again.
                Some(returned) => staged = returned,
            },
        }
    }
}

/// Renames every part but those that were seen to be there with the same content. Returns the parts when one of the names was taken
/// meanwhile: what took it is another file until it has been compared.
fn rename_all(
    place: &Place,
    staged: Vec<NamedTempFile>,
    number: u32,
    present: &[bool],
) -> io::Result<Option<Vec<NamedTempFile>>> {
    let mut named: Vec<PathBuf> = Vec::new();
    let mut kept = Vec::new();
    let mut waiting = staged.into_iter().zip(&place.parts).zip(present);
    while let Some(((file, part), present)) = waiting.next() {
        let path = place.folder.join(part.name.candidate(number));
        if *present {
            kept.push(file);
            continue;
        }
        match file.persist_noclobber(&path) {
            Ok(_) => named.push(path),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && named.is_empty() => {
                let rest = waiting.map(|((file, _), _)| file);
                return Ok(Some(kept.into_iter().chain([error.file]).chain(rest).collect()));
            }
            Err(error) => {
                // Half a Live Photo is worse than none: the next run does it again.
                named.iter().try_for_each(fs::remove_file)?;
                return Err(error.error);
            }
        }
    }
    Ok(None)
}

pub(super) fn placed(place: &Place, number: u32, already_there: bool) -> Placed {
    let name = place.parts.first().map(|part| part.name.candidate(number)).unwrap_or_default();
    let renamed = place.parts.iter().any(|part| !part.name.is_kept(number));
    Placed { path: place.folder.join(name), already_there, renamed }
}

/// Makes the names in `folder` durable. Where folders cannot be opened (Windows), the file system does it by itself.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{PartName, PlannedPart};
    use super::*;
    use std::io::Write as _;

    fn staged(folder: &Path, bytes: &[u8]) -> NamedTempFile {
        let mut file = temporary(folder, RESTORING).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// A still and its video, under these names in this folder.
    fn live_photo(folder: &Path) -> (Place, [ExpectedPart; 2]) {
        let part = |title: &str| PlannedPart {
            name: PartName::new(title.to_owned(), None),
            modified: SystemTime::UNIX_EPOCH,
        };
        let parts = ["a.heic", "a.mov"].map(part).to_vec();
        let expected =
            [b"still", b"video"].map(|bytes| ExpectedPart { content: ContentHash::of(bytes), length: None });
        (Place { folder: folder.to_owned(), parts, number: 0 }, expected)
    }

    #[test]
    fn a_name_that_is_taken_after_it_was_looked_for_is_not_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, expected) = live_photo(folder.path());
        fs::write(folder.path().join("a.heic"), b"still").unwrap();
        let Spot::Free(0, present) = find_spot(&whole, &expected).unwrap() else {
            panic!("the video is missing")
        };
        assert_eq!(present, [true, false]);
        // In this moment another file takes the name.
        fs::write(folder.path().join("a.mov"), b"other").unwrap();
        let both = vec![staged(folder.path(), b"still"), staged(folder.path(), b"video")];
        let returned = rename_all(&whole, both, 0, &present).unwrap().expect("nothing was named");
        let placed = place(&whole, returned, &expected).unwrap();
        assert_eq!(placed.path, folder.path().join("a (1).heic"));
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        assert_eq!((read("a (1).heic"), read("a (1).mov")), (b"still".to_vec(), b"video".to_vec()));
        assert_eq!(read("a.mov"), b"other");
    }
}
