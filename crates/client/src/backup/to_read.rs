//! Files that must be read, in little memory: a folder once, and of each file its name and one byte more. A folder may have hundreds of
//! thousands that are new.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use darkslide_media::file_type::MediaKind;

use super::plan::{Decision, Step, Why, is_of_unit, kin_of};
use crate::library::path_of;

/// Files that are identified in one go, when a folder has more.
const AT_ONCE: usize = 4096;

/// The same, in a folder without videos, which has no Live Photos. Few: small files stay in memory from here on.
const AT_ONCE_WITHOUT_VIDEOS: usize = 32;

/// What must be read below one root.
#[derive(Debug, Default)]
pub(super) struct FilesToRead {
    folders: BTreeMap<PathBuf, Names>,
    files: u64,
    bytes: u64,
}

/// Files of one folder that are identified together, so that no Live Photo is parted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Under the root, in order; a video that is known to belong to a still right behind it, whatever it is called.
    pub(super) paths: Vec<PathBuf>,
    /// Those of them whose places held something else before, or half of it.
    pub(super) changed: HashSet<PathBuf>,
}

impl FilesToRead {
    /// Adds what a step reads.
    pub(super) fn add(&mut self, step: &Step) {
        self.files += 1;
        self.bytes += step.fingerprint.size;
        let is_changed = matches!(step.decision, Decision::Read(Why::Changed | Why::Retry | Why::Companion));
        // Halves lie in one folder.
        let folder = step.path.parent().unwrap_or(Path::new(""));
        let name_of = |path: &'_ Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        let (name, video) = (name_of(&step.path), step.motion.as_ref().map(|(video, _)| name_of(video)));
        let names = match self.folders.get_mut(folder) {
            Some(names) => names,
            None => self.folders.entry(folder.to_owned()).or_default(),
        };
        names.push(&name, video.as_deref(), is_changed);
    }

    /// How many assets, a Live Photo that is known as one counting once, and the bytes of their main files.
    pub(super) fn total(&self) -> (u64, u64) {
        (self.files, self.bytes)
    }

    /// Folder by folder.
    pub(super) fn groups(self) -> impl Iterator<Item = Group> {
        self.folders.into_iter().flat_map(|(folder, names)| names.groups(folder, AT_ONCE))
    }
}

/// Before the name of a file whose place held something else before, or half of it.
const CHANGED: u8 = b'*';

/// Before any other.
const NEW: u8 = b'+';

/// Behind a still's name and before its video's, where they are known to be one. It is in no name.
const AND_VIDEO: u8 = b'/';

/// Names of files of one folder, stills with their videos: each behind a byte that says whether it is changed, and before a zero, which is in
/// no name.
#[derive(Debug, Default)]
struct Names(Vec<u8>);

impl Names {
    fn push(&mut self, name: &[u8], video: Option<&[u8]>, is_changed: bool) {
        self.0.push(if is_changed { CHANGED } else { NEW });
        self.0.extend_from_slice(name);
        if let Some(video) = video {
            self.0.push(AND_VIDEO);
            self.0.extend_from_slice(video);
        }
        self.0.push(0);
    }

    fn groups(self, folder: PathBuf, at_once: usize) -> impl Iterator<Item = Group> {
        let entries = in_order(&self.0);
        let Self(bytes) = self;
        let has_videos = entries.iter().any(|(_, place)| match halves(&bytes, place) {
            (name, None) => kin_of(&path_of(name)).is_some_and(|kin| kin.kind == MediaKind::Video),
            (_, Some(_)) => true,
        });
        let mut entries = entries.into_iter().peekable();
        std::iter::from_fn(move || {
            let mut group = Group::default();
            // Where the newest unit begins.
            let mut unit = 0;
            while let Some((is_changed, place)) = entries.peek() {
                let (name, video) = halves(&bytes, place);
                let path = folder.join(path_of(name));
                let is_another = group.paths.get(unit).is_some_and(|first| !is_of_unit(first, &path));
                if is_full(group.paths.len(), is_another, has_videos, at_once) {
                    break;
                }
                if is_another {
                    unit = group.paths.len();
                }
                if *is_changed {
                    group.changed.insert(path.clone());
                }
                group.paths.push(path);
                group.paths.extend(video.map(|video| folder.join(path_of(video))));
                entries.next();
            }
            (!group.paths.is_empty()).then_some(group)
        })
    }
}

/// Which names are changed, and where they are: in order, each once. A name that was given by itself is no video of another.
fn in_order(bytes: &[u8]) -> Vec<(bool, Range<usize>)> {
    let mut entries = places(bytes);
    let name = |(_, place): &(bool, Range<usize>)| halves(bytes, place).0;
    let video = |(_, place): &(bool, Range<usize>)| halves(bytes, place).1;
    entries.sort_by(|one, other| name(one).cmp(name(other)));
    entries.dedup_by(|later, earlier| {
        let is_same = name(later) == name(earlier);
        earlier.0 |= is_same && later.0;
        if is_same && video(earlier).is_none() {
            earlier.1 = later.1.clone();
        }
        is_same
    });
    if entries.iter().any(|entry| video(entry).is_some()) {
        let mut taken: HashSet<&[u8]> = entries.iter().map(name).collect();
        for entry in &mut entries {
            if video(entry).is_some_and(|video| !taken.insert(video)) {
                entry.1.end = entry.1.start + name(entry).len();
            }
        }
    }
    entries
}

fn places(bytes: &[u8]) -> Vec<(bool, Range<usize>)> {
    let mut from = 0;
    let entries = bytes.split_inclusive(|byte| *byte == 0);
    let place = |entry: &[u8]| {
        let place = from + 1..from + entry.len() - 1;
        from += entry.len();
        (entry.first() == Some(&CHANGED), place)
    };
    entries.map(place).collect()
}

/// The name at this place, and its video's.
fn halves<'b>(bytes: &'b [u8], place: &Range<usize>) -> (&'b [u8], Option<&'b [u8]>) {
    let mut halves = bytes.get(place.clone()).unwrap_or_default().splitn(2, |byte| *byte == AND_VIDEO);
    (halves.next().unwrap_or_default(), halves.next())
}

/// Whether a file begins another group. What may belong to the last one never does.
fn is_full(files: usize, is_another: bool, has_videos: bool, at_once: usize) -> bool {
    if has_videos { files >= at_once && is_another } else { files >= AT_ONCE_WITHOUT_VIDEOS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fingerprint;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn step(path: &str, why: Why) -> Step {
        let fingerprint = Fingerprint { size: 5, modified_ns: 1, inode: 1 };
        Step { path: path.into(), fingerprint, motion: None, decision: Decision::Read(why) }
    }

    #[test]
    fn what_is_read_comes_folder_by_folder_and_says_what_is_changed() {
        let mut to_read = FilesToRead::default();
        let motion = Some((PathBuf::from("a/1.mov"), step("", Why::New).fingerprint));
        for step in [
            step("c.jpg", Why::New),
            Step { motion: motion.clone(), ..step("a/1.jpg", Why::Retry) },
            step("a/b/2.jpg", Why::New),
            Step { motion, ..step("a/1.heic", Why::Companion) },
            step("b.jpg", Why::Changed),
        ] {
            to_read.add(&step);
        }
        assert_eq!(to_read.total(), (5, 25));
        let groups: Vec<_> = to_read.groups().collect();
        let expected = [
            (vec!["b.jpg", "c.jpg"], vec!["b.jpg"]),
            (vec!["a/1.heic", "a/1.mov", "a/1.jpg"], vec!["a/1.heic", "a/1.jpg"]),
            (vec!["a/b/2.jpg"], vec![]),
        ];
        let paths = |names: Vec<&str>| names.into_iter().map(PathBuf::from).collect::<Vec<_>>();
        let group = |(all, changed): (Vec<&str>, Vec<&str>)| Group {
            paths: paths(all),
            changed: paths(changed).into_iter().collect(),
        };
        assert_eq!(groups, expected.map(group));
    }

    #[cfg(unix)]
    #[test]
    fn names_may_be_any_bytes() {
        let mut names = Names::default();
        for (name, is_changed) in [(&b"*"[..], false), (b"+\xff\x01.jpg", true), (b"*", true)] {
            names.push(name, None, is_changed);
        }
        let groups: Vec<_> = names.groups(PathBuf::new(), AT_ONCE).collect();
        let [group] = groups.as_slice() else { panic!("one group") };
        assert_eq!(group.paths, [path_of(b"*"), path_of(b"+\xff\x01.jpg")]);
        assert_eq!(group.changed.len(), 2);
    }

    #[test]
    fn where_there_are_no_videos_few_go_at_once() {
        let sizes = |count: usize, kind: &str| {
            let mut names = Names::default();
            (0..count).for_each(|number| names.push(format!("{number:02}.{kind}").as_bytes(), None, false));
            names.groups(PathBuf::new(), 40).map(|group| group.paths.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(50, "jpg"), [AT_ONCE_WITHOUT_VIDEOS, 18]);
        assert_eq!(sizes(50, "mov"), [40, 10]);
    }

    /// Halves of different names became two files where many were read at once.
    #[test]
    fn a_known_pair_is_not_parted_whatever_it_is_called() {
        let mut names = Names::default();
        names.push(b"5.jpg", None, true);
        names.push(b"z.mov", Some(b"zz.mov"), true);
        names.push(b"3.jpg", Some(b"z.mov"), true);
        names.push(b"4.jpg", None, false);
        names.push(b"3.jpg.xmp", None, false);
        names.push(b"6.heic", None, true);
        names.push(b"6.heic", Some(b"5.mov"), false);
        names.push(b"8.heic", Some(b"x"), false);
        names.push(b"7.heic", Some(b"x"), false);
        let groups: Vec<_> = names.groups(PathBuf::new(), 1).collect();
        let text = |paths: Vec<&PathBuf>| {
            paths.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let paths: Vec<_> = groups.iter().map(|group| text(group.paths.iter().collect())).collect();
        let expected =
            ["3.jpg 3.jpg.xmp", "4.jpg", "5.jpg", "6.heic 5.mov", "7.heic x", "8.heic", "z.mov zz.mov"];
        assert_eq!(paths, expected);
        let changed: BTreeSet<_> = groups.iter().flat_map(|group| &group.changed).collect();
        assert_eq!(text(changed.into_iter().collect()), "3.jpg 5.jpg 6.heic z.mov");
    }

    proptest! {
        /// Every file once and in order; a group ends where it is full, and never between what may be two halves.
        #[test]
        fn no_live_photo_is_parted(
            files in prop::collection::btree_map(0_u32..200, prop::sample::subsequence(vec!["heic", "heic.xmp", "mov"], 1..=3), 0..120),
            at_once in 1_usize..9,
        ) {
            let mut names = Names::default();
            let all: Vec<String> =
                files.iter().flat_map(|(stem, kinds)| kinds.iter().map(move |kind| format!("{stem:03}.{kind}"))).collect();
            for name in all.iter().rev() {
                names.push(name.as_bytes(), None, false);
            }
            let has_videos = all.iter().any(|name| name.ends_with("mov"));
            let groups: Vec<_> = names.groups("f".into(), at_once).map(|group| group.paths).collect();
            let expected: Vec<_> = all.iter().map(|name| Path::new("f").join(name)).collect();
            prop_assert_eq!(groups.concat(), expected);
            let most = if has_videos { at_once } else { AT_ONCE_WITHOUT_VIDEOS };
            for (number, group) in groups.iter().enumerate() {
                prop_assert!(group.len() <= most + 2 * usize::from(has_videos));
                let next = groups.get(number + 1).and_then(|next| next.first());
                prop_assert!(next.is_none() || group.len() >= most);
                let stem = |path: &PathBuf| path.to_str().unwrap().split('.').next().unwrap().to_owned();
                let still = |path: &PathBuf| Path::new("f").join(stem(path).trim_start_matches("f/")).with_extension("heic");
                prop_assert!(!has_videos || next.is_none_or(|next| !group.contains(&still(next))));
            }
        }
    }
}
