//! HEIF and AVIF: the primary item's size and rotation, and the EXIF item (ISO/IEC 23008-12, 23000-22).

use super::iso_media::{self, MediaBox};
use super::source::{Source, be16, be32};
use super::{Findings, exif, movie, xmp};

/// A 200-megapixel picture of 512-pixel tiles has about 800 items and tables of some 30 KiB.
const MAX_TABLE_LEN: usize = 512 << 10;

pub(super) fn read(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let top = iso_media::top_level(source);
    // An image sequence also has a movie header, whose date is better than none.
    if let Some(movie) = top.iter().find(|item| &item.kind == b"moov") {
        movie::read_header_date(source, *movie, found);
    }
    let meta = top.into_iter().find(|item| &item.kind == b"meta")?;
    let inside = meta.children(source, 4);
    let child = |kind: &[u8; 4]| inside.iter().copied().find(|item| &item.kind == kind);
    let primary = child(b"pitm").and_then(|pitm| read_primary(source, pitm));
    if let (Some(properties), Some(primary)) = (child(b"iprp"), primary) {
        read_properties(source, properties, primary, found);
    }
    let items = child(b"iinf").map(|iinf| read_items(source, iinf)).unwrap_or_default();
    let (iloc, idat) = (child(b"iloc")?, child(b"idat"));
    let table = iloc.bytes(source, MAX_TABLE_LEN)?;
    let locate = |id| Locations::new(&table)?.find(id, idat);
    for item in items {
        match item.what {
            What::Exif => {
                // ISO/IEC 23008-12 A.2.1: the distance of the TIFF header from here, counted after this field.
                let Some((at, _)) = locate(item.id) else { continue };
                let Some(skip) = source.u32_be(at) else { continue };
                exif::read(source, at.saturating_add(4).saturating_add(skip.into()), found);
            }
            What::Xmp => {
                let Some((at, len)) = locate(item.id) else { continue };
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(xmp::MAX_PACKET_LEN);
                if let Some(packet) = source.up_to(at, len) {
                    xmp::read(&packet, found);
                }
            }
        }
    }
    Some(())
}

fn read_primary(source: &mut Source<'_>, pitm: MediaBox) -> Option<u32> {
    let bytes = pitm.head(source, 8)?;
    if bytes.first()? == &0 { be16(&bytes, 4).map(u32::from) } else { be32(&bytes, 4) }
}

enum What {
    Exif,
    Xmp,
}

struct Item {
    id: u32,
    what: What,
}

/// The items of `iinf` that hold metadata; the first few, as more than one of each is rare.
fn read_items(source: &mut Source<'_>, iinf: MediaBox) -> Vec<Item> {
    const MOST: usize = 4;
    let Some(bytes) = iinf.bytes(source, MAX_TABLE_LEN) else { return Vec::new() };
    let skip = if bytes.first() == Some(&0) { 6 } else { 8 };
    let mut items = Vec::new();
    let mut rest = bytes.get(skip..).unwrap_or_default();
    while let Some(entry) = take_box(&mut rest, *b"infe") {
        items.extend(item_of(entry));
        if items.len() == MOST {
            break;
        }
    }
    items
}

/// The next box in memory, whatever its type; empty unless its type is `kind`.
fn take_box<'a>(rest: &mut &'a [u8], kind: [u8; 4]) -> Option<&'a [u8]> {
    let size = usize::try_from(be32(rest, 0)?).ok()?;
    let content = rest.get(8..size)?;
    let fits = rest.get(4..8)? == kind;
    *rest = rest.get(size..)?;
    Some(if fits { content } else { &[] })
}

fn item_of(entry: &[u8]) -> Option<Item> {
    let (id, at) = match entry.first()? {
        2 => (be16(entry, 4)?.into(), 8),
        3 => (be32(entry, 4)?, 10),
        _ => return None,
    };
    let what = match entry.get(at..at + 4)? {
        b"Exif" => What::Exif,
        b"mime" if entry.windows(19).any(|window| window == b"application/rdf+xml") => What::Xmp,
        _ => return None,
    };
    Some(Item { id, what })
}

/// `ipco` holds the properties, `ipma` says which of them each item has, by their place (from 1).
fn read_properties(
    source: &mut Source<'_>,
    iprp: MediaBox,
    primary: u32,
    found: &mut Findings,
) -> Option<()> {
    let inside = iprp.children(source, 0);
    let properties = inside.iter().find(|item| &item.kind == b"ipco")?.children(source, 0);
    let mut turns = 0;
    let mut mirror = None;
    for ipma in inside.iter().filter(|item| &item.kind == b"ipma") {
        let table = ipma.bytes(source, MAX_TABLE_LEN)?;
        for index in associations(&table, primary).unwrap_or_default() {
            let Some(property) = index.checked_sub(1).and_then(|index| properties.get(index)) else {
                continue;
            };
            match &property.kind {
                b"ispe" => {
                    let bytes = property.head(source, 12)?;
                    found.size = Some((be32(&bytes, 4)?, be32(&bytes, 8)?));
                }
                b"irot" => turns = property.head(source, 1)?.first()? & 3,
                b"imir" => mirror = Some(property.head(source, 1)?.first()? & 1),
                _ => {}
            }
        }
    }
    found.container_orientation = Some(orientation_of(turns, mirror));
    Some(())
}

/// Quarter turns against the clock, then a mirroring (0 swaps top and bottom, 1 left and right), as EXIF counts them.
fn orientation_of(turns: u8, mirror: Option<u8>) -> u8 {
    match (turns, mirror) {
        (1, None) => 8,
        (2, None) => 3,
        (3, None) => 6,
        (0, Some(1)) | (2, Some(0)) => 2,
        (0 | 2, Some(_)) => 4,
        (1, Some(1)) | (3, Some(0)) => 7,
        (_, Some(_)) => 5,
        _ => 1,
    }
}

fn associations(table: &[u8], wanted: u32) -> Option<Vec<usize>> {
    let (version, wide) = (*table.first()?, table.get(3)? & 1 == 1);
    let entries = be32(table, 4)?;
    let mut at = 8;
    // Each entry takes three bytes at least, so that the table's own length ends this.
    for _ in 0..entries {
        let id = if version == 0 { be16(table, at)?.into() } else { be32(table, at)? };
        at += if version == 0 { 2 } else { 4 };
        let count = usize::from(*table.get(at)?);
        at += 1;
        let step = if wide { 2 } else { 1 };
        let indexes = table.get(at..at + count * step)?;
        if id == wanted {
            let index = |chunk: &[u8]| match *chunk {
                [one] => usize::from(one & 0x7F),
                [high, low] => usize::from(high & 0x7F) << 8 | usize::from(low),
                _ => 0,
            };
            return Some(indexes.chunks_exact(step).map(index).collect());
        }
        at += count * step;
    }
    None
}

/// `iloc`: where each item's bytes are. Only the first extent is looked at; metadata comes in one piece.
struct Locations<'a> {
    table: &'a [u8],
    version: u8,
    sizes: [usize; 4],
}

impl<'a> Locations<'a> {
    fn new(table: &'a [u8]) -> Option<Self> {
        let version = *table.first().filter(|&&version| version <= 2)?;
        let (a, b) = (*table.get(4)?, *table.get(5)?);
        let sizes = [a >> 4, a & 15, b >> 4, if version == 0 { 0 } else { b & 15 }].map(usize::from);
        sizes.iter().all(|size| matches!(size, 0 | 4 | 8)).then_some(Self { table, version, sizes })
    }

    fn number(&self, at: &mut usize, size: usize) -> Option<u64> {
        let bytes = self.table.get(*at..at.checked_add(size)?)?;
        *at += size;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Offset and length in the file of the item's first extent.
    fn find(&self, wanted: u32, idat: Option<MediaBox>) -> Option<(u64, u64)> {
        let [offset_size, length_size, base_size, index_size] = self.sizes;
        let id_size = if self.version < 2 { 2 } else { 4 };
        let mut at = 6;
        let count = self.number(&mut at, id_size)?;
        for _ in 0..count {
            let id = self.number(&mut at, id_size)?;
            let method = if self.version > 0 { self.number(&mut at, 2)? & 15 } else { 0 };
            at += 2; // data reference
            let base = self.number(&mut at, base_size)?;
            let extents = usize::try_from(self.number(&mut at, 2)?).ok()?;
            if id == u64::from(wanted) && extents > 0 {
                at += index_size;
                let offset = base.checked_add(self.number(&mut at, offset_size)?)?;
                let len = self.number(&mut at, length_size)?;
                return match method {
                    0 => Some((offset, len)),
                    1 => Some((idat?.start.checked_add(offset)?, len)),
                    _ => None,
                };
            }
            at = at.checked_add(extents * (index_size + offset_size + length_size))?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::orientation_of;

    #[test]
    fn rotations_as_exif_counts_them() {
        let turned = (0..4).map(|turns| orientation_of(turns, None)).collect::<Vec<_>>();
        assert_eq!(turned, [1, 8, 3, 6]);
        assert_eq!((orientation_of(0, Some(1)), orientation_of(0, Some(0))), (2, 4));
    }
}
