//! What a file says of itself: size in pixels, length, date, place, camera, orientation, Apple's identifier.
//!
//! Made for hostile files. At most [`READ_BUDGET`] bytes are read and no more than a part of that is ever held,
//! whatever the file claims; structures are walked forwards and to a fixed depth, so that no loop in the file is a
//! loop here. What is damaged is passed over and what remains is told: a probe fails only if the file cannot be
//! read at all. Nothing is decoded, and nothing beside the file (sidecars, folders) is looked at.

mod exif;
mod heif;
mod iso_media;
mod jpeg;
mod matroska;
mod movie;
mod raster;
mod raw;
mod source;
mod xmp;

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::dates::{self, CaptureTime, Circumstances, Claim, DateSource, Reading, ZoneRule};
use crate::file_type::{Format, MediaType};
use crate::place::Place;

use source::Source;
pub use source::{READ_BUDGET, ReadSeek};

/// What was found. Every field is what the file claims; absent where it claims nothing believable.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Width in pixels as displayed: after orientation and rotation.
    pub width: Option<u32>,
    /// Height in pixels as displayed.
    pub height: Option<u32>,
    /// How the stored pixels must be turned to be displayed, EXIF 2.32 tag 0x0112: 1 (not at all) to 8. For HEIF
    /// and movies this is what their own rotation amounts to; their decoders apply it themselves.
    pub orientation: u8,
    /// Length of a video in milliseconds.
    pub duration_millis: Option<u64>,
    /// When it was taken, and which of its dates this is.
    pub captured: CaptureTime,
    /// Where it was taken.
    pub place: Option<Place>,
    /// Maker of the camera.
    pub camera_make: Option<String>,
    /// Model of the camera.
    pub camera_model: Option<String>,
    /// Apple's content identifier, the same in both halves of a Live Photo.
    pub live_identifier: Option<String>,
    /// Whether the picture says that a video is inside it.
    pub motion_photo: bool,
    /// Where in the file a JPEG thumbnail lies that the camera made: offset and length in bytes. A claim.
    pub embedded_thumbnail: Option<(u64, u64)>,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The file could not be opened.
    #[error("the file could not be opened")]
    Open(#[source] io::Error),
    /// The file could not be read.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
}

impl ProbeError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        let (Self::Open(error) | Self::Read(error)) = self;
        matches!(
            error.kind(),
            io::ErrorKind::Interrupted
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::ResourceBusy
                | io::ErrorKind::StaleNetworkFileHandle
        )
    }
}

/// Probes the file at `path`, whose type was told by [`crate::file_type::classify`]. Name and modification time
/// are the file's own; `zone` is assumed for dates without a zone, `now` bounds what can be believed.
pub fn probe(path: &Path, media: MediaType, zone: &ZoneRule, now: SystemTime) -> Result<Probe, ProbeError> {
    let mut file = File::open(path).map_err(ProbeError::Open)?;
    let modified = file.metadata().and_then(|metadata| metadata.modified()).map_err(ProbeError::Open)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let around = Circumstances { name: &name, modified: micros_of(modified), now: micros_of(now), zone };
    probe_reader(&mut file, media, &around)
}

/// Microseconds since 1970, as [`Circumstances`] wants them.
pub fn micros_of(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::wrapping_neg),
    }
}

/// Probes an open file or bytes in memory.
pub fn probe_reader(
    reader: &mut dyn ReadSeek,
    media: MediaType,
    around: &Circumstances<'_>,
) -> Result<Probe, ProbeError> {
    let mut source = Source::new(reader).map_err(ProbeError::Read)?;
    let mut found = Findings::default();
    read(&mut source, media.format, &mut found);
    source.finish().map_err(ProbeError::Read)?;
    Ok(found.into_probe(around))
}

/// Fills `found` as far as the file goes; `None` only means that it ended or broke off somewhere.
fn read(source: &mut Source<'_>, format: Format, found: &mut Findings) -> Option<()> {
    match format {
        Format::Jpeg => jpeg::read(source, 0, found),
        Format::Heif | Format::Avif => heif::read(source, found),
        Format::Mp4 | Format::Mov | Format::ThreeGp => movie::read(source, found),
        Format::Matroska | Format::Webm => matroska::read(source, found),
        Format::Png => raster::read_png(source, found),
        Format::Gif => raster::read_gif(source, found),
        Format::Webp => raster::read_webp(source, found),
        Format::Bmp => raster::read_bmp(source, found),
        Format::Psd => raster::read_psd(source, found),
        Format::Avi => raster::read_avi(source, found),
        Format::Jxl => raster::read_jxl(source, found),
        Format::Cr3 => raw::read_cr3(source, found),
        Format::Crw => raw::read_crw(source, found),
        Format::Raf => raw::read_raf(source, found),
        format if format.is_tiff() => exif::read_tiff(source, found),
        _ => Some(()),
    }
}

/// What the readers of formats fill in: as stored, not yet judged.
#[derive(Debug, Default)]
struct Findings {
    /// Of the stored pixels.
    size: Option<(u32, u32)>,
    /// What EXIF says the size is: believed only where the container says nothing.
    exif_size: Option<(u32, u32)>,
    orientation: Option<u8>,
    /// Set where the container turns its pixels itself, which overrules EXIF.
    container_orientation: Option<u8>,
    duration_millis: Option<u64>,
    claims: Vec<Claim>,
    place: Option<Place>,
    camera_make: Option<String>,
    camera_model: Option<String>,
    live_identifier: Option<String>,
    motion_photo: bool,
    embedded_thumbnail: Option<(u64, u64)>,
}

impl Findings {
    fn claim(&mut self, source: DateSource, reading: Option<Reading>) {
        // A file that repeats itself for ever must not fill memory.
        const ENOUGH: usize = 64;
        if let Some(reading) = reading.filter(|_| self.claims.len() < ENOUGH) {
            self.claims.push(Claim { source, reading });
        }
    }

    /// Keeps the larger of several sizes: thumbnails and previews are smaller than the picture.
    fn grow_exif_size(&mut self, width: u32, height: u32) {
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        if area((width, height)) > self.exif_size.map_or(0, area) {
            self.exif_size = Some((width, height));
        }
    }

    fn into_probe(self, around: &Circumstances<'_>) -> Probe {
        let orientation = self.container_orientation.or(self.orientation).unwrap_or(1);
        let size = self.size.filter(|&(width, height)| width > 0 && height > 0).or(self.exif_size);
        let displayed =
            size.map(|(width, height)| if orientation >= 5 { (height, width) } else { (width, height) });
        Probe {
            width: displayed.map(|size| size.0),
            height: displayed.map(|size| size.1),
            orientation,
            duration_millis: self.duration_millis,
            captured: dates::decide(&self.claims, around),
            place: self.place,
            camera_make: self.camera_make,
            camera_model: self.camera_model,
            live_identifier: self.live_identifier,
            motion_photo: self.motion_photo,
            embedded_thumbnail: self.embedded_thumbnail,
        }
    }
}

/// Text from a fixed field: up to the first NUL, trimmed, `None` if nothing is left.
fn text_of(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end)?);
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(256).collect();
    (!text.is_empty()).then_some(text)
}
