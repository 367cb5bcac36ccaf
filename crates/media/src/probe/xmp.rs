//! XMP: a few properties, picked out of the packet's text.
//!
//! Attribute (`exif:DateTimeOriginal="…"`) and element (`<exif:DateTimeOriginal>…<`) forms are both in use; the
//! names are looked for as they are written, without an XML parser, as all writers use these prefixes.

use time::UtcOffset;

use super::Findings;
use crate::dates::{self, DateSource, Reading};

/// What stands before the packet in a JPEG's APP1 segment.
pub(super) const SIGNATURE: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The longest packet that is looked at; the extended ones of depth maps hold pictures, not dates.
pub(super) const MAX_PACKET_LEN: usize = 256 << 10;

/// Adds what the packet says.
pub(super) fn read(packet: &[u8], found: &mut Findings) {
    let packet = String::from_utf8_lossy(packet.get(..MAX_PACKET_LEN).unwrap_or(packet));
    for (property, source) in [
        ("exif:DateTimeOriginal", DateSource::XmpOriginal),
        ("photoshop:DateCreated", DateSource::XmpOriginal),
        ("xmp:CreateDate", DateSource::XmpCreated),
    ] {
        found.claim(source, property_of(&packet, property).and_then(dates::parse));
    }
    // Unlike the two tags of EXIF, XMP's stamp holds date and time; without its zone it is still UTC.
    let gps = property_of(&packet, "exif:GPSTimeStamp").and_then(dates::parse).map(|reading| match reading {
        Reading::Local(utc) => Reading::Instant(utc.assume_utc()),
        Reading::Zoned(instant) | Reading::Instant(instant) => {
            Reading::Instant(instant.to_offset(UtcOffset::UTC))
        }
    });
    found.claim(DateSource::Gps, gps);
    found.motion_photo |= ["GCamera:MotionPhoto", "Camera:MotionPhoto", "GCamera:MicroVideo"]
        .iter()
        .any(|property| property_of(&packet, property) == Some("1"));
}

/// The value of the first property of this name.
fn property_of<'a>(packet: &'a str, property: &str) -> Option<&'a str> {
    packet.match_indices(property).find_map(|(at, _)| {
        let rest = packet.get(at + property.len()..)?;
        let (rest, end) = if let Some(rest) = rest.strip_prefix("=\"") {
            (rest, '"')
        } else if let Some(rest) = rest.strip_prefix("='") {
            (rest, '\'')
        } else {
            (rest.strip_prefix('>')?, '<')
        };
        rest.split_once(end).map(|(value, _)| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_elements() {
        let packet = "<a exif:DateTimeOriginal='x' b=\"\"><xmp:CreateDate> y </xmp:CreateDate><GCamera:MicroVideoOffset>1<";
        assert_eq!(property_of(packet, "exif:DateTimeOriginal"), Some("x"));
        assert_eq!(property_of(packet, "xmp:CreateDate"), Some("y"));
        assert_eq!(property_of(packet, "GCamera:MicroVideo"), None);
        assert_eq!(property_of("exif:DateTimeOriginal=\"", "exif:DateTimeOriginal"), None);
    }
}
