//! Every mangling that is known, as a table; and a model of Google's mangling, whose names must all find back.

use super::*;
use proptest::prelude::*;

/// Asserts which sidecar a picture gets, by name.
fn check(media: &[&str], sidecars: &[&str], expected: &[(&str, Option<(&str, Kinship)>)]) {
    let matches = assign(media, sidecars);
    let named: Vec<_> = media
        .iter()
        .zip(&matches)
        .map(|(name, found)| (*name, found.map(|found| (sidecars[found.sidecar], found.kinship))))
        .collect();
    assert_eq!(named, expected);
}

/// One picture, one sidecar, and that it is its own.
fn own(media: &str, sidecar: &str) {
    check(&[media], &[sidecar], &[(media, Some((sidecar, Kinship::Own)))]);
}

fn none(media: &str, sidecar: &str) {
    check(&[media], &[sidecar], &[(media, None)]);
}

#[test]
fn whole_names() {
    own("IMG_1000.jpg", "IMG_1000.jpg.json");
    own("IMG_1000.jpg", "IMG_1000.jpg.JSON");
    own("IMG_2000.jpg", "IMG_2000.jpg.supplemental-metadata.json");
    own("cafe\u{301}.jpg", "café.jpg.json");
    own("no_extension", "no_extension.json");
    own("a.b.c.jpg", "a.b.c.jpg.json");
    own("IMG(1).jpg", "IMG(1).jpg.json");
    own("IMG(1).jpg", "IMG(1).jpg.supplemental-metadata.json");
    none("IMG_1000.jpg", "IMG_1001.jpg.json");
    none("IMG_1000.jpg", "IMG_1000.jpg.txt");
    none("IMG_1000.jpg", ".json");
}

#[test]
fn every_clipped_supplement() {
    for kept in 0..=SUPPLEMENT.len() {
        own(
            "IMG_20250101_123456789_HDR~2.jpg",
            &format!("IMG_20250101_123456789_HDR~2.jpg{}.json", &SUPPLEMENT[..kept]),
        );
        own("IMG_3480(2).JPG", &format!("IMG_3480.JPG{}(2).json", &SUPPLEMENT[..kept]));
    }
    none("a.jpg", "a.jpg.supplemental-metadatas.json");
}

#[test]
fn namesakes() {
    check(
        &["IMG_3479.JPG", "IMG_3479(1).JPG", "IMG_3479(2).JPG"],
        &["IMG_3479.JPG(1).json", "IMG_3479.JPG.json"],
        &[
            ("IMG_3479.JPG", Some(("IMG_3479.JPG.json", Kinship::Own))),
            ("IMG_3479(1).JPG", Some(("IMG_3479.JPG(1).json", Kinship::Own))),
            ("IMG_3479(2).JPG", None),
        ],
    );
    none("IMG_3480(1).JPG", "IMG_3480.JPG.supplemental-metadata.json");
    none("IMG_3480.JPG", "IMG_3480.JPG.supplemental-metadata(1).json");
    // Of two readings none is better.
    check(&["a(1).jpg"], &["a(1).jpg.json", "a.jpg(1).json"], &[("a(1).jpg", None)]);
}

#[test]
fn clipped_names() {
    own(
        "PXL_20231006_063000139.PORTRAIT-01.COVER-a-.jpg",
        "PXL_20231006_063000139.PORTRAIT-01.COVER-a-lon.json",
    );
    own(
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P.jpg",
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.json",
    );
    own(
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P(1).jpg",
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_(1).json",
    );
    own(
        "Screenshot_20190919-053857_Camera_Translator.jpg",
        "Screenshot_20190919-053857_Camera_Translator.j.json",
    );
    // Forty-six characters of title, and a number that counts.
    own(
        "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG(1).jpg",
        "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG(1).json",
    );
    // Two titles with one beginning.
    let same = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ";
    let (first, second, clipped) = (format!("{same}K.jpg"), format!("{same}L.jpg"), format!("{same}.json"));
    check(&[&first, &second], &[&clipped], &[(&first, None), (&second, None)]);
    // A short name is the beginning of nothing.
    none("PXL.jpg", "PXL_20231006_063000139.PORTRAIT-01.COVER-a-lon.json");
}

#[test]
fn edited_copies() {
    let sidecar = ["PXL_1.jpg.json"];
    for mark in EDITED {
        let name = format!("PXL_1{mark}.jpg");
        check(&[&name], &sidecar, &[(&name, Some(("PXL_1.jpg.json", Kinship::Edited)))]);
    }
    check(
        &["IMG.jpg", "IMG(1).jpg", "IMG-edited(1).jpg", "IMG(1)-edited.jpg", "IMG-EDITED.jpg"],
        &["IMG.jpg.supplemental-metadata(1).json", "IMG.jpg.supplemental-metadata.json"],
        &[
            ("IMG.jpg", Some(("IMG.jpg.supplemental-metadata.json", Kinship::Own))),
            ("IMG(1).jpg", Some(("IMG.jpg.supplemental-metadata(1).json", Kinship::Own))),
            ("IMG-edited(1).jpg", Some(("IMG.jpg.supplemental-metadata(1).json", Kinship::Edited))),
            ("IMG(1)-edited.jpg", Some(("IMG.jpg.supplemental-metadata(1).json", Kinship::Edited))),
            ("IMG-EDITED.jpg", Some(("IMG.jpg.supplemental-metadata.json", Kinship::Edited))),
        ],
    );
    // The edit of a HEIC is a JPEG; a clipped mark is one only where names are clipped.
    check(
        &["IMG_1-edited.jpg"],
        &["IMG_1.HEIC.json"],
        &[("IMG_1-edited.jpg", Some(("IMG_1.HEIC.json", Kinship::Edited)))],
    );
    let clipped = "PXL_20230405_090123740.NIGHT.LONGER-nam-edi.jpg";
    let whole = "PXL_20230405_090123740.NIGHT.LONGER-nam.jpg.su.json";
    check(&[clipped], &[whole], &[(clipped, Some((whole, Kinship::Edited)))]);
    none("PXL_1-ed.jpg", "PXL_1.jpg.json");
    // One that was named so before has a sidecar of its own.
    own("PXL_1-edited.jpg", "PXL_1-edited.jpg.json");
    assert_eq!(before_edit("-edited.jpg"), None);
}

#[test]
fn other_extensions() {
    let companion = |video: &str, still: &str| {
        check(&[video], &[still], &[(video, Some((still, Kinship::Companion)))]);
    };
    companion("IMG_0500.MP4", "IMG_0500.HEIC.supplemental-metadata.json");
    companion("IMG_0500.MOV", "IMG_0500.JPG.json");
    companion("IMG_0500(1).MOV", "IMG_0500.JPG(1).json");
    companion("PXL_20230330_184138390.MP", "PXL_20230330_184138390.MP.jpg.json");
    own("IMG_0500.JPG", "IMG_0500.HEIC.json");
    check(
        &["IMG_1.HEIC", "IMG_1.JPG", "IMG_1.MP4"],
        &["IMG_1.HEIC.json"],
        &[
            ("IMG_1.HEIC", Some(("IMG_1.HEIC.json", Kinship::Own))),
            ("IMG_1.JPG", None),
            ("IMG_1.MP4", Some(("IMG_1.HEIC.json", Kinship::Companion))),
        ],
    );
}

/// Once, no picture had these.
#[test]
fn titles_without_an_extension() {
    own("Untitled.jpg", "Untitled.json");
    own("Untitled.mp4", "Untitled.json");
    own("noext2.jpg", "noext2.supplemental-metadata.json");
    own("noext2.jpg", "noext2.suppl.json");
    own("noext2(1).jpg", "noext2.supplemental-metadata(1).json");
    none("noext2(1).jpg", "noext2.supplemental-metadata.json");
    none("Untitled.jpg", "untitled.json");
    // Whole names come first.
    check(
        &["a.jpg", "a.png"],
        &["a.json", "a.jpg.json"],
        &[("a.jpg", Some(("a.jpg.json", Kinship::Own))), ("a.png", Some(("a.json", Kinship::Own)))],
    );
    // Nothing says whose it is.
    check(&["a.jpg", "a.png"], &["a.json"], &[("a.jpg", None), ("a.png", None)]);
    check(
        &["a.jpg", "a-edited.jpg"],
        &["a.json"],
        &[("a.jpg", Some(("a.json", Kinship::Own))), ("a-edited.jpg", Some(("a.json", Kinship::Edited)))],
    );
}

/// Once, a name was taken for a clipped one only where the last character just fitted.
#[test]
fn clipped_before_a_character_that_did_not_fit() {
    // Of forty-three and forty-six UTF-16 units, towers that take two of them.
    own(&format!("{}.jpg", "🗼".repeat(21)), &format!("{}.json", "🗼".repeat(23)));
    own(&format!("a{}.jpg", "🗼".repeat(21)), &format!("a{}.json", "🗼".repeat(22)));
    // Of as many bytes, letters that take two.
    own(&format!("a{}.jpg", "ф".repeat(21)), &format!("a{}.json", "ф".repeat(22)));
    own(&format!("{}.jpg", "ф".repeat(21)), &format!("{}.json", "ф".repeat(23)));
    // A name of letters of one unit is as long as it is.
    none(&format!("{}.jpg", "a".repeat(42)), &format!("{}.json", "a".repeat(46)));
}

/// What a model of the exporter makes of the titles of one folder: the names of the pictures and of their sidecars.
fn export(titles: &[String], is_new: bool, stem_alone: bool) -> Vec<(String, String)> {
    let mut used: HashMap<String, u32> = HashMap::new();
    let mut unique = |key: String| {
        let count = used.entry(key).or_default();
        *count += 1;
        *count - 1
    };
    let clip = |text: &str, limit: usize| text.chars().take(limit).collect::<String>();
    titles
        .iter()
        .map(|title| {
            let (stem, extension) = split_extension(title);
            let limit = if stem_alone { 47 } else { 47 - extension.len() };
            let stem = clip(stem, limit);
            let media = match unique(format!("{stem}{extension}")) {
                0 => format!("{stem}{extension}"),
                number => format!("{stem}({number}){extension}"),
            };
            let base = clip(&format!("{title}{}", if is_new { SUPPLEMENT } else { "" }), SIDECAR_MAX);
            let sidecar = match unique(format!("{base}.json")) {
                0 => format!("{base}.json"),
                number => format!("{base}({number}).json"),
            };
            (media, sidecar)
        })
        .collect()
}

/// Titles of which some share long beginnings, some are equal, and some are long.
fn titles() -> impl Strategy<Value = Vec<String>> {
    let extension = prop_oneof![Just("jpg"), Just("JPG"), Just("heic"), Just("mp4"), Just("png")];
    let title =
        ("[a-c]{1,2}", 0_usize..60, "[a-c]{0,3}", extension).prop_map(|(head, middle, tail, extension)| {
            format!("{head}{}{tail}.{extension}", "x".repeat(middle))
        });
    proptest::collection::vec(title, 1..12)
}

proptest! {
    #[test]
    fn a_picture_never_gets_the_sidecar_of_another(
        titles in titles(), is_new in any::<bool>(), stem_alone in any::<bool>(), rotate in 0_usize..12,
    ) {
        let pairs = export(&titles, is_new, stem_alone);
        let media: Vec<&str> = pairs.iter().map(|(media, _)| media.as_str()).collect();
        let mut sidecars: Vec<&str> = pairs.iter().map(|(_, sidecar)| sidecar.as_str()).collect();
        let by = rotate % sidecars.len();
        sidecars.rotate_left(by);
        for ((media, own), found) in pairs.iter().zip(assign(&media, &sidecars)) {
            if let Some(found) = found {
                prop_assert_eq!((media, sidecars[found.sidecar]), (media, own.as_str()));
            }
        }
    }

    #[test]
    fn a_picture_whose_beginning_is_its_own_gets_its_sidecar(
        titles in titles(), is_new in any::<bool>(), stem_alone in any::<bool>(),
    ) {
        let pairs = export(&titles, is_new, stem_alone);
        let media: Vec<&str> = pairs.iter().map(|(media, _)| media.as_str()).collect();
        let sidecars: Vec<&str> = pairs.iter().map(|(_, sidecar)| sidecar.as_str()).collect();
        let beginning = |title: &str| title.chars().take(40).collect::<String>();
        for (at, found) in assign(&media, &sidecars).into_iter().enumerate() {
            let alone = titles.iter().all(|title| *title == titles[at] || beginning(title) != beginning(&titles[at]));
            if alone {
                prop_assert_eq!(found.map(|found| found.sidecar), Some(at), "{} of {:?}", media[at], sidecars);
            }
        }
    }

    #[test]
    fn edited_copies_follow_their_original(
        stem in "[a-c]{1,38}", mark in proptest::sample::select(&EDITED[..]), is_new in any::<bool>(),
    ) {
        let pairs = export(&[format!("{stem}.jpg")], is_new, true);
        let (_, sidecar) = &pairs[0];
        let edited = format!("{stem}{mark}.jpg");
        let found = assign(&[&edited], &[sidecar])[0];
        prop_assert_eq!(found, Some(Match { sidecar: 0, kinship: Kinship::Edited }));
    }

    #[test]
    fn any_names_are_borne(media in proptest::collection::vec("\\PC{0,60}", 0..8), sidecars in proptest::collection::vec("\\PC{0,50}(\\([0-9]{1,6}\\))?\\.json", 0..8)) {
        let media: Vec<&str> = media.iter().map(String::as_str).collect();
        let sidecars: Vec<&str> = sidecars.iter().map(String::as_str).collect();
        let matches = assign(&media, &sidecars);
        prop_assert_eq!(matches.len(), media.len());
        let own: Vec<usize> = matches.iter().flatten().filter(|one| one.kinship == Kinship::Own).map(|one| one.sidecar).collect();
        let distinct: HashSet<&usize> = own.iter().collect();
        prop_assert_eq!(own.len(), distinct.len());
    }
}
