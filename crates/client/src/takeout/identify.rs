//! What the files of one folder of an export are: as in any folder, and with what their sidecars say.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use darkslide_media::dates::ZoneRule;
use darkslide_media::names::split_extension;
use darkslide_media::pairing;
use darkslide_media::probe::Probe;
use darkslide_media::takeout::document::Sidecar;
use darkslide_media::takeout::live;
use darkslide_media::takeout::names::Kinship;
use darkslide_media::takeout::verdict;

use super::copies::name_of;
use super::folders::{Folder, read_sidecar};
use super::{Export, FolderSteps, Item};
use crate::backup::identify::{
    Asset, Component, Identified, Look, Surroundings, Told, UNKNOWN, look, read_small,
};
use crate::buffers::Buffers;

/// Why what its owner deleted at Google is left alone.
pub(super) const IN_GOOGLES_TRASH: &str = "it is in the trash at Google";

/// One picture or video, and what its sidecar says.
struct Seen {
    source: usize,
    component: Component,
    probe: Probe,
    sidecar: Option<(Arc<Sidecar>, Kinship)>,
}

/// The sidecars of one folder, by their place there.
#[derive(Default)]
struct Sidecars {
    read: HashMap<usize, Option<Arc<Sidecar>>>,
    unreadable: Vec<(Arc<Path>, Identified)>,
}

impl Export {
    /// Identifies files of one folder; each comes back once, alone or as half of a Live Photo, with the root that it lies in. So do, before the
    /// pictures, sidecars that cannot be read, as what is not as the catalog has it: their pictures are dealt with once more when they can. Blocks.
    pub(crate) fn identify(
        &self,
        steps: &FolderSteps,
        zone: &ZoneRule,
        now: i64,
        buffers: &Buffers,
    ) -> Vec<(Arc<Path>, Identified)> {
        let (mut identified, mut seen) = (Vec::new(), Vec::new());
        let Some(folder) = self.folders.get(&steps.folder) else { return identified };
        let mut sidecars = Sidecars::default();
        let items: Vec<(usize, &Item)> =
            steps.media.iter().filter_map(|at| Some((*at, folder.media.get(*at)?))).collect();
        // Of an entry the beginning may be all that has to be inflated.
        let is_file = |item: &Item| item.entry.is_none();
        let files = items.iter().filter(|(_, item)| is_file(item)).map(|(_, item)| self.whole_path(item));
        let mut files = read_small(files, buffers).into_iter();
        for (at, item) in items {
            let whole = if is_file(item) { files.next().flatten() } else { None };
            let source = self.source(item);
            let root = Arc::clone(&source.root);
            let around = Surroundings { root: &source.root, zone, now };
            let relative = item.path.clone();
            match look(around, &item.path, item.entry.as_ref(), whole) {
                Ok(Look::Media(media)) => {
                    let (component, probe) = *media;
                    let sidecar = self.sidecar(folder, at, &mut sidecars);
                    seen.push(Seen { source: item.source, component, probe, sidecar });
                }
                Ok(Look::NotMedia(fingerprint, reason)) => {
                    identified.push((root, Identified::NotMedia { relative, fingerprint, reason }));
                }
                Err(error) => {
                    identified.push((root, Identified::Unreadable { relative, fingerprint: UNKNOWN, error }));
                }
            }
        }
        identified.extend(sidecars.unreadable);
        identified
            .extend(paired(seen, now).into_iter().map(|(main, motion)| self.asset(main, motion, zone, now)));
        identified
    }

    /// The sidecar of one of a folder's media. One that cannot be read counts as none: the picture matters more.
    fn sidecar(
        &self,
        folder: &Folder,
        media: usize,
        sidecars: &mut Sidecars,
    ) -> Option<(Arc<Sidecar>, Kinship)> {
        let (item, found) = folder.sidecar_of(media)?;
        let Sidecars { read, unreadable } = sidecars;
        let known = read.entry(found.sidecar).or_insert_with(|| {
            let failed = |error: io::Error| {
                let (relative, error) = (item.path.clone(), error.into());
                let failed = Identified::Unreadable { relative, fingerprint: UNKNOWN, error };
                unreadable.push((Arc::clone(&self.source(item).root), failed));
            };
            self.read_sidecar(folder, found.sidecar).map_err(failed).ok().flatten().map(Arc::new)
        });
        known.clone().map(|sidecar| (sidecar, found.kinship))
    }

    /// Reads a sidecar, or where that cannot be read a copy of it. Fails as reading the first does.
    pub(super) fn read_sidecar(&self, folder: &Folder, at: usize) -> io::Result<Option<Sidecar>> {
        let mut read = folder.sidecar_and_copies(at).map(|item| read_sidecar(self.source(item), item));
        let first = read.next().unwrap_or(Ok(None));
        first.or_else(|error| read.find_map(Result::ok).ok_or(error))
    }

    fn asset(&self, main: Seen, motion: Option<Seen>, zone: &ZoneRule, now: i64) -> (Arc<Path>, Identified) {
        let Seen { source, component, mut probe, sidecar } = main;
        let root =
            self.sources.get(source).map(|source| Arc::clone(&source.root)).expect("a source of the export");
        let sidecar = of_both(sidecar, motion.as_ref());
        let told = sidecar.as_ref().map(|(sidecar, kinship)| {
            let verdict = verdict::decide(probe.captured, probe.place, sidecar, zone, now);
            probe.captured = verdict.captured;
            probe.place = verdict.place;
            Box::new(Told {
                name: sidecar
                    .title
                    .clone()
                    .filter(|title| *kinship == Kinship::Own && is_other_name(title, &component.path)),
                caption: sidecar.description.clone(),
                taken: verdict.edited_time,
                dated: verdict::told_moment(sidecar, now).is_some(),
                place: verdict.edited_place,
                archived: sidecar.archived,
                favourite: sidecar.favourite,
            })
        });
        if sidecar.is_some_and(|(sidecar, _)| sidecar.trashed) {
            let (relative, fingerprint) = (component.relative, component.fingerprint);
            let reason = IN_GOOGLES_TRASH.to_owned();
            return (root, Identified::LeftAlone { relative, fingerprint, reason });
        }
        // A half in another archive is named by its whole path.
        let motion = motion.map(|motion| {
            let is_near = motion.source == source;
            let relative = if is_near { motion.component.relative } else { motion.component.path.clone() };
            Component { relative, ..motion.component }
        });
        let album = self.rule().album_of(&root, &component.relative);
        let asset = Asset {
            root: Arc::clone(&root),
            main: component,
            motion,
            probe,
            album,
            is_changed: false,
            library: None,
            offered: None,
            ticket: None,
            told,
        };
        (root, Identified::Asset(Box::new(asset)))
    }
}

fn own_sidecar(seen: &Seen) -> Option<&Sidecar> {
    seen.sidecar.as_ref().filter(|(_, kinship)| *kinship == Kinship::Own).map(|(sidecar, _)| &**sidecar)
}

/// What is said of the two halves: of the still, and what that leaves open, of its video.
fn of_both(still: Option<(Arc<Sidecar>, Kinship)>, motion: Option<&Seen>) -> Option<(Arc<Sidecar>, Kinship)> {
    let Some((still, kinship)) = still else { return motion?.sidecar.clone() };
    let Some(video) = motion.and_then(own_sidecar) else { return Some((still, kinship)) };
    let mut both = Sidecar::clone(&still);
    both.favourite |= video.favourite;
    both.description = both.description.or_else(|| video.description.clone());
    both.taken = both.taken.or(video.taken);
    if both.place.or(both.exif_place).is_none() {
        (both.place, both.exif_place) = (video.place, video.exif_place);
    }
    Some((Arc::new(both), kinship))
}

/// Whether a title is another name than the file's, beside the number that namesakes get. A title without the file's extension is
/// none that a file could have.
fn is_other_name(title: &str, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ((stem, extension), (title_stem, title_extension)) = (split_extension(&name), split_extension(title));
    let is_namesake = || {
        let number = stem.strip_prefix(title_stem).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    title != name && extension.eq_ignore_ascii_case(title_extension) && !is_namesake()
}

/// Joins the halves of Live Photos; everything else stays alone.
fn paired(seen: Vec<Seen>, now: i64) -> Vec<(Seen, Option<Seen>)> {
    let names: Vec<String> = seen.iter().map(|seen| name_of(&seen.component.path)).collect();
    let item = |(seen, name)| live_item(seen, name);
    let items: Vec<live::Item<'_>> = seen.iter().zip(&names).map(item).collect();
    let pairs = live::pair(&items, now);
    let mut left: Vec<Option<Seen>> = seen.into_iter().map(Some).collect();
    let mut take = |at: usize| left.get_mut(at).and_then(Option::take);
    let mut assets = Vec::new();
    for pair in pairs {
        let video = take(pair.video);
        assets.extend(take(pair.image).map(|still| (still, video)));
    }
    assets.extend(left.into_iter().flatten().map(|alone| (alone, None)));
    assets
}

fn live_item<'a>(seen: &'a Seen, name: &'a String) -> live::Item<'a> {
    live::Item {
        file: pairing::Item {
            name,
            format: seen.component.media.format,
            live_identifier: seen.probe.live_identifier.as_deref(),
            duration_millis: seen.probe.duration_millis,
        },
        motion_photo: seen.probe.motion_photo,
        own_sidecar: own_sidecar(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_lost() {
        for (title, name, expected) in [
            ("a.jpg", "a.jpg", false),
            ("a.jpg", "a(1).jpg", false),
            ("a&b?c%.jpg", "a_b_c_.jpg", true),
            ("a long name.jpg", "a long na.jpg", true),
            ("a.HEIC", "a.jpg", false),
            ("a", "a.jpg", false),
        ] {
            assert_eq!(is_other_name(title, Path::new(name)), expected, "{title} {name}");
        }
    }
}
