//! A thumbnail of every picture of the corpus that can be decoded here; a reason for every other.

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::time::UNIX_EPOCH;

use darkslide_media::dates::utc;
use darkslide_media::file_type::{FileType, MediaKind};
use darkslide_media::probe::probe;
use darkslide_media::thumbnail::{self, LONGEST_SIDE, TARGET_LEN};

use super::{NOW, corpus, type_of};

#[test]
fn every_picture_has_a_thumbnail_or_a_reason() {
    let Some(corpus) = corpus() else { return };
    let mut table = String::new();
    for folder in
        ["jpeg", "corrupt", "motion-photo", "png-gif-webp", "raw", "heic", "live-photo", "avif-jxl", "names"]
    {
        let mut files: Vec<_> =
            fs::read_dir(corpus.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files {
            let FileType::Media(media) = type_of(&path) else { continue };
            if media.kind == MediaKind::Video {
                continue;
            }
            let found = probe(&path, media, &utc, UNIX_EPOCH + NOW).unwrap();
            let file = fs::File::open(&path).unwrap();
            let made =
                thumbnail::from_reader(file, media.format, found.orientation, found.embedded_thumbnail);
            let line = match made {
                Ok(made) => {
                    assert!(made.width.max(made.height) <= LONGEST_SIDE && made.jpeg.len() <= TARGET_LEN);
                    let again =
                        image::ImageReader::with_format(Cursor::new(&made.jpeg), image::ImageFormat::Jpeg);
                    assert_eq!(again.into_dimensions().unwrap(), (made.width, made.height));
                    format!("{}x{}", made.width, made.height)
                }
                Err(error) => error.to_string(),
            };
            let name = path.strip_prefix(&corpus).unwrap().to_string_lossy().replace(&"x".repeat(246), "x…");
            writeln!(table, "{name}: {line}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
