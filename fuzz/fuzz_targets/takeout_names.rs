//! Names of the files of one folder of a Takeout export: any, and such as are made to look alike.
#![no_main]

use arbitrary::Arbitrary;
use darkslide_media::takeout::folders::is_year;
use darkslide_media::takeout::names::{Kinship, assign, before_edit};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    media: Vec<&'a str>,
    sidecars: Vec<&'a str>,
    /// Titles whose names are added to both, clipped and numbered.
    titles: Vec<(&'a str, u8, bool)>,
}

fuzz_target!(|input: Input<'_>| {
    let mut media: Vec<String> = input.media.iter().map(|name| (*name).to_owned()).collect();
    let mut sidecars: Vec<String> = input.sidecars.iter().map(|name| format!("{name}.json")).collect();
    for (title, number, is_new) in input.titles {
        let clip = |text: &str, limit: usize| text.chars().take(limit).collect::<String>();
        let number = if number == 0 { String::new() } else { format!("({number})") };
        media.push(format!("{}{number}.jpg", clip(title, 43)));
        let supplement = if is_new { ".supplemental-metadata" } else { "" };
        sidecars.push(format!("{}{number}.json", clip(&format!("{title}.jpg{supplement}"), 46)));
    }
    let (media, sidecars): (Vec<&str>, Vec<&str>) =
        (media.iter().map(String::as_str).collect(), sidecars.iter().map(String::as_str).collect());
    let matches = assign(&media, &sidecars);
    assert_eq!(matches.len(), media.len());
    // A sidecar is the own one of one picture at most.
    let mut owned = HashSet::new();
    for found in matches.into_iter().flatten() {
        assert!(found.sidecar < sidecars.len());
        assert!(found.kinship != Kinship::Own || owned.insert(found.sidecar));
    }
    for name in media {
        is_year(name);
        assert!(before_edit(name).is_none_or(|before| before != name && !before.is_empty()));
    }
});
