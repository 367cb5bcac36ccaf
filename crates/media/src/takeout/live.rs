//! Which still and which video of one folder of an export are the two halves of a Live Photo.
//!
//! What pairs anywhere ([`pairing`]) pairs here. Besides, Google renames the video to `.MP4` and may strip its identifier, so that
//! equal names count for more: the two halves were one picture at Google, and have one sidecar, the still's.

use std::collections::HashMap;

use crate::file_type::Format;
use crate::names::{comparison_key, split_extension};
use crate::pairing::{self, LONGEST_LIVE_VIDEO_MILLIS, Pair};

/// A video that shares the sidecar of a still may be as long as this, for the slow ones that editors make.
const LONGEST_SHARING_MILLIS: u64 = 10_000;

/// One file of a folder.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What pairing anywhere needs to know.
    pub file: pairing::Item<'a>,
    /// It has a video inside.
    pub motion_photo: bool,
    /// It has a sidecar that is its own.
    pub own_sidecar: bool,
}

/// Finds the pairs among the files of **one** folder, all archives together. Every file is in at most one pair; in the order of the
/// pictures.
pub fn pair(items: &[Item<'_>]) -> Vec<Pair> {
    let files: Vec<_> = items.iter().map(|item| item.file).collect();
    let mut pairs = pairing::pair(&files);
    let mut paired: Vec<bool> = vec![false; items.len()];
    for index in pairs.iter().flat_map(|pair| [pair.image, pair.video]) {
        paired.splice(index..=index, [true]);
    }
    let is_paired = |index: usize| paired.get(index).copied().unwrap_or(true);
    let mut videos: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, item) in items.iter().enumerate().filter(|(index, _)| !is_paired(*index)) {
        if matches!(item.file.format, Format::Mov | Format::Mp4) {
            videos.entry(comparison_key(split_extension(item.file.name).0)).or_default().push(index);
            // `PXL_1.MP` beside `PXL_1.MP.jpg`.
            videos.entry(comparison_key(item.file.name)).or_default().push(index);
        }
    }
    let mut used = Vec::new();
    let mut stills: Vec<(usize, &Item<'_>)> =
        items.iter().enumerate().filter(|(index, _)| !is_paired(*index)).collect();
    // Of two stills of one name, a JPEG beside its HEIC, the one with the sidecar is the one with the video.
    stills.sort_by_key(|(_, item)| (!item.own_sidecar, item.file.format != Format::Heif, item.file.name));
    for (image, still) in stills {
        if still.motion_photo || !matches!(still.file.format, Format::Heif | Format::Jpeg) {
            continue;
        }
        let stem = comparison_key(split_extension(still.file.name).0);
        let fits = |video: &&usize| {
            !used.contains(*video) && items.get(**video).is_some_and(|video| belong_together(still, video))
        };
        if let Some(video) = videos.get(&stem).and_then(|found| found.iter().find(fits)).copied() {
            used.push(video);
            pairs.push(Pair { image, video });
        }
    }
    pairs.sort_by_key(|pair| pair.image);
    pairs
}

fn belong_together(still: &Item<'_>, video: &Item<'_>) -> bool {
    let differ = |(one, other)| one != other;
    if still.file.live_identifier.zip(video.file.live_identifier).is_some_and(differ) {
        return false;
    }
    let within = |limit| video.file.duration_millis.is_none_or(|millis| millis <= limit);
    if video.own_sidecar { within(LONGEST_LIVE_VIDEO_MILLIS) } else { within(LONGEST_SHARING_MILLIS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, format: Format, own_sidecar: bool) -> Item<'_> {
        let file = pairing::Item { name, format, live_identifier: None, duration_millis: None };
        Item { file, motion_photo: false, own_sidecar }
    }

    fn lasting(millis: u64, item: Item<'_>) -> Item<'_> {
        Item { file: pairing::Item { duration_millis: Some(millis), ..item.file }, ..item }
    }

    fn check(items: &[Item<'_>], expected: &[(usize, usize)]) {
        let found: Vec<_> = pair(items).into_iter().map(|pair| (pair.image, pair.video)).collect();
        assert_eq!(found, expected, "{items:?}");
    }

    #[test]
    fn names_count_for_more_than_elsewhere() {
        let still = item("IMG_1.HEIC", Format::Heif, true);
        let video = item("IMG_1.MP4", Format::Mp4, false);
        check(&[still, video], &[(0, 1)]);
        check(&[video, still], &[(1, 0)]);
        check(&[still, lasting(9_000, video)], &[(0, 1)]);
        check(&[still, lasting(60_000, video)], &[]);
        check(&[still, lasting(3_000, Item { own_sidecar: true, ..video })], &[(0, 1)]);
        check(&[still, lasting(9_000, Item { own_sidecar: true, ..video })], &[]);
        check(&[item("PXL_1.MP.jpg", Format::Jpeg, true), item("PXL_1.MP", Format::Mp4, false)], &[(0, 1)]);
        check(&[Item { motion_photo: true, ..still }, video], &[]);
        check(&[item("IMG_2.HEIC", Format::Heif, true), video], &[]);
        check(&[item("IMG_1.PNG", Format::Png, true), video], &[]);
    }

    #[test]
    fn the_still_with_the_sidecar_has_the_video() {
        let items = [
            item("IMG_1.JPG", Format::Jpeg, false),
            item("IMG_1.HEIC", Format::Heif, true),
            item("IMG_1.MP4", Format::Mp4, false),
        ];
        check(&items, &[(1, 2)]);
    }

    #[test]
    fn identifiers_still_decide() {
        let with = |identifier, item: Item<'static>| Item {
            file: pairing::Item { live_identifier: Some(identifier), ..item.file },
            ..item
        };
        let (still, video) = (item("a.heic", Format::Heif, true), item("a.mp4", Format::Mp4, false));
        check(&[with("1", still), with("2", video)], &[]);
        check(&[with("1", still), video], &[(0, 1)]);
        check(&[with("1", still), with("1", item("b.mp4", Format::Mp4, false))], &[(0, 1)]);
    }
}
