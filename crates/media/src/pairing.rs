//! Which still and which video of one folder are the two halves of a Live Photo.
//!
//! Apple writes the same identifier into both halves; that decides. Only where neither half carries one (an
//! exporter dropped it) do equal stems and a short QuickTime video decide. Motion photos, whose video lies inside
//! the picture, are one file and are left alone. Pure: the items were probed before.

use std::collections::HashMap;

use crate::file_type::{Format, MediaKind};
use crate::names::{comparison_key, split_extension};

/// A Live Photo's video is three seconds long; without an identifier nothing longer than this is paired.
pub const LONGEST_LIVE_VIDEO_MILLIS: u64 = 4_000;

/// One file of a folder, as far as pairing needs to know it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its name, without the folder.
    pub name: &'a str,
    /// Its format.
    pub format: Format,
    /// Apple's content identifier, if it carries one.
    pub live_identifier: Option<&'a str>,
    /// Length of a video, if known.
    pub duration_millis: Option<u64>,
}

/// Two halves, as indexes into the items that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The picture.
    pub image: usize,
    /// Its video.
    pub video: usize,
}

/// Finds the pairs among the files of **one** folder. Every file is in at most one pair; the result is ordered by
/// the picture's place in `items`, and does not depend on the order of `items` otherwise.
pub fn pair(items: &[Item<'_>]) -> Vec<Pair> {
    let mut halves: Vec<Half<'_>> =
        items.iter().enumerate().map(|(index, item)| Half::new(index, item)).collect();
    halves.sort_by(|a, b| a.item.name.cmp(b.item.name));
    let mut videos: HashMap<Key<'_>, Vec<&Half<'_>>> = HashMap::new();
    for half in halves.iter().filter(|half| half.may_be_the_video()) {
        videos.entry(half.key()).or_default().push(half);
    }
    let mut pairs = Vec::new();
    // The pictures whose stem has a video of the same stem choose first: a copy of a picture keeps the identifier.
    for same_stem_only in [true, false] {
        for image in halves.iter().filter(|half| half.may_be_the_image()) {
            if pairs.iter().any(|pair: &Pair| pair.image == image.index) {
                continue;
            }
            let Some(candidates) = videos.get_mut(&image.key()) else { continue };
            let chosen = candidates.iter().position(|video| !same_stem_only || video.stem == image.stem);
            if let Some(at) = chosen {
                pairs.push(Pair { image: image.index, video: candidates.remove(at).index });
            }
        }
    }
    pairs.sort_by_key(|pair| pair.image);
    pairs
}

struct Half<'a> {
    index: usize,
    item: &'a Item<'a>,
    stem: String,
}

/// What the two halves must have in common.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Identifier(&'a str),
    Stem(String),
}

impl<'a> Half<'a> {
    fn new(index: usize, item: &'a Item<'a>) -> Self {
        Self { index, item, stem: comparison_key(split_extension(item.name).0) }
    }

    fn key(&self) -> Key<'a> {
        match self.item.live_identifier {
            Some(identifier) => Key::Identifier(identifier),
            None => Key::Stem(self.stem.clone()),
        }
    }

    fn may_be_the_image(&self) -> bool {
        let live = matches!(self.item.format, Format::Heif | Format::Jpeg);
        live || (self.item.format.kind() == MediaKind::Image && self.item.live_identifier.is_some())
    }

    fn may_be_the_video(&self) -> bool {
        let identified = self.item.live_identifier.is_some();
        let short = self.item.duration_millis.is_some_and(|millis| millis <= LONGEST_LIVE_VIDEO_MILLIS);
        match self.item.format {
            Format::Mov => identified || short,
            Format::Mp4 => identified,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image<'a>(name: &'a str, identifier: Option<&'a str>) -> Item<'a> {
        Item { name, format: Format::Heif, live_identifier: identifier, duration_millis: None }
    }

    fn video<'a>(name: &'a str, identifier: Option<&'a str>, millis: u64) -> Item<'a> {
        Item { name, format: Format::Mov, live_identifier: identifier, duration_millis: Some(millis) }
    }

    fn check(items: &[Item<'_>], expected: &[(usize, usize)]) {
        let found: Vec<_> = pair(items).into_iter().map(|pair| (pair.image, pair.video)).collect();
        assert_eq!(found, expected, "{items:?}");
    }

    #[test]
    fn the_identifier_decides() {
        check(&[image("a.heic", Some("1")), video("b.mov", Some("1"), 60_000)], &[(0, 1)]);
        check(&[image("a.heic", Some("1")), video("a.mov", Some("2"), 2_000)], &[]);
        check(&[image("a.heic", Some("1")), video("a.mov", None, 2_000)], &[]);
        check(&[image("a.heic", None), video("a.mov", Some("1"), 2_000)], &[]);
        check(&[image("a.heic", Some("1"))], &[]);
    }

    #[test]
    fn stems_decide_where_neither_has_an_identifier() {
        check(&[image("IMG_1.HEIC", None), video("img_1.mov", None, 3_000)], &[(0, 1)]);
        check(&[image("a.heic", None), video("a.mov", None, 4_001)], &[]);
        check(&[image("a.heic", None), video("b.mov", None, 2_000)], &[]);
        check(&[image("a.heic", None), Item { duration_millis: None, ..video("a.mov", None, 0) }], &[]);
        check(&[image("a.heic", None), Item { format: Format::Mp4, ..video("a.mp4", None, 2_000) }], &[]);
        check(&[Item { format: Format::Png, ..image("a.png", None) }, video("a.mov", None, 2_000)], &[]);
    }

    #[test]
    fn copies_pair_with_the_video_of_their_own_name() {
        let items = [
            image("a (1).heic", Some("1")),
            image("a.heic", Some("1")),
            video("a (1).mov", Some("1"), 2_000),
            video("a.mov", Some("1"), 2_000),
        ];
        check(&items, &[(0, 2), (1, 3)]);
        check(&[items[0], items[1], items[3]], &[(1, 2)]);
    }
}
