//! What an export has more than once: an archive that was downloaded twice, or archives beside the folder that they were unpacked to.
//!
//! Files of one name in one folder of the export are one file if their content is one: in archives by size and checksum, and where one lies on a disk
//! by size and beginning, because nobody reads a whole library to find that out. An entry of an archive goes before a file on a disk: its checksum
//! is compared as it is read, so that damage is told. Nothing is thrown away: a copy is taken where the first could not be read.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};
use std::path::Path;

use darkslide_media::takeout::names::{self, Match};
use unicode_normalization::UnicodeNormalization as _;

use super::{Item, Source};
use crate::library::archive::without_number;
use crate::library::opened::Opened;
use crate::library::text_of;

/// Bytes at the beginning of two files that are compared.
const COMPARED: u64 = 64 * 1024;

/// Files of one folder, each once.
#[derive(Debug, Default)]
pub(super) struct Once {
    pub(super) items: Vec<Item>,
    /// The copies of each.
    pub(super) copies: Vec<Vec<Item>>,
    /// The names, each once, and where its files stand: more than one, if their contents differ.
    names: Vec<(String, Vec<usize>)>,
}

impl Once {
    /// In the order of the items. Reads the beginnings of files of one name and one size.
    pub(super) fn of(sources: &[Source], items: Vec<Item>) -> Self {
        let mut once = Self::default();
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for item in items {
            let name: String = name_of(&item.path).nfc().collect();
            let at = *by_name.entry(name).or_insert_with_key(|name| {
                once.names.push((name.clone(), Vec::new()));
                once.names.len() - 1
            });
            once.add(sources, item, at);
        }
        once
    }

    fn add(&mut self, sources: &[Source], mut item: Item, name: usize) {
        let Some((_, places)) = self.names.get_mut(name) else { return };
        let is_same = |at: &&usize| self.items.get(**at).is_some_and(|known| is_same(sources, known, &item));
        let Some(at) = places.iter().find(is_same).copied() else {
            places.push(self.items.len());
            self.items.push(item);
            self.copies.push(Vec::new());
            return;
        };
        if let (Some(known), Some(copies)) = (self.items.get_mut(at), self.copies.get_mut(at)) {
            if known.entry.is_none() && item.entry.is_some() {
                std::mem::swap(known, &mut item);
            }
            copies.push(item);
        }
    }

    fn texts(&self) -> Vec<&str> {
        self.names.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// How near a file is to one of the others of its folder: not at all, beside it, or beside it and spelled like it.
    fn nearness(&self, at: usize, other: &Self, there: usize) -> u8 {
        let pairs = other.all(there).flat_map(|there| self.all(at).map(move |here| (here, there)));
        let beside = pairs.filter(|(here, there)| lies_in(here) == lies_in(there));
        beside.map(|(here, there)| 1 + u8::from(is_composed(here) == is_composed(there))).max().unwrap_or(0)
    }

    /// A file and its copies.
    fn all(&self, at: usize) -> impl Iterator<Item = &Item> {
        self.items.get(at).into_iter().chain(self.copies.get(at).into_iter().flatten())
    }
}

/// The sidecar of each of a folder's media, and all sidecars whose names are spoken for.
pub(super) fn assign(media: &Once, sidecars: &Once) -> (Vec<Option<Match>>, HashSet<usize>) {
    let mut matches = vec![None; media.items.len()];
    let mut used = HashSet::new();
    let found = names::assign(&media.texts(), &sidecars.texts());
    for ((_, places), found) in media.names.iter().zip(found) {
        let Some((found, (_, answers))) =
            found.and_then(|found| Some((found, sidecars.names.get(found.sidecar)?)))
        else {
            continue;
        };
        for &at in places {
            let Some(sidecar) = chosen(media, at, places, sidecars, answers) else { continue };
            used.extend(answers);
            matches.splice(at..=at, [Some(Match { sidecar, ..found })]);
        }
    }
    (matches, used)
}

/// Of sidecars of one name that say different things, the nearest, or where none is near the newest, if there is one such picture only.
/// Of different pictures of one name (`places`), none gets what may be another's.
fn chosen(media: &Once, at: usize, places: &[usize], sidecars: &Once, answers: &[usize]) -> Option<usize> {
    let nearness = |at: usize, answer: usize| media.nearness(at, sidecars, answer);
    let nearest = answers.iter().map(|answer| nearness(at, *answer)).max()?;
    let those = || answers.iter().copied().filter(|answer| nearness(at, *answer) == nearest);
    if places.len() == 1 {
        let modified = |answer: &usize| sidecars.items.get(*answer).map(|item| item.fingerprint.modified_ns);
        return if nearest > 0 { those().next() } else { those().max_by_key(modified) };
    }
    let one = those().next().filter(|_| nearest > 0 && those().count() == 1)?;
    let is_rival = |other: &usize| *other != at && nearness(*other, one) >= nearest;
    (!places.iter().any(is_rival)).then_some(one)
}

fn lies_in(item: &Item) -> (usize, Option<&Path>) {
    (item.source, without_number(&item.path).parent())
}

/// Whether accents are no characters of their own.
fn is_composed(item: &Item) -> bool {
    let name = name_of(&item.path);
    name.nfc().eq(name.chars())
}

fn is_same(sources: &[Source], one: &Item, other: &Item) -> bool {
    if one.fingerprint.size != other.fingerprint.size {
        return false;
    }
    match (&one.entry, &other.entry) {
        (Some(one), Some(other)) => one.has_content_of(other),
        // What cannot be read is no copy of anything.
        _ => {
            beginning(sources, one).and_then(|one| Ok(one == beginning(sources, other)?)).unwrap_or_default()
        }
    }
}

fn beginning(sources: &[Source], item: &Item) -> io::Result<Vec<u8>> {
    let source = sources.get(item.source).expect("an item lies in one of the sources");
    let mut bytes = Vec::new();
    let opened = Opened::open(&source.root.join(&item.path), item.entry.as_ref())?;
    opened.take(COMPARED).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name as text, of which no two are the same.
pub(super) fn name_of(path: &Path) -> String {
    text_of(path.file_name().unwrap_or_default())
}
