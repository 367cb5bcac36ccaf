//! Which still and which video of one folder of an export are the two halves of a Live Photo.
//!
//! What pairs anywhere ([`pairing`]) pairs here. Besides, Google renames the video to `.MP4` and may strip its identifier, so that
//! equal names count for more: the two halves were one picture at Google, and have one sidecar, the still's. Where each has a sidecar of
//! its own they were two there, and what the two say decides (`contradict`): a pair has room for one date and one description.

use std::collections::HashMap;

use crate::file_type::Format;
use crate::names::{comparison_key, split_extension};
use crate::pairing::{self, LONGEST_LIVE_VIDEO_MILLIS, Pair};
use crate::takeout::document::Sidecar;
use crate::takeout::verdict::{SAME_MOMENT, told_moment};

/// A video that shares the sidecar of a still may be as long as this, for the slow ones that editors make.
const LONGEST_SHARING_MILLIS: u64 = 10_000;

/// One file of a folder.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What pairing anywhere needs to know.
    pub file: pairing::Item<'a>,
    /// It has a video inside.
    pub motion_photo: bool,
    /// The sidecar that is its own, if it has one.
    pub own_sidecar: Option<&'a Sidecar>,
}

/// Finds the pairs among the files of **one** folder, all archives together. Every file is in at most one pair; in the order of the
/// pictures. `now`, µs since the epoch, bounds the dates that are believed.
pub fn pair(items: &[Item<'_>], now: i64) -> Vec<Pair> {
    let files: Vec<_> = items.iter().map(|item| item.file).collect();
    let mut pairs = pairing::pair(&files);
    pairs.retain(|pair| {
        items
            .get(pair.image)
            .zip(items.get(pair.video))
            .is_some_and(|(still, video)| may_be_one(still, video, now))
    });
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
    stills.sort_by_key(|(_, item)| {
        (item.own_sidecar.is_none(), item.file.format != Format::Heif, item.file.name)
    });
    for (image, still) in stills {
        if still.motion_photo || !matches!(still.file.format, Format::Heif | Format::Jpeg) {
            continue;
        }
        let stem = comparison_key(split_extension(still.file.name).0);
        let fits = |video: &&usize| {
            let belongs = |video: &Item<'_>| may_be_one(still, video, now) && belong_together(still, video);
            !used.contains(*video) && items.get(**video).is_some_and(belongs)
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
    within(if video.own_sidecar.is_some() { LONGEST_LIVE_VIDEO_MILLIS } else { LONGEST_SHARING_MILLIS })
}

/// Whether nothing that is said of the two would be lost if they were one. An identifier that both have decides, but for the trash.
fn may_be_one(still: &Item<'_>, video: &Item<'_>, now: i64) -> bool {
    let Some((of_still, of_video)) = still.own_sidecar.zip(video.own_sidecar) else { return true };
    let identifiers = still.file.live_identifier.zip(video.file.live_identifier);
    let is_identified = identifiers.is_some_and(|(one, other)| one == other);
    of_still.trashed == of_video.trashed && (is_identified || !contradict(of_still, of_video, now))
}

/// Whether two sidecars give two dates or two descriptions. One that says nothing contradicts nothing.
fn contradict(one: &Sidecar, other: &Sidecar, now: i64) -> bool {
    let micros = |sidecar| told_moment(sidecar, now).and(sidecar.taken);
    let dates = micros(one).zip(micros(other));
    let descriptions = one.description.as_ref().zip(other.description.as_ref());
    dates.is_some_and(|(one, other)| one.abs_diff(other) > SAME_MOMENT)
        || descriptions.is_some_and(|(one, other)| one != other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;

    /// What says nothing.
    static SIDECAR: Sidecar = Sidecar {
        title: None,
        description: None,
        taken: None,
        place: None,
        exif_place: None,
        favourite: false,
        archived: false,
        trashed: false,
    };

    fn item(name: &str, format: Format, own_sidecar: bool) -> Item<'_> {
        let file = pairing::Item { name, format, live_identifier: None, duration_millis: None };
        Item { file, motion_photo: false, own_sidecar: own_sidecar.then_some(&SIDECAR) }
    }

    fn lasting(millis: u64, item: Item<'_>) -> Item<'_> {
        Item { file: pairing::Item { duration_millis: Some(millis), ..item.file }, ..item }
    }

    fn check(items: &[Item<'_>], expected: &[(usize, usize)]) {
        let found: Vec<_> = pair(items, NOW).into_iter().map(|pair| (pair.image, pair.video)).collect();
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
        check(&[still, lasting(3_000, Item { own_sidecar: Some(&SIDECAR), ..video })], &[(0, 1)]);
        check(&[still, lasting(9_000, Item { own_sidecar: Some(&SIDECAR), ..video })], &[]);
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

    /// Once, they were one file with the date of the still.
    #[test]
    fn a_still_and_a_video_whose_own_sidecars_contradict_stay_two() {
        let told = |seconds: i64, description: Option<&str>| Sidecar {
            taken: Some(seconds * 1_000_000),
            description: description.map(str::to_owned),
            ..Sidecar::default()
        };
        let at = 1_556_000_000;
        for (still, video, expected) in [
            (told(at, None), told(at + 170, None), true),
            (told(at, None), told(at + 190, None), false),
            (told(at, Some("the cat")), told(at, None), true),
            (told(at, None), told(at, Some("the wedding")), true),
            (told(at, Some("the cat")), told(at, Some("the cat")), true),
            (told(at, Some("the cat")), told(at, Some("the wedding")), false),
            // No date, and one that nobody believes.
            (told(at, None), Sidecar::default(), true),
            (told(at, None), told(9_000_000_000, None), true),
            (told(at, None), Sidecar { trashed: true, ..told(at, None) }, false),
        ] {
            let pairs: &[(usize, usize)] = if expected { &[(0, 1)] } else { &[] };
            for format in [Format::Mov, Format::Mp4] {
                let of =
                    |name, format, sidecar| Item { own_sidecar: Some(sidecar), ..item(name, format, false) };
                let items =
                    [of("IMG_6.JPG", Format::Jpeg, &still), lasting(2_000, of("IMG_6.MOV", format, &video))];
                check(&items, pairs);
                let identified = items.map(|item| Item {
                    file: pairing::Item { live_identifier: Some("1"), ..item.file },
                    ..item
                });
                let pairs: &[(usize, usize)] = if video.trashed { &[] } else { &[(0, 1)] };
                check(&identified, pairs);
            }
        }
    }
}
