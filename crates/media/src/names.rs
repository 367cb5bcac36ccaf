//! File names: which are left out of a backup, how a name is made safe to write again, and when two are the same.
//!
//! A name keeps its Unicode byte for byte wherever the file system can hold it: no normalisation, no
//! transliteration. Nothing here looks at a file system.

use std::ffi::OsStr;

use unicode_normalization::UnicodeNormalization;

/// The longest name, in bytes, that the common file systems hold (`NAME_MAX`).
pub const MAX_LEN: usize = 255;

/// An extension longer than this is taken for a part of the name when a name must be shortened.
const MAX_EXTENSION_LEN: usize = 16;

/// Why a file or folder is passed over by the folder library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Ignored {
    /// `.syncthing.*`, `~syncthing~*`, `.stfolder`.
    #[error("it belongs to the file synchroniser")]
    Synchroniser,
    /// `.stversions`, `.Trash-1000`, `#recycle` and their like: what others have deleted, or replaced.
    #[error("what was deleted lies there")]
    Bin,
    /// `*.part`, `*.partial`, `*.crdownload`.
    #[error("its transfer is not finished")]
    Partial,
    /// Android's `.pending-*`.
    #[error("the camera has not finished writing it")]
    Pending,
    /// Android's `.trashed-<expiry>-*`. To a sync folder this is a deletion; to a backup it is a file in the trash.
    #[error("it is in the phone's own trash")]
    Trashed,
    /// `.nomedia`, `.darkslide-folder` and their like.
    #[error("it is a marker, not a picture")]
    Marker,
    /// `@eaDir`: thumbnails that a NAS keeps beside its pictures.
    #[error("the NAS keeps its own thumbnails there")]
    SystemFolder,
    /// A folder whose name begins with a dot.
    #[error("folders whose names begin with a dot are hidden")]
    DotFolder,
}

impl Ignored {
    /// Whether a picture that was moved there was deleted by whoever moved it. Anywhere else it is only not to be seen.
    pub fn is_deletion(self) -> bool {
        matches!(self, Self::Bin | Self::Trashed)
    }
}

/// Folders into which Syncthing and other synchronisers, the desktops of Linux (freedesktop.org's trash), macOS and Windows, Samba, Synology, QNAP and
/// Unraid, photo managers and Android's galleries move what is deleted; without case. The user's number follows the one that ends in a hyphen. The
/// list may be generous: a picture that is taken for deleted is in the vault's trash for 30 days.
const BINS: [&str; 15] = [
    ".stversions",
    ".sync",
    ".dropbox.cache",
    ".trash",
    ".trashes",
    ".trash-",
    ".trashbin",
    ".globaltrash",
    ".dtrash",
    ".deleted",
    ".recycle",
    ".recycle.bin",
    "#recycle",
    "@recycle",
    "$recycle.bin",
];

/// Whether a folder is one into which others move what they delete.
fn is_bin(name: &str) -> bool {
    let is = |bin: &str| {
        name.get(..bin.len()).is_some_and(|start| start.eq_ignore_ascii_case(bin))
            && (name.len() == bin.len() || bin.ends_with('-'))
    };
    BINS.into_iter().any(is)
}

/// Why a folder of this name is not entered, if it is not.
pub fn ignored_folder(name: &OsStr) -> Option<Ignored> {
    if name.to_str().is_some_and(is_bin) {
        return Some(Ignored::Bin);
    }
    match name.as_encoded_bytes() {
        b".stfolder" => Some(Ignored::Synchroniser),
        b"@eaDir" => Some(Ignored::SystemFolder),
        [b'.', _, ..] => Some(Ignored::DotFolder),
        _ => None,
    }
}

/// Why a file of this name is not backed up, if it is not. A leading dot alone is no reason.
pub fn ignored_file(name: &OsStr) -> Option<Ignored> {
    let bytes = name.as_encoded_bytes();
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let ends = |suffix: &[u8]| bytes.to_ascii_lowercase().ends_with(suffix);
    if starts(b".syncthing.") || starts(b"~syncthing~") || bytes == b".stignore" {
        Some(Ignored::Synchroniser)
    } else if starts(b".pending-") {
        Some(Ignored::Pending)
    } else if starts(b".trashed-") {
        Some(Ignored::Trashed)
    } else if bytes == b".nomedia" || starts(b".darkslide-") {
        Some(Ignored::Marker)
    } else if ends(b".part") || ends(b".partial") || ends(b".crdownload") {
        Some(Ignored::Partial)
    } else {
        None
    }
}

/// Whose rules a restored name must obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Linux, macOS and the BSDs: only `/` and NUL cannot be in a name.
    Unix,
    /// Windows: also `\ : * ? " < > |`, control characters, trailing dots and spaces, and device names.
    Windows,
}

impl Rules {
    /// The rules of the machine that this was compiled for.
    pub const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Unix };
}

/// The name under which a file called `title` in the vault is written to disk: one path component, never
/// empty, `.` or `..`, at most [`MAX_LEN`] bytes, the extension kept when it has to be shortened. A title that
/// is already fit comes back unchanged.
pub fn restored(title: &str, rules: Rules) -> String {
    let mut name: String = title.chars().map(|c| if is_forbidden(c, rules) { '_' } else { c }).collect();
    if rules == Rules::Windows {
        name = fit_for_windows(&name);
    }
    if name.is_empty() || name == "." || name == ".." {
        name = format!("_{name}");
    }
    shortened(&name, "")
}

fn is_forbidden(c: char, rules: Rules) -> bool {
    match rules {
        Rules::Unix => matches!(c, '/' | '\0'),
        Rules::Windows => matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') || c < ' ',
    }
}

/// <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>
fn fit_for_windows(name: &str) -> String {
    let trimmed = name.trim_end_matches(['.', ' ']);
    let mut fit = trimmed.to_owned();
    fit.extend(std::iter::repeat_n('_', name.len() - trimmed.len()));
    let device = fit.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |stem: &str| {
        device.strip_prefix(stem).is_some_and(|n| {
            matches!(n, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    let reserved =
        matches!(device.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT");
    if reserved { format!("_{fit}") } else { fit }
}

/// `name` with ` (number)` before its extension, shortened to fit: the next name to try when `name` is taken
/// by a different file. `number` counts from 1.
pub fn numbered(name: &str, number: u32) -> String {
    shortened(name, &format!(" ({number})"))
}

/// Stem, `suffix`, extension; the stem cut at a character's boundary where [`MAX_LEN`] demands it.
fn shortened(name: &str, suffix: &str) -> String {
    let (stem, extension) = split_extension(name);
    let room = MAX_LEN.saturating_sub(suffix.len() + extension.len());
    format!("{}{suffix}{extension}", stem.get(..stem.floor_char_boundary(room)).unwrap_or_default())
}

/// Splits into stem and extension, the dot with the extension. A leading dot begins no extension.
pub fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= MAX_EXTENSION_LEN => name.split_at(at),
        _ => (name, ""),
    }
}

/// Two names with the same key cannot stand in one folder on every file system: compared by NFC and full case
/// folding (Unicode §3.13, canonical caseless matching).
pub fn comparison_key(name: &str) -> String {
    if name.is_ascii() {
        // Nothing of it is composed, and a letter's small one is what it folds to.
        return name.to_ascii_lowercase();
    }
    canonical_fold(name)
}

fn canonical_fold(name: &str) -> String {
    caseless::default_case_fold_str(&name.nfd().collect::<String>()).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ignored_names() {
        let file = |name: &str| ignored_file(OsStr::new(name));
        for (name, expected) in [
            ("~syncthing~IMG_1.jpg.tmp", Some(Ignored::Synchroniser)),
            (".syncthing.IMG_1.jpg.tmp", Some(Ignored::Synchroniser)),
            ("IMG_1.jpg.part", Some(Ignored::Partial)),
            ("IMG_1.jpg.PARTIAL", Some(Ignored::Partial)),
            ("IMG_1.jpg.crdownload", Some(Ignored::Partial)),
            (".pending-1700000000-IMG_1.jpg", Some(Ignored::Pending)),
            (".trashed-1700000000-IMG_1.jpg", Some(Ignored::Trashed)),
            (".nomedia", Some(Ignored::Marker)),
            (".darkslide-folder", Some(Ignored::Marker)),
            (".hidden.jpg", None),
            ("IMG_1.jpg", None),
            ("part.jpg", None),
        ] {
            assert_eq!(file(name), expected, "{name}");
        }
        let folder = |name: &str| ignored_folder(OsStr::new(name));
        for (name, expected) in [
            (".stversions", Some(Ignored::Bin)),
            (".Trash-1000", Some(Ignored::Bin)),
            (".Trashes", Some(Ignored::Bin)),
            ("#recycle", Some(Ignored::Bin)),
            ("@Recycle", Some(Ignored::Bin)),
            ("$RECYCLE.BIN", Some(Ignored::Bin)),
            (".trashy", Some(Ignored::DotFolder)),
            ("#recycled", None),
            (".stfolder", Some(Ignored::Synchroniser)),
            ("@eaDir", Some(Ignored::SystemFolder)),
            (".thumbnails", Some(Ignored::DotFolder)),
            (".", None),
            ("Camera", None),
        ] {
            assert_eq!(folder(name), expected, "{name}");
        }
    }

    #[test]
    fn restored_names() {
        let long = format!("{}.jpg", "é".repeat(200));
        let long_cut = format!("{}.jpg", "é".repeat(125));
        for (title, rules, expected) in [
            ("IMG_1.jpg", Rules::Unix, "IMG_1.jpg"),
            ("../../etc/passwd", Rules::Unix, ".._.._etc_passwd"),
            ("a\0b.jpg", Rules::Unix, "a_b.jpg"),
            ("a\\b:c.jpg", Rules::Unix, "a\\b:c.jpg"),
            ("a\\b:c.jpg", Rules::Windows, "a_b_c.jpg"),
            ("", Rules::Unix, "_"),
            ("..", Rules::Unix, "_.."),
            ("..", Rules::Windows, "__"),
            ("con.jpg", Rules::Windows, "_con.jpg"),
            ("COM1", Rules::Windows, "_COM1"),
            ("com10.jpg", Rules::Windows, "com10.jpg"),
            ("con.jpg", Rules::Unix, "con.jpg"),
            ("a. ", Rules::Windows, "a__"),
            ("cafe\u{301}.jpg", Rules::Unix, "cafe\u{301}.jpg"),
            (&long, Rules::Unix, &long_cut),
        ] {
            assert_eq!(restored(title, rules), expected, "{title:?}");
        }
    }

    #[test]
    fn numbered_names() {
        assert_eq!(numbered("IMG_1.jpg", 1), "IMG_1 (1).jpg");
        assert_eq!(numbered(".hidden", 2), ".hidden (2)");
        assert_eq!(numbered("IMG_0001.JPG.jpg", 1), "IMG_0001.JPG (1).jpg");
        let long = numbered(&format!("{}.jpg", "x".repeat(250)), 12);
        assert_eq!((long.len(), long.ends_with("x (12).jpg")), (MAX_LEN, true));
    }

    #[test]
    fn same_names() {
        assert_eq!(comparison_key("Café.JPG"), comparison_key("cafe\u{301}.jpg"));
        assert_eq!(comparison_key("STRASSE"), comparison_key("straße"));
        assert_ne!(comparison_key("a.jpg"), comparison_key("b.jpg"));
    }

    proptest! {
        #[test]
        fn restored_is_one_component_and_stable(title in any::<String>(), windows in any::<bool>()) {
            let rules = if windows { Rules::Windows } else { Rules::Unix };
            let name = restored(&title, rules);
            prop_assert!(!name.is_empty() && name.len() <= MAX_LEN && name != "." && name != "..");
            prop_assert!(!name.contains(['/', '\0']));
            prop_assert_eq!(restored(&name, rules), name);
        }

        #[test]
        fn a_fit_title_is_kept_byte_for_byte(title in "[^/\0]{1,60}") {
            prop_assume!(title != "." && title != "..");
            prop_assert_eq!(restored(&title, Rules::Unix), title);
        }

        #[test]
        fn numbered_fits_and_keeps_the_extension(stem in "\\PC{1,300}", number in 1u32..) {
            let name = numbered(&restored(&format!("{stem}.jpeg"), Rules::Unix), number);
            let tail = format!(" ({number}).jpeg");
            prop_assert!(name.len() <= MAX_LEN);
            prop_assert!(name.ends_with(&tail));
        }

        #[test]
        fn what_every_system_can_write_folds_as_anything_else(name in "[\\x00-\\x7f]{0,20}") {
            prop_assert_eq!(comparison_key(&name), canonical_fold(&name));
        }

        #[test]
        fn comparison_key_is_idempotent(name in any::<String>()) {
            let key = comparison_key(&name);
            prop_assert_eq!(comparison_key(&key), key);
        }
    }
}
