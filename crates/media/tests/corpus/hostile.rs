//! Damaged and hostile files: no panic, bounded reading, bounded time.

use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::process::Command;

use darkslide_media::dates::{Circumstances, utc};
use darkslide_media::file_type::{Evidence, Format, HEAD_LEN, MediaType, classify};
use darkslide_media::probe::{Probe, READ_BUDGET, ReadSeek, probe_reader};
use proptest::prelude::*;

use super::{corpus, type_of};

const FORMATS: [Format; 17] = [
    Format::Jpeg,
    Format::Heif,
    Format::Avif,
    Format::Mp4,
    Format::Mov,
    Format::ThreeGp,
    Format::Matroska,
    Format::Png,
    Format::Gif,
    Format::Webp,
    Format::Bmp,
    Format::Psd,
    Format::Avi,
    Format::Jxl,
    Format::Cr3,
    Format::Crw,
    Format::Tiff,
];

fn around() -> Circumstances<'static> {
    Circumstances { name: "a", modified: 0, now: i64::MAX, zone: &utc }
}

fn probe_as(format: Format, reader: &mut dyn ReadSeek) -> Probe {
    let media = MediaType { kind: format.kind(), format, evidence: Evidence::Content };
    probe_reader(reader, media, &around()).unwrap()
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Small files to damage: every file of the corpus under 64 KiB or, without the corpus, ones made here.
fn seeds() -> Vec<(Format, Vec<u8>)> {
    let Some(corpus) = corpus() else { return made_here() };
    let folders = ["jpeg", "heic", "corrupt", "avif-jxl", "png-gif-webp", "video", "raw", "motion-photo"];
    let files = folders.iter().flat_map(|folder| fs::read_dir(corpus.join(folder)).unwrap());
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let small = paths.into_iter().filter(|path| fs::metadata(path).unwrap().len() < 64 << 10);
    small.filter_map(|path| Some((type_of(&path).media()?.format, fs::read(path).unwrap()))).collect()
}

fn made_here() -> Vec<(Format, Vec<u8>)> {
    let picture = image::DynamicImage::new_rgb8(32, 16);
    [
        (Format::Jpeg, image::ImageFormat::Jpeg),
        (Format::Png, image::ImageFormat::Png),
        (Format::Gif, image::ImageFormat::Gif),
        (Format::Webp, image::ImageFormat::WebP),
        (Format::Tiff, image::ImageFormat::Tiff),
        (Format::Bmp, image::ImageFormat::Bmp),
    ]
    .into_iter()
    .map(|(format, encoder)| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, encoder).unwrap();
        (format, bytes.into_inner())
    })
    .collect()
}

#[test]
fn media_made_here_is_told_apart_and_measured() {
    for (format, bytes) in made_here() {
        let head = &bytes[..bytes.len().min(HEAD_LEN)];
        assert_eq!(classify(OsStr::new("a"), head).media().unwrap().format, format);
        let found = probe_as(format, &mut Cursor::new(&bytes));
        assert_eq!((found.width, found.height), (Some(32), Some(16)), "{format:?}");
    }
}

/// A sparse terabyte whose boxes, chunks and segments never end.
#[test]
fn no_file_makes_a_probe_read_more_than_its_budget() {
    let repeated: [(Format, &[u8], &[u8]); 6] = [
        (Format::Mp4, b"\0\0\0\x18ftypisom\0\0\0\0isomisom", b"\0\0\0\x08free"),
        (Format::Heif, b"\0\0\0\x18ftypheic\0\0\0\0heicheic", b"\0\0\0\x0cmeta\0\0\0\0"),
        (Format::Png, b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IDATcrc."),
        (Format::Webp, b"RIFF\xff\xff\xff\xffWEBP", b"XMP \0\0\0\0"),
        (Format::Jpeg, b"\xff\xd8", b"\xff\xe1\0\x02"),
        (Format::Matroska, b"\x1a\x45\xdf\xa3\x80", b"\xec\x80"),
    ];
    for (format, head, piece) in repeated {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(head).unwrap();
        file.write_all(&piece.repeat((8 << 20) / piece.len())).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut counted = Counted { inner: file, read: 0 };
        probe_as(format, &mut counted);
        assert!(counted.read <= READ_BUDGET, "{format:?}: {}", counted.read);
    }
}

#[test]
fn the_corpus_is_read_sparingly() {
    for (format, bytes) in seeds() {
        let mut counted = Counted { inner: Cursor::new(bytes), read: 0 };
        probe_as(format, &mut counted);
        assert!(counted.read < READ_BUDGET / 8, "{format:?}: {}", counted.read);
    }
}

/// Run by itself in a process of its own, so that the peak is this probe's.
#[test]
fn memory_stays_small_with_a_200_megapixel_picture() {
    const CHILD: &str = "DARKSLIDE_PROBE_IN_CHILD";
    let Some(corpus) = corpus() else { return };
    if std::env::var_os(CHILD).is_some() {
        let before = peak_kib();
        for name in ["heic/200MP.heic", "corrupt/oom_large_box.heic", "corrupt/huge_tag_exif.jpg"] {
            let path = corpus.join(name);
            let format = type_of(&path).media().unwrap().format;
            probe_as(format, &mut fs::File::open(path).unwrap());
        }
        let grown = peak_kib() - before;
        assert!(grown < 32 << 10, "{grown} KiB");
        return;
    }
    let name = "hostile::memory_stays_small_with_a_200_megapixel_picture";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The largest resident set of this process, in KiB; 0 where the system does not tell.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

proptest! {
    #[test]
    fn any_bytes_are_probed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), which in 0..FORMATS.len()) {
        probe_as(FORMATS[which], &mut Cursor::new(&bytes));
        let _ = classify(OsStr::new("a.jpg"), &bytes);
    }
}

/// Every small file of the corpus, damaged at a few thousand places: bytes replaced, runs of ones, cut short.
#[test]
fn damaged_files_are_probed_without_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    for (format, original) in seeds().into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for _ in 0..150 {
            let mut bytes = original.clone();
            // Metadata is mostly at the front.
            let reach = if random(2) == 0 { bytes.len() } else { bytes.len().min(2048) };
            for _ in 0..=random(4) {
                let at = random(reach);
                let end = (at + 1 + random(8)).min(bytes.len());
                let with = [0, 0xFF, 0x7F, u8::try_from(random(256)).unwrap()][random(4)];
                bytes[at..end].fill(with);
            }
            if random(4) == 0 {
                bytes.truncate(random(reach));
            }
            probe_as(format, &mut Cursor::new(&bytes));
        }
    }
}
