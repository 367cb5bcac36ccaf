//! Thumbnails of pictures that these tests paint themselves; the corpus is in `tests/thumbnails.rs`.

use proptest::prelude::*;

use super::*;

/// Left half red, right half blue.
fn painted(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| image::Rgb(if x < width / 2 { [255, 0, 0] } else { [0, 0, 255] }))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn pixels(thumbnail: &Thumbnail) -> RgbImage {
    let image = image::load_from_memory_with_format(&thumbnail.jpeg, ImageFormat::Jpeg).unwrap().to_rgb8();
    assert_eq!((image.width(), image.height()), (thumbnail.width, thumbnail.height));
    image
}

fn is_red(pixel: image::Rgb<u8>) -> bool {
    pixel.0[0] > 200 && pixel.0[2] < 60
}

#[test]
fn sizes() {
    for (width, height, expected) in [
        (4000, 3000, (720, 540)),
        (3000, 4000, (540, 720)),
        (720, 720, (720, 720)),
        (721, 10, (720, 10)),
        (100, 50, (100, 50)),
        (65_000, 1, (720, 1)),
    ] {
        assert_eq!(fitted(width, height), expected);
    }
}

#[test]
fn every_decoder() {
    let picture = DynamicImage::ImageRgb8(painted(1600, 800));
    for (format, encoder) in [
        (Format::Jpeg, ImageFormat::Jpeg),
        (Format::Png, ImageFormat::Png),
        (Format::Gif, ImageFormat::Gif),
        (Format::Webp, ImageFormat::WebP),
        (Format::Tiff, ImageFormat::Tiff),
        (Format::Bmp, ImageFormat::Bmp),
    ] {
        let thumbnail = from_bytes(&encoded(&picture, encoder), format, 1).unwrap();
        assert_eq!((thumbnail.width, thumbnail.height), (720, 360), "{format:?}");
        let image = pixels(&thumbnail);
        assert!(is_red(*image.get_pixel(100, 180)) && !is_red(*image.get_pixel(620, 180)), "{format:?}");
        assert!(thumbnail.jpeg.len() <= TARGET_LEN);
    }
}

/// Where the red half is after each orientation of EXIF.
#[test]
fn orientation_is_applied() {
    for (orientation, size, red) in [
        (1, (200, 100), (10, 50)),
        (2, (200, 100), (190, 50)),
        (3, (200, 100), (190, 50)),
        (4, (200, 100), (10, 50)),
        (5, (100, 200), (50, 10)),
        (6, (100, 200), (50, 10)),
        (7, (100, 200), (50, 190)),
        (8, (100, 200), (50, 190)),
        (0, (200, 100), (10, 50)),
        (9, (200, 100), (10, 50)),
    ] {
        let thumbnail = from_rgb(painted(200, 100).into_raw(), 200, 100, orientation).unwrap();
        assert_eq!((thumbnail.width, thumbnail.height), size, "{orientation}");
        assert!(is_red(*pixels(&thumbnail).get_pixel(red.0, red.1)), "{orientation}");
    }
}

#[test]
fn transparency_is_white_and_other_depths_are_read() {
    let clear = image::RgbaImage::from_pixel(900, 10, image::Rgba([0, 0, 0, 0]));
    let thumbnail = from_bytes(&encoded(&clear.into(), ImageFormat::Png), Format::Png, 1).unwrap();
    assert_eq!(pixels(&thumbnail).get_pixel(5, 2).0, [255, 255, 255]);
    for deep in [
        DynamicImage::ImageRgb16(ImageBuffer::from_pixel(900, 10, image::Rgb([65_535, 0, 0]))),
        DynamicImage::ImageRgba16(ImageBuffer::from_pixel(900, 10, image::Rgba([65_535, 0, 0, 65_535]))),
    ] {
        let thumbnail = from_bytes(&encoded(&deep, ImageFormat::Png), Format::Png, 1).unwrap();
        assert!(is_red(*pixels(&thumbnail).get_pixel(5, 2)));
    }
    for grey in [
        DynamicImage::ImageLuma16(ImageBuffer::from_pixel(900, 10, image::Luma([0]))),
        DynamicImage::ImageLumaA8(ImageBuffer::from_pixel(900, 10, image::LumaA([0, 255]))),
        DynamicImage::ImageLuma8(ImageBuffer::from_pixel(900, 10, image::Luma([0]))),
    ] {
        let thumbnail = from_bytes(&encoded(&grey, ImageFormat::Png), Format::Png, 1).unwrap();
        assert!(pixels(&thumbnail).get_pixel(5, 2).0.iter().all(|&channel| channel < 4));
    }
}

/// Stripes of one pixel, red and blue, are purple at half the resolution, and neither red nor blue.
#[test]
fn colours_are_those_of_all_pixels() {
    let stripes =
        RgbImage::from_fn(64, 64, |x, _| image::Rgb(if x % 2 == 0 { [250, 0, 0] } else { [0, 0, 250] }));
    let thumbnail = pixels(&from_rgb(stripes.into_raw(), 64, 64, 1).unwrap());
    let mean =
        |channel: usize| thumbnail.pixels().map(|pixel| u32::from(pixel.0[channel])).sum::<u32>() / 4096;
    assert!(mean(0).abs_diff(mean(2)) < 30, "{} and {}", mean(0), mean(2));
}

#[test]
fn noise_is_lowered_in_quality() {
    let mut state = 1u32;
    let noise = RgbImage::from_fn(720, 720, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = state.to_be_bytes();
        image::Rgb([a, b, c])
    });
    let mut best = Vec::new();
    Encoder::new(&mut best, 70).encode(&noise, 720, 720, ColorType::Rgb).unwrap();
    let thumbnail = from_rgb(noise.into_raw(), 720, 720, 1).unwrap();
    assert!(thumbnail.jpeg.len() < best.len());
}

/// A PNG of 40,000 × 40,000 pixels in a few bytes is refused before anything is decoded.
#[test]
fn a_bomb_is_refused() {
    let mut bytes = encoded(&DynamicImage::ImageRgb8(painted(8, 8)), ImageFormat::Png);
    bytes[16..24].copy_from_slice(&[0, 0, 0x9C, 0x40, 0, 0, 0x9C, 0x40]);
    let crc = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(
        from_bytes(&bytes, Format::Png, 1),
        Err(ThumbnailError::TooLarge { width: 40_000, height: 40_000 })
    ));

    let mut bytes = encoded(&DynamicImage::ImageRgb8(painted(8, 8)), ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|window| window == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(matches!(from_bytes(&bytes, Format::Jpeg, 1), Err(ThumbnailError::TooLarge { .. })));
}

#[test]
fn the_embedded_thumbnail_stands_in() {
    let inside = encoded(&DynamicImage::ImageRgb8(painted(160, 120)), ImageFormat::Jpeg);
    let mut file = b"\xff\xd8 not much of a picture".to_vec();
    let place = (file.len() as u64, inside.len() as u64);
    file.extend(&inside);
    let thumbnail = from_reader(Cursor::new(&file), Format::Jpeg, 6, Some(place)).unwrap();
    assert_eq!((thumbnail.width, thumbnail.height), (120, 160));
    let thumbnail = from_reader(Cursor::new(&file), Format::Nef, 1, Some(place)).unwrap();
    assert_eq!((thumbnail.width, thumbnail.height), (160, 120));
    let elsewhere = Some((u64::MAX, u64::MAX));
    assert!(matches!(
        from_reader(Cursor::new(&file), Format::Jpeg, 1, elsewhere),
        Err(ThumbnailError::Damaged(_))
    ));
    assert!(matches!(from_bytes(&file, Format::Heif, 1), Err(ThumbnailError::Unsupported(Format::Heif))));
}

#[test]
fn pixels_must_be_as_many_as_they_say() {
    for (len, width, height) in [(0, 0, 0), (0, 0, 5), (5, 1, 2), (7, 1, 2), (3, u32::MAX, u32::MAX)] {
        assert!(matches!(from_rgb(vec![0; len], width, height, 1), Err(ThumbnailError::WrongSize { .. })));
    }
}

#[test]
fn the_placeholder_is_black() {
    let image = image::load_from_memory_with_format(PLACEHOLDER, ImageFormat::Jpeg).unwrap().to_rgb8();
    assert_eq!((image.width(), image.height()), (300, 150));
    assert!(image.pixels().all(|pixel| pixel.0 == [0, 0, 0]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_pictures_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(), which in 0usize..6) {
        let (format, encoder) = [
            (Format::Jpeg, ImageFormat::Jpeg),
            (Format::Png, ImageFormat::Png),
            (Format::Gif, ImageFormat::Gif),
            (Format::Webp, ImageFormat::WebP),
            (Format::Tiff, ImageFormat::Tiff),
            (Format::Bmp, ImageFormat::Bmp),
        ][which];
        let mut bytes = encoded(&DynamicImage::ImageRgb8(painted(64, 48)), encoder);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = from_bytes(&bytes, format, 1);
        bytes.truncate(cut.index(bytes.len()));
        let _ = from_bytes(&bytes, format, 1);
    }
}
