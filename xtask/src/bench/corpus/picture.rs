//! One noisy picture as a JPEG of about a given length, with as many pixels as a camera's pictures of that length have.
//!
//! It shows nothing; it only costs a decoder what a photo of its size costs.

use super::noise::Noise;
use anyhow::{Context, Result, bail};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};

/// Four pixels a byte: what cameras and phones write.
const PIXELS_PER_BYTE: usize = 4;

/// How much a colour wavers: with this, the length fits at an everyday quality.
const WAVER: u64 = 32;

/// A JPEG of at most `bytes` bytes, and not much less.
pub(super) fn jpeg(bytes: usize) -> Result<Vec<u8>> {
    // Four by three.
    let unit = (bytes * PIXELS_PER_BYTE / 12).isqrt();
    let (width, height) = (u32::try_from(unit * 4)?, u32::try_from(unit * 3)?);
    // The same everywhere, so a sixteenth of it tells what the whole will take.
    let sample = texture(width / 4, height / 4);
    let fits = |quality: &u8| encode(&sample, *quality).is_ok_and(|jpeg| jpeg.len() * 16 <= bytes);
    let quality = (1..=95).rev().step_by(3).find(fits).context("no quality makes it as short")?;
    let whole = texture(width, height);
    for quality in (1..=quality).rev().step_by(3) {
        let jpeg = encode(&whole, quality)?;
        if jpeg.len() <= bytes {
            return Ok(jpeg);
        }
    }
    bail!("no quality makes {width} × {height} pixels as short as {bytes} bytes")
}

fn texture(width: u32, height: u32) -> RgbImage {
    let mut noise = Noise::new(width.into());
    RgbImage::from_fn(width, height, |x, y| {
        let random = noise.next();
        let colour = |at: u32, shift: u32| {
            let slope = u64::from(at % 256) / 2;
            u8::try_from(slope + 32 + (random >> shift) % WAVER).unwrap_or(u8::MAX)
        };
        image::Rgb([colour(x / 8, 0), colour(y / 8, 8), colour((x + y) / 16, 16)])
    })
}

fn encode(picture: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let mut jpeg = Vec::new();
    let (width, height) = picture.dimensions();
    JpegEncoder::new_with_quality(&mut jpeg, quality).encode(
        picture.as_raw(),
        width,
        height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(jpeg)
}
