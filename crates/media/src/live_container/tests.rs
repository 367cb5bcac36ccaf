//! Containers written, read back, and read by other programs.

use std::io::Cursor;
use std::process::Command;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn layout(image: &[u8], video: &[u8]) -> LiveContainer {
    LiveContainer::new("HEIC", Content::of(image).unwrap(), "MOV", Content::of(video).unwrap()).unwrap()
}

fn written(image: &[u8], video: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    layout(image, video).stream(image, video).read_to_end(&mut bytes).unwrap();
    bytes
}

fn take_apart(container: &[u8], limit: u64) -> Result<(Extracted, Vec<u8>, Vec<u8>), ExtractError> {
    let (mut image, mut video) = (Vec::new(), Vec::new());
    let extracted = extract(Cursor::new(container), limit, &mut image, &mut video)?;
    Ok((extracted, image, video))
}

/// The layout is a format at rest: the same two files must give these bytes for ever. (CRC-32 of `abc`: 352441c2.)
#[test]
fn known_answer() {
    let expected = "504b030414000008000000002100c24124350300000003000000\
                    0a000000696d6167652e48454943616263\
                    504b0304140000080000000021000000000000000000000000000900000076\
                    6964656f2e4d4f56\
                    504b0102140014000008000000002100c2\
                    41243503000000030000000a00000000000000000000000000000000\
                    00696d6167652e48454943\
                    504b010214001400000800000000210000000000000000000000000009\
                    000000000000000000000000002b000000766964656f2e4d4f56\
                    504b050600000000020002006f000000520000000000";
    let expected: String = expected.split_whitespace().collect();
    let bytes = written(b"abc", b"");
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    assert_eq!(hex, expected);
    assert_eq!(bytes.len() as u64, layout(b"abc", b"").total_len());
}

#[test]
fn other_programs_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.zip");
    let (image, video) = (vec![7u8; 100_000], vec![9u8; 200_000]);
    std::fs::write(&path, written(&image, &video)).unwrap();
    let script = "import sys, zipfile\n\
                  z = zipfile.ZipFile(sys.argv[1])\n\
                  assert z.testzip() is None\n\
                  print([(i.filename, i.file_size, i.compress_type, i.date_time) for i in z.infolist()])";
    let output =
        Command::new("python3").args(["-c", script]).arg(&path).output().expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "[('image.HEIC', 100000, 0, (1980, 1, 1, 0, 0, 0)), ('video.MOV', 200000, 0, (1980, 1, 1, 0, 0, 0))]"
    );
}

/// A picture and a video that nobody stores: only the parts around them are looked at, in a sparse file.
#[test]
fn zip64_where_a_number_does_not_fit() {
    const LONG: u64 = 5 << 30;
    for (image_len, video_len) in [(LONG, 3), (3, LONG), (FITS_32, 3), (FITS_32 - 1, 3), (2 << 30, 3 << 30)] {
        let content = |len| Content { len, crc32: 1 };
        let container = LiveContainer::new("HEIC", content(image_len), "MOV", content(video_len)).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        for (bytes, then) in
            [(container.header(), image_len), (container.middle(), video_len), (container.trailer(), 0)]
        {
            file.write_all(bytes).unwrap();
            file.seek(io::SeekFrom::Current(i64::try_from(then).unwrap())).unwrap();
        }
        assert_eq!(file.metadata().unwrap().len(), container.total_len());
        let mut archive = ZipArchive::new(file).unwrap();
        let sizes: Vec<_> = (0..2)
            .map(|at| {
                let entry = archive.by_index_raw(at).unwrap();
                (entry.name().unwrap().into_owned(), entry.size(), entry.compressed_size())
            })
            .collect();
        assert_eq!(
            sizes,
            [("image.HEIC".into(), image_len, image_len), ("video.MOV".into(), video_len, video_len)]
        );
    }
}

#[test]
fn deflated_in_any_order_and_without_extension() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file("video.mov", deflated).unwrap();
    writer.write_all(&[1; 5000]).unwrap();
    writer.start_file("image", deflated).unwrap();
    writer.write_all(&[2; 6000]).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let (extracted, image, video) = take_apart(&bytes, 6000).unwrap();
    assert_eq!((image, video), (vec![2; 6000], vec![1; 5000]));
    assert_eq!((extracted.image_extension.as_str(), extracted.video_extension.as_str()), ("", "mov"));
    assert!(matches!(take_apart(&bytes, 5999), Err(ExtractError::TooLong { limit: 5999 })));
}

#[test]
fn what_is_not_a_live_photo_is_refused() {
    let zip = |names: &[&str]| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    for names in [
        &["image.heic"][..],
        &["image.heic", "video.mov", "notes.txt"],
        &["image.heic", "image.jpg", "video.mov"],
        &["image/../a", "video.mov"],
        &["imagery.jpg", "video.mov"],
    ] {
        assert!(matches!(take_apart(&zip(names), 10), Err(ExtractError::NotALivePhoto)), "{names:?}");
    }
    assert!(matches!(take_apart(b"", 10), Err(ExtractError::Damaged(_))));
    assert!(matches!(take_apart(b"\xff\xd8\xff not a zip at all", 10), Err(ExtractError::Damaged(_))));
    let mut damaged = written(b"abcdefgh", b"video");
    damaged[42] ^= 1;
    assert!(matches!(take_apart(&damaged, 10), Err(ExtractError::Read(_))));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let container = layout(b"abc", b"defg");
    for (image, video) in [("ab", "defg"), ("abcd", "defg"), ("abc", "def"), ("abc", "defgh")] {
        let result = io::copy(&mut container.stream(image.as_bytes(), video.as_bytes()), &mut io::sink());
        assert!(result.is_err(), "{image} {video}");
    }
}

#[test]
fn extensions_that_are_none() {
    let content = Content { len: 0, crc32: 0 };
    for extension in ["a/b", "a\\b", "a.b", "a\0b", &"x".repeat(65)] {
        assert_eq!(LiveContainer::new(extension, content, "MOV", content), Err(LayoutError::BadExtension));
    }
    let endless = Content { len: u64::MAX, crc32: 0 };
    assert_eq!(LiveContainer::new("", endless, "", content), Err(LayoutError::TooLong));
}

proptest! {
    #[test]
    fn round_trip(image: Vec<u8>, video: Vec<u8>) {
        let bytes = written(&image, &video);
        prop_assert_eq!(bytes.len() as u64, layout(&image, &video).total_len());
        let (extracted, image_back, video_back) = take_apart(&bytes, 1 << 20).unwrap();
        prop_assert_eq!((image_back, video_back), (image, video));
        prop_assert_eq!((extracted.image_extension.as_str(), extracted.video_extension.as_str()), ("HEIC", "MOV"));
    }

    #[test]
    fn mutated_containers_never_panic(at in 0usize..200, byte: u8, cut in 0usize..250) {
        let mut bytes = written(b"some picture", b"some video");
        let len = bytes.len();
        bytes[at % len] = byte;
        bytes.truncate(cut);
        let _ = take_apart(&bytes, 1 << 10);
    }
}
