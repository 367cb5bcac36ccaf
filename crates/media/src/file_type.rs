//! What a file is, told from its first bytes and its name.
//!
//! The bytes are asked first; where they say nothing, a known media extension is believed, so that an
//! empty, truncated or damaged picture is still backed up as the picture that somebody thinks they have.
//! Only when neither speaks for a picture or a video is the file called something else, with a reason that
//! can be shown. This module does not decode, does not open files, and does not decide what is ignored by
//! name ([`crate::names`] does).

use std::ffi::OsStr;
use std::path::Path;

/// How many leading bytes [`classify`] can make use of; fewer are fine.
pub const HEAD_LEN: usize = 1024;

/// The two kinds of media that a vault holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A still picture, animated ones and motion photos included.
    Image,
    /// A moving picture.
    Video,
}

/// A container or coding of pictures or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, Ultra HDR and motion photos included.
    Jpeg,
    /// PNG and APNG.
    Png,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
    /// HEIC and other HEIF except AVIF.
    Heif,
    /// AVIF, sequences included.
    Avif,
    /// JPEG XL, naked or in its container.
    Jxl,
    /// TIFF that is no raw format known by name.
    Tiff,
    /// Windows bitmap.
    Bmp,
    /// JPEG 2000.
    Jp2,
    /// Adobe Photoshop.
    Psd,
    /// Adobe digital negative (a TIFF).
    Dng,
    /// Canon raw, second generation (a TIFF).
    Cr2,
    /// Canon raw, third generation (ISO base media).
    Cr3,
    /// Canon raw, first generation (CIFF).
    Crw,
    /// Nikon raw (a TIFF).
    Nef,
    /// Sony raw (a TIFF).
    Arw,
    /// Fujifilm raw.
    Raf,
    /// Olympus raw (a TIFF with a magic of its own).
    Orf,
    /// Panasonic raw (a TIFF with a magic of its own).
    Rw2,
    /// Pentax raw (a TIFF).
    Pef,
    /// Samsung raw (a TIFF).
    Srw,
    /// A raw format of a less common maker.
    OtherRaw,
    /// MPEG-4 part 14 and its like.
    Mp4,
    /// QuickTime.
    Mov,
    /// 3GPP and 3GPP2.
    ThreeGp,
    /// Matroska.
    Matroska,
    /// WebM.
    Webm,
    /// RIFF AVI.
    Avi,
    /// MPEG transport stream, AVCHD included.
    MpegTs,
    /// MPEG-1 and MPEG-2 program or elementary stream.
    MpegPs,
    /// Advanced Systems Format.
    Wmv,
    /// Flash video.
    Flv,
    /// Ogg with video.
    Ogv,
}

impl Format {
    /// Whether it is a picture or a video.
    pub fn kind(self) -> MediaKind {
        use Format::{Avi, Flv, Matroska, Mov, Mp4, MpegPs, MpegTs, Ogv, ThreeGp, Webm, Wmv};
        match self {
            Mp4 | Mov | ThreeGp | Matroska | Webm | Avi | MpegTs | MpegPs | Wmv | Flv | Ogv => {
                MediaKind::Video
            }
            _ => MediaKind::Image,
        }
    }

    /// Whether its metadata is laid out as a TIFF file, so that the name alone tells raw formats apart.
    pub fn is_tiff(self) -> bool {
        use Format::{Arw, Cr2, Dng, Nef, Orf, OtherRaw, Pef, Rw2, Srw, Tiff};
        matches!(self, Tiff | Dng | Cr2 | Nef | Arw | Orf | Rw2 | Pef | Srw | OtherRaw)
    }
}

/// What the answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The leading bytes.
    Content,
    /// The extension alone: the bytes are damaged, missing or not recognised.
    Name,
}

/// A picture or a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaType {
    /// Picture or video.
    pub kind: MediaKind,
    /// Its format.
    pub format: Format,
    /// What this rests on.
    pub evidence: Evidence,
}

/// Why a file is not backed up, for the report to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotMedia {
    /// XMP, AAE, JSON, THM and AppleDouble: it describes a picture.
    #[error("a sidecar that describes a picture, not a picture")]
    Sidecar,
    /// A ZIP, tar or other archive.
    #[error("an archive")]
    Archive,
    /// Sound without a picture.
    #[error("sound without a picture")]
    Audio,
    /// HTML, XML and SVG.
    #[error("a document in HTML or XML")]
    Markup,
    /// PDF and office documents.
    #[error("a document")]
    Document,
    /// Plain text.
    #[error("plain text")]
    Text,
    /// Nothing in it, and no extension that says otherwise.
    #[error("an empty file without a media extension")]
    Empty,
    /// Neither the bytes nor the name are known.
    #[error("not recognised as a picture or a video")]
    Unknown,
}

/// What [`classify`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// To be backed up.
    Media(MediaType),
    /// To be reported as left out.
    NotMedia(NotMedia),
}

impl FileType {
    /// The media type, if it is one.
    pub fn media(self) -> Option<MediaType> {
        match self {
            FileType::Media(media) => Some(media),
            FileType::NotMedia(_) => None,
        }
    }
}

/// Says what a file is. `head` is its first bytes ([`HEAD_LEN`] of them are enough, an empty slice for an
/// empty file), `name` its name or path, of which only the last part matters.
pub fn classify(name: &OsStr, head: &[u8]) -> FileType {
    let extension = extension(name);
    let by_name = extension.as_deref().and_then(format_of_extension);
    if is_apple_double(name, head) {
        return FileType::NotMedia(NotMedia::Sidecar);
    }
    if let Some(seen) = sniff(head) {
        let format = refine(seen, by_name);
        if extension.as_deref().and_then(not_media_extension) != Some(NotMedia::Audio) {
            return media(format, Evidence::Content);
        }
    }
    if let Some(format) = by_name {
        return media(format, Evidence::Name);
    }
    FileType::NotMedia(reason(extension.as_deref(), head))
}

fn media(format: Format, evidence: Evidence) -> FileType {
    FileType::Media(MediaType { kind: format.kind(), format, evidence })
}

/// Bytes that are shared by several formats are told apart by the name.
fn refine(seen: Format, by_name: Option<Format>) -> Format {
    match (seen, by_name) {
        (Format::Tiff, Some(named)) if named.is_tiff() => named,
        (Format::Mp4, Some(named @ (Format::Mov | Format::ThreeGp))) => named,
        _ => seen,
    }
}

fn extension(name: &OsStr) -> Option<String> {
    Path::new(name).extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase())
}

/// macOS writes `._NAME` beside NAME on disks that cannot hold resource forks (AppleDouble, RFC 1740).
fn is_apple_double(name: &OsStr, head: &[u8]) -> bool {
    let file_name = Path::new(name).file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    file_name.starts_with(b"._") && head.starts_with(&[0x00, 0x05, 0x16, 0x07])
}

/// The format that a lower-case extension (without the dot) stands for.
fn format_of_extension(extension: &str) -> Option<Format> {
    Some(match extension {
        "jpg" | "jpeg" | "jpe" | "jfif" | "insp" | "mpo" => Format::Jpeg,
        "png" | "apng" => Format::Png,
        "gif" => Format::Gif,
        "webp" => Format::Webp,
        "heic" | "heif" | "heics" | "heifs" | "hif" => Format::Heif,
        "avif" | "avifs" => Format::Avif,
        "jxl" => Format::Jxl,
        "tif" | "tiff" => Format::Tiff,
        "bmp" | "dib" => Format::Bmp,
        "jp2" | "j2k" | "jpf" | "jpx" => Format::Jp2,
        "psd" => Format::Psd,
        "dng" => Format::Dng,
        "cr2" => Format::Cr2,
        "cr3" => Format::Cr3,
        "crw" => Format::Crw,
        "nef" | "nrw" => Format::Nef,
        "arw" | "sr2" | "srf" => Format::Arw,
        "raf" => Format::Raf,
        "orf" | "ori" => Format::Orf,
        "rw2" | "rwl" => Format::Rw2,
        "pef" => Format::Pef,
        "srw" => Format::Srw,
        "3fr" | "erf" | "fff" | "gpr" | "iiq" | "k25" | "kdc" | "dcr" | "mef" | "mos" | "mrw" | "raw"
        | "x3f" => Format::OtherRaw,
        _ => return video_of_extension(extension),
    })
}

fn video_of_extension(extension: &str) -> Option<Format> {
    Some(match extension {
        "mp4" | "m4v" | "insv" | "f4v" | "lrv" => Format::Mp4,
        "mov" | "qt" => Format::Mov,
        "3gp" | "3g2" | "3gpp" => Format::ThreeGp,
        "mkv" | "mk3d" => Format::Matroska,
        "webm" => Format::Webm,
        "avi" | "divx" => Format::Avi,
        "mts" | "m2ts" | "m2t" | "tod" => Format::MpegTs,
        "mpg" | "mpeg" | "mpe" | "m2v" | "vob" | "mod" => Format::MpegPs,
        "wmv" | "asf" => Format::Wmv,
        "flv" => Format::Flv,
        "ogv" => Format::Ogv,
        _ => return None,
    })
}

fn not_media_extension(extension: &str) -> Option<NotMedia> {
    Some(match extension {
        "xmp" | "aae" | "json" | "thm" | "pp3" | "dop" | "cos" => NotMedia::Sidecar,
        "zip" | "tar" | "gz" | "tgz" | "bz2" | "xz" | "zst" | "7z" | "rar" => NotMedia::Archive,
        "m4a" | "m4b" | "mka" | "mp3" | "aac" | "flac" | "wav" | "ogg" | "oga" | "opus" | "wma" | "aiff"
        | "aif" | "amr" => NotMedia::Audio,
        "html" | "htm" | "xhtml" | "xml" | "svg" => NotMedia::Markup,
        "pdf" | "doc" | "docx" | "odt" | "xls" | "xlsx" | "ods" | "ppt" | "pptx" | "odp" => {
            NotMedia::Document
        }
        "txt" | "md" | "csv" | "tsv" | "log" | "srt" | "vtt" | "ini" => NotMedia::Text,
        _ => return None,
    })
}

/// The format that leading bytes prove, if they prove one.
fn sniff(head: &[u8]) -> Option<Format> {
    const ASF: &[u8] = &[0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11];
    const TABLE: &[(usize, &[u8], Format)] = &[
        (0, &[0xFF, 0xD8, 0xFF], Format::Jpeg),
        (0, b"\x89PNG\r\n\x1a\n", Format::Png),
        (0, b"GIF87a", Format::Gif),
        (0, b"GIF89a", Format::Gif),
        (0, b"\0\0\0\x0cJXL \r\n\x87\n", Format::Jxl),
        (0, &[0xFF, 0x0A], Format::Jxl),
        (0, b"\0\0\0\x0cjP  \r\n\x87\n", Format::Jp2),
        (0, b"8BPS\0\x01", Format::Psd),
        (0, b"II\x1a\0\0\0HEAPCCDR", Format::Crw),
        (0, b"FUJIFILMCCD-RAW", Format::Raf),
        (0, b"IIU\0", Format::Rw2),
        (0, b"IIRO", Format::Orf),
        (0, b"IIRS", Format::Orf),
        (0, b"MMOR", Format::Orf),
        (0, b"FOVb", Format::OtherRaw),
        (0, b"\0MRM", Format::OtherRaw),
        (0, b"II*\0", Format::Tiff),
        (0, b"MM\0*", Format::Tiff),
        (0, &[0, 0, 1, 0xBA], Format::MpegPs),
        (0, &[0, 0, 1, 0xB3], Format::MpegPs),
        (0, ASF, Format::Wmv),
        (0, b"FLV\x01", Format::Flv),
    ];
    let starts = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((_, _, format)) = TABLE.iter().find(|(at, magic, _)| starts(*at, magic)) {
        return Some(*format);
    }
    if starts(0, b"RIFF") && starts(8, b"WEBP") {
        return Some(Format::Webp);
    }
    if starts(0, b"RIFF") && starts(8, b"AVI ") {
        return Some(Format::Avi);
    }
    sniff_iso_media(head)
        .or_else(|| sniff_matroska(head))
        .or_else(|| sniff_bitmap(head))
        .or_else(|| sniff_transport_stream(head))
}

/// ISO base media (ISO/IEC 14496-12 §4.3): the brands in `ftyp`; QuickTime before 2001 has no `ftyp`.
fn sniff_iso_media(head: &[u8]) -> Option<Format> {
    let size = u32::from_be_bytes(*head.first_chunk()?);
    let kind: &[u8] = head.get(4..8)?;
    match kind {
        b"ftyp" => {}
        b"moov" | b"mdat" | b"wide" | b"pnot" | b"skip" | b"free" if size == 1 || size >= 8 => {
            return Some(Format::Mov);
        }
        _ => return None,
    }
    let end = usize::try_from(size).unwrap_or(usize::MAX).clamp(16, head.len().max(16));
    let major: &[u8] = head.get(8..12)?;
    let compatible = head.get(16..end.min(head.len())).unwrap_or_default();
    std::iter::once(major)
        .chain(compatible.chunks_exact(4))
        .find_map(format_of_brand)
        .or(if major.starts_with(b"M4A") || major.starts_with(b"M4B") { None } else { Some(Format::Mp4) })
}

fn format_of_brand(brand: &[u8]) -> Option<Format> {
    Some(match brand {
        b"avif" | b"avis" => Format::Avif,
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => Format::Heif,
        b"crx " => Format::Cr3,
        b"qt  " => Format::Mov,
        b"mif1" | b"msf1" => return None,
        [b'3', b'g', ..] => Format::ThreeGp,
        _ => return None,
    })
}

fn sniff_matroska(head: &[u8]) -> Option<Format> {
    let rest = head.strip_prefix(&[0x1A, 0x45, 0xDF, 0xA3])?;
    let webm = rest.iter().take(64).copied().collect::<Vec<u8>>().windows(4).any(|window| window == b"webm");
    Some(if webm { Format::Webm } else { Format::Matroska })
}

/// `BM` alone is two letters of many texts: the reserved field and the size of the second header must fit too.
fn sniff_bitmap(head: &[u8]) -> Option<Format> {
    let plausible = head.starts_with(b"BM")
        && head.get(6..10)? == [0, 0, 0, 0]
        && matches!(head.get(14)?, 12 | 40 | 52 | 56 | 64 | 108 | 124);
    plausible.then_some(Format::Bmp)
}

/// A transport stream repeats 0x47 every 188 bytes, AVCHD every 192 bytes from the fifth.
fn sniff_transport_stream(head: &[u8]) -> Option<Format> {
    let repeats = |first: usize, step: usize| (0..4).all(|i| head.get(first + i * step) == Some(&0x47));
    (repeats(0, 188) || repeats(4, 192)).then_some(Format::MpegTs)
}

/// How archives begin.
const ARCHIVES: [&[u8]; 7] =
    [b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ"];

fn reason(extension: Option<&str>, head: &[u8]) -> NotMedia {
    if let Some(known) = extension.and_then(not_media_extension) {
        return known;
    }
    if head.is_empty() {
        return NotMedia::Empty;
    }
    if ARCHIVES.iter().any(|magic| head.starts_with(magic)) {
        return NotMedia::Archive;
    }
    if head.starts_with(b"%PDF-") {
        return NotMedia::Document;
    }
    if head.starts_with(b"ID3") || head.starts_with(b"fLaC") || head.starts_with(b"OggS") {
        return NotMedia::Audio;
    }
    reason_of_text(head)
}

fn reason_of_text(head: &[u8]) -> NotMedia {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end in the middle of a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return NotMedia::Unknown,
    };
    if text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) {
        return NotMedia::Unknown;
    }
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        NotMedia::Markup
    } else {
        NotMedia::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, head: &[u8], expected: FileType) {
        assert_eq!(classify(OsStr::new(name), head), expected, "{name} {head:?}");
    }

    #[test]
    fn bytes_speak_before_the_name() {
        check("a.nef", b"\xff\xd8\xff\xe1", media(Format::Jpeg, Evidence::Content));
        check("no_extension", b"\xff\xd8\xff\xe1", media(Format::Jpeg, Evidence::Content));
        check("a.json", b"\x89PNG\r\n\x1a\n", media(Format::Png, Evidence::Content));
        check("a.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", media(Format::Mp4, Evidence::Content));
        check("a.heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", media(Format::Avif, Evidence::Content));
        check("a.nef", b"MM\0*\0\0\0\x08", media(Format::Nef, Evidence::Content));
        check("a", b"MM\0*\0\0\0\x08", media(Format::Tiff, Evidence::Content));
        check("a", b"\0\0\x10\0moov\0\0\x10\0", media(Format::Mov, Evidence::Content));
        check("a", b"RIFF\0\0\0\0WEBPVP8 ", media(Format::Webp, Evidence::Content));
    }

    #[test]
    fn a_media_extension_is_believed_whatever_the_bytes() {
        check("a.jpg", b"", media(Format::Jpeg, Evidence::Name));
        check("A.JPG", b"<html>", media(Format::Jpeg, Evidence::Name));
        check("a.mov", b"\0\0\0\0\0\0\0\0", media(Format::Mov, Evidence::Name));
        check("a.mts", b"PK\x03\x04", media(Format::MpegTs, Evidence::Name));
        check("dir/a.3gp", b"?", media(Format::ThreeGp, Evidence::Name));
    }

    #[test]
    fn what_is_not_media_has_a_reason() {
        let not = FileType::NotMedia;
        check("a.xmp", b"<x:xmpmeta", not(NotMedia::Sidecar));
        check("a.jpg.json", b"{}", not(NotMedia::Sidecar));
        check("a.aae", b"<?xml", not(NotMedia::Sidecar));
        check("._a.jpg", b"\0\x05\x16\x07\0\x02", not(NotMedia::Sidecar));
        check("a.zip", b"PK\x03\x04", not(NotMedia::Archive));
        check("a", b"PK\x03\x04", not(NotMedia::Archive));
        check("a.html", b"<html>", not(NotMedia::Markup));
        check("a", b"\xef\xbb\xbf <html>", not(NotMedia::Markup));
        check("a", "été".as_bytes(), not(NotMedia::Text));
        check("a", &"été".as_bytes()[..4], not(NotMedia::Text));
        check("a", b"", not(NotMedia::Empty));
        check("a.bin", b"\0\x01\x02", not(NotMedia::Unknown));
        check("a.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0isommp42", not(NotMedia::Audio));
        check("BM.txt", b"BMW and Audi", not(NotMedia::Text));
    }
}
