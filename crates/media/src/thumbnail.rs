//! Thumbnails: small JPEGs, made in pure Rust from JPEG, PNG, GIF, WebP, TIFF and BMP.
//!
//! Longest side at most [`LONGEST_SIDE`] pixels, orientation applied, quality lowered from 70 to 50 until the
//! thumbnail fits [`TARGET_LEN`] bytes or can get no smaller; never scaled up. JPEGs are decoded at a
//! fraction of their size where that is enough. A picture that would need more than [`MAX_DECODED_LEN`] bytes is
//! refused with [`ThumbnailError::TooLarge`] before it is decoded. HEIC, AVIF, raw pictures and video are not decoded
//! here: whoever has a decoder for them hands its pixels to [`from_rgb`]; the small JPEG that a camera put inside is
//! used where there is one. Colour profiles are not applied. Colours have half the resolution of brightness (4:2:0), as
//! cameras write them.

mod placeholder;

use std::error::Error;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};

use fast_image_resize::{ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, imageops};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder};

use crate::file_type::Format;

pub use placeholder::PLACEHOLDER;

/// The longest side of a thumbnail in pixels.
pub const LONGEST_SIDE: u32 = 720;
/// The length in bytes under which a thumbnail should stay; not guaranteed.
pub const TARGET_LEN: usize = 100 * 1024;
/// The most memory that decoded pixels may take, in bytes.
pub const MAX_DECODED_LEN: u64 = 256 << 20;
/// The most pixels that a picture may have, even where it is decoded at a fraction of its size.
pub const MAX_PIXELS: u64 = 200_000_000;

/// A JPEG that a camera put inside is as good as a thumbnail if its longest side has this many pixels.
const GOOD_ENOUGH: u32 = 512;
/// The longest embedded thumbnail that is looked at.
const MAX_EMBEDDED_LEN: u64 = 4 << 20;
const QUALITIES: [u8; 5] = [70, 65, 60, 55, 50];

/// A thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The encoded JPEG.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// A format that is not decoded here and has no thumbnail inside.
    #[error("{0:?} files are not decoded here")]
    Unsupported(Format),
    /// Decoding it would take too much memory.
    #[error("{width} × {height} pixels are too many to decode")]
    TooLarge {
        /// Claimed width in pixels.
        width: u32,
        /// Claimed height in pixels.
        height: u32,
    },
    /// The picture is damaged, or of a variety that the decoder does not know.
    #[error("the picture could not be decoded")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// Pixels that are not as many as their width and height say, or none.
    #[error("{len} bytes are no picture of {width} × {height} pixels")]
    WrongSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes that were given.
        len: usize,
    },
}

fn damaged(error: impl Into<Box<dyn Error + Send + Sync>>) -> ThumbnailError {
    ThumbnailError::Damaged(error.into())
}

/// Makes the thumbnail of an encoded picture. `orientation` is EXIF's, 1 to 8 (anything else counts as 1);
/// `embedded` is where the camera's own thumbnail lies ([`crate::probe::Probe::embedded_thumbnail`]): it is used
/// where it is large enough, and where the picture itself cannot be decoded.
pub fn from_reader<R: Read + Seek>(
    mut reader: R,
    format: Format,
    orientation: u8,
    embedded: Option<(u64, u64)>,
) -> Result<Thumbnail, ThumbnailError> {
    let inside = embedded.and_then(|place| decode_embedded(&mut reader, place));
    let good = inside.as_ref().is_some_and(|image| image.width().max(image.height()) >= GOOD_ENOUGH);
    let image = match (inside, good) {
        (Some(inside), true) => inside,
        (Some(inside), false) => decode(&mut reader, format).unwrap_or(inside),
        (None, _) => decode(&mut reader, format)?,
    };
    finish(image, orientation)
}

/// Makes the thumbnail of an encoded picture in memory.
pub fn from_bytes(bytes: &[u8], format: Format, orientation: u8) -> Result<Thumbnail, ThumbnailError> {
    from_reader(Cursor::new(bytes), format, orientation, None)
}

/// Makes the thumbnail of decoded pixels: rows from the top, three bytes each (red, green, blue), no padding.
pub fn from_rgb(
    pixels: Vec<u8>,
    width: u32,
    height: u32,
    orientation: u8,
) -> Result<Thumbnail, ThumbnailError> {
    let len = pixels.len();
    let wrong = || ThumbnailError::WrongSize { width, height, len };
    let expected = (u64::from(width) * u64::from(height)).checked_mul(3);
    let whole = expected == Some(len as u64) && len > 0;
    let image = whole.then(|| RgbImage::from_raw(width, height, pixels)).flatten().ok_or_else(wrong)?;
    finish(DynamicImage::ImageRgb8(image), orientation)
}

/// Whether files of this format are decoded here.
pub fn is_decoded(format: Format) -> bool {
    codec_of(format).is_some()
}

fn codec_of(format: Format) -> Option<ImageFormat> {
    match format {
        Format::Jpeg => Some(ImageFormat::Jpeg),
        Format::Png => Some(ImageFormat::Png),
        Format::Gif => Some(ImageFormat::Gif),
        Format::Webp => Some(ImageFormat::WebP),
        Format::Tiff => Some(ImageFormat::Tiff),
        Format::Bmp => Some(ImageFormat::Bmp),
        _ => None,
    }
}

fn decode<R: Read + Seek>(reader: &mut R, format: Format) -> Result<DynamicImage, ThumbnailError> {
    match codec_of(format).ok_or(ThumbnailError::Unsupported(format))? {
        ImageFormat::Jpeg => decode_jpeg(reader),
        other => decode_whole(reader, other),
    }
}

/// Decodes at full size, within the limits.
fn decode_whole<R: Read + Seek>(reader: &mut R, format: ImageFormat) -> Result<DynamicImage, ThumbnailError> {
    reader.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut image_reader = ImageReader::with_format(BufReader::new(reader), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_LEN);
    image_reader.limits(limits);
    let decoder = image_reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MAX_DECODED_LEN {
        return Err(ThumbnailError::TooLarge { width, height });
    }
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

/// Decodes at an eighth, a quarter or a half of the size where the thumbnail needs no more.
fn decode_jpeg<R: Read + Seek>(reader: &mut R) -> Result<DynamicImage, ThumbnailError> {
    match decode_jpeg_scaled(reader) {
        // The other decoder knows CMYK and is more forgiving, at full size only.
        Err(ThumbnailError::Damaged(_)) => decode_whole(reader, ImageFormat::Jpeg),
        decoded => decoded,
    }
}

fn decode_jpeg_scaled<R: Read + Seek>(reader: &mut R) -> Result<DynamicImage, ThumbnailError> {
    use jpeg_decoder::{CodingProcess, Decoder, PixelFormat};
    reader.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut decoder = Decoder::new(BufReader::new(reader));
    decoder.read_info().map_err(damaged)?;
    let info = decoder.info().ok_or_else(|| damaged("no frame header"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let pixels = u64::from(width) * u64::from(height);
    // All coefficients of a progressive picture are held: two bytes for each of up to three components.
    let held = if info.coding_process == CodingProcess::DctSequential { 0 } else { pixels * 6 };
    if pixels > MAX_PIXELS || held > MAX_DECODED_LEN {
        return Err(ThumbnailError::TooLarge { width, height });
    }
    let (wanted_width, wanted_height) = fitted(width, height);
    let narrow = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
    let (width, height) = decoder.scale(narrow(wanted_width), narrow(wanted_height)).map_err(damaged)?;
    let (width, height) = (u32::from(width), u32::from(height));
    if u64::from(width) * u64::from(height) * 3 > MAX_DECODED_LEN {
        return Err(ThumbnailError::TooLarge { width, height });
    }
    let bytes = decoder.decode().map_err(damaged)?;
    let image = match info.pixel_format {
        PixelFormat::L8 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
        PixelFormat::RGB24 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
        PixelFormat::L16 | PixelFormat::CMYK32 => None,
    };
    image.ok_or_else(|| damaged("a pixel format that is decoded at full size only"))
}

/// The camera's thumbnail, if it is a JPEG that can be decoded.
fn decode_embedded<R: Read + Seek>(reader: &mut R, (offset, len): (u64, u64)) -> Option<DynamicImage> {
    let mut bytes = Vec::new();
    reader.seek(SeekFrom::Start(offset)).ok()?;
    reader.take(len.min(MAX_EMBEDDED_LEN)).read_to_end(&mut bytes).ok()?;
    decode_jpeg(&mut Cursor::new(bytes)).ok()
}

/// The size of the thumbnail of a picture of this size.
fn fitted(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= LONGEST_SIDE {
        return (width, height);
    }
    let scaled = |side: u32| {
        let rounded =
            (u64::from(side) * u64::from(LONGEST_SIDE) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(rounded).unwrap_or(LONGEST_SIDE).max(1)
    };
    (scaled(width), scaled(height))
}

fn finish(image: DynamicImage, orientation: u8) -> Result<Thumbnail, ThumbnailError> {
    let mut small = DynamicImage::ImageRgb8(flattened(&shrunk(image)?));
    small.apply_orientation(Orientation::from_exif(orientation).unwrap_or(Orientation::NoTransforms));
    encode(&small.to_rgb8())
}

fn shrunk(image: DynamicImage) -> Result<DynamicImage, ThumbnailError> {
    let (width, height) = fitted(image.width(), image.height());
    if width == 0 || height == 0 {
        return Err(ThumbnailError::WrongSize { width, height, len: 0 });
    }
    if (width, height) == (image.width(), image.height()) {
        return Ok(image);
    }
    let mut small = DynamicImage::new(width, height, image.color());
    Resizer::new().resize(&image, &mut small, &ResizeOptions::new()).map_err(damaged)?;
    Ok(small)
}

/// JPEG has no transparency: what can be seen through is shown on white.
fn flattened(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let mut white = image::RgbaImage::from_pixel(image.width(), image.height(), image::Rgba([255; 4]));
    imageops::overlay(&mut white, &image.to_rgba8(), 0, 0);
    DynamicImage::ImageRgba8(white).to_rgb8()
}

fn encode(image: &RgbImage) -> Result<Thumbnail, ThumbnailError> {
    let [width, height] = [image.width(), image.height()].map(u16::try_from);
    let (width, height) = (width.map_err(damaged)?, height.map_err(damaged)?);
    let mut jpeg = Vec::new();
    for quality in QUALITIES {
        jpeg.clear();
        let mut encoder = Encoder::new(&mut jpeg, quality);
        encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
        encoder.encode(image, width, height, ColorType::Rgb).map_err(damaged)?;
        if jpeg.len() <= TARGET_LEN {
            break;
        }
    }
    Ok(Thumbnail { jpeg, width: image.width(), height: image.height() })
}

#[cfg(test)]
mod tests;
