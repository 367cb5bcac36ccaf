//! JPEG: the segments before the first scan (ITU T.81 annex B).

use super::source::{Source, be16};
use super::{Findings, exif, xmp};

/// Real files have a few dozen: colour profiles and Apple's and Google's extensions come in many pieces.
const MAX_SEGMENTS: usize = 1024;

/// Reads the JPEG that begins at `at`.
pub(super) fn read(source: &mut Source<'_>, at: u64, found: &mut Findings) -> Option<()> {
    if source.array::<2>(at)? != [0xFF, 0xD8] {
        return None;
    }
    let mut at = at + 2;
    for _ in 0..MAX_SEGMENTS {
        let [0xFF, marker] = source.array::<2>(at)? else { return None };
        match marker {
            0xFF => at += 1, // fill
            0x01 | 0xD0..=0xD7 => at += 2,
            0xD9 | 0xDA => return Some(()),
            _ => {
                let len = be16(&source.array::<2>(at + 2)?, 0)?.checked_sub(2)?;
                read_segment(source, marker, at + 4, len.into(), found);
                at += 4 + u64::from(len);
            }
        }
    }
    Some(())
}

fn read_segment(
    source: &mut Source<'_>,
    marker: u8,
    at: u64,
    len: usize,
    found: &mut Findings,
) -> Option<()> {
    match marker {
        // Every start of frame but the tables and the arithmetic conditioning among them.
        0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
            let frame: [u8; 5] = source.array(at)?;
            found.size = Some((be16(&frame, 3)?.into(), be16(&frame, 1)?.into()));
        }
        0xE1 => {
            let head = source.up_to(at, len.min(xmp::SIGNATURE.len()))?;
            if head.starts_with(b"Exif\0") {
                exif::read(source, at + 6, found);
            } else if head == xmp::SIGNATURE {
                let packet = source.up_to(at + xmp::SIGNATURE.len() as u64, len - xmp::SIGNATURE.len())?;
                xmp::read(&packet, found);
            }
        }
        _ => {}
    }
    Some(())
}
