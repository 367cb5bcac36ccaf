//! Which sidecar belongs to which picture of one folder, by their names alone.
//!
//! With *T* the title that the picture had at Google, its extension included:
//!
//! | file | name |
//! |---|---|
//! | picture | *T*, its stem clipped until all of it has 47 characters (in some exports, until the stem has) |
//! | its namesakes in the folder | the same with `(1)`, `(2)`, … before the extension |
//! | sidecar, until 2024 | *T* clipped to 46 characters, then `.json` |
//! | sidecar, since | *T*`.supplemental-metadata` clipped to 46 characters, then `.json` |
//! | sidecars of the namesakes | the same with `(1)`, `(2)`, … before `.json` |
//! | edited copy | *T* with `-edited` (in the account's language) behind its stem; it has no sidecar of its own |
//! | video of a Live Photo | the stem of the still with another extension; it has none either |
//! | a title without an extension | the picture is exported with one, and its sidecar without: `Untitled.jpg`, `Untitled.json` |
//!
//! What "character" means beyond ASCII is not documented: characters, UTF-16 units and bytes are all tried. Exact names
//! come first, then clipped ones, then the rest. Where clipping has made two pictures claim one sidecar, neither gets it:
//! the date that a picture has of itself is better than the date of another.

use std::collections::{BTreeMap, HashMap, HashSet};

use unicode_normalization::UnicodeNormalization as _;

use crate::file_type::{MediaKind, classify};
use crate::names::split_extension;

/// What stands before `.json` in the name of a sidecar, at most.
const SIDECAR_MAX: usize = 46;

/// What newer exports put behind the title, as far as there is room.
const SUPPLEMENT: &str = ".supplemental-metadata";

/// Lengths of names that may have been clipped, in whatever is counted: all of it at 47, or the stem at 47 and the extension behind it.
const CLIPPED_MEDIA: std::ops::RangeInclusive<usize> = 47..=52;

/// What Google puts behind the stem of an edited copy, in the languages that are known to do so.
const EDITED: [&str; 24] = [
    "-edited",
    "-effects",
    "-bearbeitet",
    "-modifié",
    "-modifie",
    "-editado",
    "-editada",
    "-editat",
    "-edytowane",
    "-bewerkt",
    "-modificato",
    "-ha editado",
    "-redigeret",
    "-redigerad",
    "-redigert",
    "-muokattu",
    "-upraveno",
    "-szerkesztett",
    "-düzenlendi",
    "-измененный",
    "-編集済み",
    "-已编辑",
    "-已編輯",
    "-수정됨",
];

/// Extensions of titles that are tried where a picture has no sidecar under its own.
const OTHER_EXTENSIONS: [&str; 12] =
    ["heic", "heif", "jpg", "jpeg", "png", "webp", "gif", "dng", "mov", "mp4", "m4v", "3gp"];

/// How a picture came to its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kinship {
    /// It is this picture's.
    Own,
    /// It is that of the picture that this one was edited from.
    Edited,
    /// It is that of a still whose name this video has.
    Companion,
}

/// The sidecar of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Its place among the sidecars that were given.
    pub sidecar: usize,
    /// Whose it is.
    pub kinship: Kinship,
}

/// Whether a file of this name may be a sidecar.
pub fn is_json(name: &str) -> bool {
    without_json(name).is_some()
}

/// The sidecar of each picture of **one** folder, all its archives together; in the order of the pictures. The result does not
/// depend on the order of either list otherwise.
pub fn assign(media: &[&str], sidecars: &[&str]) -> Vec<Option<Match>> {
    let shelf = Shelf::new(sidecars);
    let media: Vec<Media> = media.iter().map(|name| Media::new(name)).collect();
    let mut found = Found { slots: vec![Slot::Open; media.len()], taken: HashSet::new() };
    for level in [Shelf::exact, Shelf::clipped, Shelf::other_extension, Shelf::without_extension] {
        shelf.give(&media, &mut found, level);
    }
    let shared = |one: &Media| {
        let of = |kinship| move |sidecar| Match { sidecar, kinship };
        let edited = shelf.original_of(one).map(of(Kinship::Edited));
        edited.or_else(|| shelf.still_of(one).map(of(Kinship::Companion)))
    };
    let last = |(one, slot): (&Media, Slot)| match slot {
        Slot::Open => shared(one),
        Slot::Undecided => None,
        Slot::Own(sidecar) => Some(Match { sidecar, kinship: Kinship::Own }),
    };
    media.iter().zip(found.slots).map(last).collect()
}

/// What has been found so far.
struct Found {
    slots: Vec<Slot>,
    taken: HashSet<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Open,
    /// There is more than one answer, and a worse one would be no better.
    Undecided,
    Own(usize),
}

/// The name that a picture had before it was edited, if its name says that it was. The mark may be clipped where the name is.
pub fn before_edit(name: &str) -> Option<String> {
    let media = Media::new(name);
    let (stem, extension) = split_extension(&media.title);
    let cut = |mark: &str| -> Option<String> {
        let folded = stem.to_lowercase();
        let kept = folded.strip_suffix(mark)?;
        // Lower case may have another length: then there is nothing to cut.
        let kept = stem.get(..kept.len()).filter(|kept| !kept.is_empty())?;
        let number = media.number.map(|number| format!("({number})")).unwrap_or_default();
        Some(format!("{kept}{number}{extension}"))
    };
    let clipped = |mark: &&str| -> Vec<String> {
        let shorter = mark.char_indices().map(|(at, _)| at).filter(|at| *at >= 2);
        let mut forms: Vec<_> = shorter.filter_map(|at| mark.get(..at)).map(str::to_owned).collect();
        forms.reverse();
        forms
    };
    let whole = EDITED.iter().find_map(|mark| cut(mark));
    let part = || EDITED.iter().flat_map(clipped).find_map(|mark| cut(&mark));
    whole.or_else(|| media.may_be_clipped().then(part).flatten())
}

/// A picture's name, taken apart.
struct Media {
    /// As it stands there, composed (NFC).
    name: String,
    /// Without its number: what namesakes have in common.
    title: String,
    number: Option<u32>,
}

impl Media {
    fn new(name: &str) -> Self {
        let name: String = name.nfc().collect();
        let (stem, extension) = split_extension(&name);
        let (title, number) = match numbered(stem) {
            Some((stem, number)) => (format!("{stem}{extension}"), Some(number)),
            None => (name.clone(), None),
        };
        Self { name, title, number }
    }

    /// Its readings: the number may be one that it had at Google already.
    fn readings(&self) -> impl Iterator<Item = (&str, Option<u32>)> {
        let literal = (self.name.as_str(), None);
        let numbered = self.number.map(|number| (self.title.as_str(), Some(number)));
        std::iter::once(literal).chain(numbered)
    }

    fn may_be_clipped(&self) -> bool {
        // A character of several units that did not fit leaves all but one of them empty.
        let is_clipped = |width: fn(char) -> usize| {
            let (length, widest) = self
                .title
                .chars()
                .map(width)
                .fold((0, 1), |(length, widest), width| (length + width, widest.max(width)));
            (length..length + widest).any(|length| CLIPPED_MEDIA.contains(&length))
        };
        is_clipped(|_| 1) || is_clipped(char::len_utf16) || is_clipped(char::len_utf8)
    }
}

/// The sidecars of a folder, to be looked up.
struct Shelf {
    /// By what stands before `.json`, without its number, and by the number.
    exact: HashMap<(String, Option<u32>), usize>,
    /// The same in lower case.
    folded: HashMap<(String, Option<u32>), usize>,
    /// Those that may be clipped.
    clipped: BTreeMap<String, Vec<(Option<u32>, usize)>>,
    /// What stands before `.json`, without its number.
    bases: HashMap<usize, String>,
}

/// What a picture claims at one level.
#[derive(Default)]
struct Claim {
    /// Sidecars any of which may be its own, as far as this level can tell.
    may_be: Vec<usize>,
    /// The one that it is, unless another picture claims that base as well.
    is: Option<usize>,
}

impl Claim {
    /// Of one candidate it is sure.
    fn of(mut may_be: Vec<usize>) -> Self {
        may_be.sort_unstable();
        may_be.dedup();
        let is = if let [one] = may_be.as_slice() { Some(*one) } else { None };
        Self { may_be, is }
    }
}

impl Shelf {
    fn new(sidecars: &[&str]) -> Self {
        let (mut exact, mut folded) = (HashMap::new(), HashMap::new());
        let (mut clipped, mut bases) = (BTreeMap::<String, Vec<_>>::new(), HashMap::new());
        for (at, name) in sidecars.iter().enumerate() {
            let name: String = name.nfc().collect();
            let Some(whole) = without_json(&name) else { continue };
            let with_number = numbered(whole).map(|(base, number)| (base, Some(number)));
            for (base, number) in std::iter::once((whole, None)).chain(with_number) {
                exact.entry((base.to_owned(), number)).or_insert(at);
                folded.entry((base.to_lowercase(), number)).or_insert(at);
            }
            let (base, number) = with_number.unwrap_or((whole, None));
            if may_be_clipped(base, number) {
                clipped.entry(base.to_owned()).or_default().push((number, at));
            }
            bases.insert(at, base.to_owned());
        }
        Self { exact, folded, clipped, bases }
    }

    /// Gives out what is claimed at one level. What is taken is not given again, and nothing is given where clipping has made pictures of
    /// different titles claim sidecars of one base: their numbers then say nothing either.
    fn give(&self, media: &[Media], found: &mut Found, level: impl Fn(&Self, &Media) -> Claim) {
        let mut claims: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut titles: HashMap<&str, HashSet<&str>> = HashMap::new();
        for ((at, one), slot) in media.iter().enumerate().zip(&mut found.slots) {
            if *slot != Slot::Open {
                continue;
            }
            let Claim { may_be, is } = level(self, one);
            for sidecar in may_be.iter().filter(|sidecar| !found.taken.contains(sidecar)) {
                titles.entry(self.base(*sidecar)).or_default().insert(&one.title);
            }
            match is {
                Some(sidecar) if !found.taken.contains(&sidecar) => {
                    claims.entry(sidecar).or_default().push(at);
                }
                None if !may_be.is_empty() => *slot = Slot::Undecided,
                _ => {}
            }
        }
        for (sidecar, claimants) in claims {
            let is_clear = titles.get(self.base(sidecar)).is_some_and(|titles| titles.len() == 1);
            let slot = if is_clear && claimants.len() == 1 { Slot::Own(sidecar) } else { Slot::Undecided };
            for at in claimants {
                found.slots.splice(at..=at, [slot]);
            }
            found.taken.insert(sidecar);
        }
    }

    fn base(&self, sidecar: usize) -> &str {
        self.bases.get(&sidecar).map_or("", String::as_str)
    }

    /// The whole title, and as much of the supplement as there is. A name that can be read in two ways, and has a sidecar either way,
    /// is not decided.
    fn exact(&self, media: &Media) -> Claim {
        Claim::of(media.readings().filter_map(|(title, number)| self.of_title(title, number)).collect())
    }

    fn of_title(&self, title: &str, number: Option<u32>) -> Option<usize> {
        supplemented(title).find_map(|base| self.exact.get(&(base, number)).copied())
    }

    fn of_folded_title(&self, title: &str, number: Option<u32>) -> Option<usize> {
        supplemented(&title.to_lowercase()).find_map(|base| self.folded.get(&(base, number)).copied())
    }

    /// The title does not fit into the sidecar's name, or into neither: then the picture's stem is the beginning of what the sidecar
    /// has kept. Two titles with that beginning leave open which is which.
    fn clipped(&self, media: &Media) -> Claim {
        let mut bases: BTreeMap<&str, Option<u32>> = BTreeMap::new();
        for (title, number) in media.readings() {
            let room = number.map_or(0, |number| digits(number) + 2);
            let cut = [SIDECAR_MAX, SIDECAR_MAX - room].into_iter().flat_map(|limit| prefixes(title, limit));
            bases.extend(cut.filter(|base| self.clipped.contains_key(*base)).map(|base| (base, number)));
        }
        let stem = split_extension(&media.title).0;
        let begin_so = self.clipped.range(stem.to_owned()..).take_while(|(base, _)| base.starts_with(stem));
        if media.may_be_clipped() {
            bases.extend(begin_so.map(|(base, _)| (base.as_str(), media.number)));
        }
        let numbers = |base: &str| self.clipped.get(base).map(Vec::as_slice).unwrap_or_default();
        let may_be = bases.keys().flat_map(|base| numbers(base).iter().map(|(_, at)| *at)).collect();
        let is = match bases.iter().next() {
            Some((base, wanted)) if bases.len() == 1 => {
                numbers(base).iter().find(|(number, _)| number == wanted)
            }
            _ => None,
        };
        Claim { is: is.map(|(_, at)| *at), may_be }
    }

    /// The title at Google had another extension than the file that was exported.
    fn other_extension(&self, media: &Media) -> Claim {
        if is_video(&media.name) {
            return Claim::default();
        }
        let stem = split_extension(&media.title).0;
        let titles = OTHER_EXTENSIONS.iter().map(|extension| format!("{stem}.{extension}"));
        Claim::of(titles.filter_map(|title| self.of_folded_title(&title, media.number)).collect())
    }

    /// The title at Google had no extension, and the file that was exported was given one. What may be clipped is no whole title.
    fn without_extension(&self, media: &Media) -> Claim {
        let found = self.of_title(split_extension(&media.title).0, media.number);
        Claim::of(found.filter(|at| !may_be_clipped(self.base(*at), media.number)).into_iter().collect())
    }

    /// The sidecar of the picture that this one was edited from.
    fn original_of(&self, media: &Media) -> Option<usize> {
        let original = Media::new(&before_edit(&media.name)?);
        let own = [Self::exact, Self::clipped].iter().find_map(|level| level(self, &original).is);
        own.or_else(|| self.other_extension(&original).is).or_else(|| self.without_extension(&original).is)
    }

    /// The sidecar of the still of which this may be the video.
    fn still_of(&self, media: &Media) -> Option<usize> {
        if !is_video(&media.name) {
            return None;
        }
        let (stem, _) = split_extension(&media.title);
        let stems = [stem, media.title.as_str()];
        let of = |stem: &str| {
            let titles = OTHER_EXTENSIONS.iter().map(|extension| format!("{stem}.{extension}"));
            titles
                .filter(|title| !is_video(title))
                .find_map(|title| self.of_folded_title(&title, media.number))
        };
        stems.iter().find_map(|stem| of(stem)).or_else(|| {
            // The still may have been edited, and its video with it.
            let original = before_edit(&media.name)?;
            of(split_extension(&Media::new(&original).title).0)
        })
    }
}

/// The title with the whole supplement, with less and less of it, and with nothing.
fn supplemented(title: &str) -> impl Iterator<Item = String> + use<'_> {
    (0..=SUPPLEMENT.len()).rev().filter_map(move |kept| Some(format!("{title}{}", SUPPLEMENT.get(..kept)?)))
}

/// The beginnings of a text that have a length, by each way of counting; none where all of it is shorter.
fn prefixes(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let by_characters = text.char_indices().nth(limit).map(|(at, _)| at);
    let mut units = 0;
    let by_units = text.char_indices().find_map(|(at, character)| {
        units += character.len_utf16();
        (units > limit).then_some(at)
    });
    let by_bytes = text.char_indices().map(|(at, character)| (at, at + character.len_utf8()));
    let by_bytes = by_bytes.into_iter().find_map(|(at, end)| (end > limit).then_some(at));
    let mut cuts: Vec<usize> = [by_characters, by_units, by_bytes].into_iter().flatten().collect();
    // A text of just that length is its own beginning.
    if text.chars().count() == limit {
        cuts.push(text.len());
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts.into_iter().filter(|at| *at > 0).filter_map(|at| text.get(..at))
}

/// Whether the name of a sidecar has the length at which names are clipped. A character that did not fit leaves up to three bytes.
fn may_be_clipped(base: &str, number: Option<u32>) -> bool {
    let room = number.map_or(0, |number| digits(number) + 2);
    let limits = [SIDECAR_MAX, SIDECAR_MAX - room];
    let (characters, units) = (base.chars().count(), base.encode_utf16().count());
    limits.iter().any(|limit| {
        characters == *limit
            || (limit - 1..=*limit).contains(&units)
            || (limit - 3..=*limit).contains(&base.len())
    })
}

/// `name(12)` as `name` and 12.
fn numbered(name: &str) -> Option<(&str, u32)> {
    let (rest, number) = name.strip_suffix(')')?.rsplit_once('(')?;
    let is_number = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok()).flatten()?;
    (!rest.is_empty()).then_some((rest, number))
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn without_json(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(".json".len())?;
    let (rest, ending) = name.split_at_checked(at)?;
    (ending.eq_ignore_ascii_case(".json") && !rest.is_empty()).then_some(rest)
}

/// Google's motion photos leave videos named `PXL_20230330_184138390.MP`.
fn is_video(name: &str) -> bool {
    let (_, extension) = split_extension(name);
    let bare = extension.is_empty()
        || ["mp", "mv"].iter().any(|one| extension.get(1..).is_some_and(|it| it.eq_ignore_ascii_case(one)));
    bare || classify(name.as_ref(), &[]).media().is_some_and(|media| media.kind == MediaKind::Video)
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
