//! Which folders of an export are years and which are albums, by their names.
//!
//! Every picture lies in the folder of its year, and once more in the folder of every album that it is in. Both kinds of
//! folder have a `metadata.json`, so that only the name, in the language of the account, tells them apart.

/// What stands before the year, in lower case. Most languages have changed their mind at least once.
const BEFORE_THE_YEAR: [&str; 30] = [
    "photos from",
    "fotos von",
    "fotos aus",
    "photos de",
    "photos du",
    "fotos de",
    "fotos del",
    "fotos do",
    "fotos des de",
    "foto da",
    "foto dal",
    "foto del",
    "foto's uit",
    "foto's van",
    "foton från",
    "bilder från",
    "bilder fra",
    "billeder fra",
    "kuvat vuodelta",
    "kuvia vuodelta",
    "zdjęcia z",
    "fotky z roku",
    "fotky z",
    "fotografii din",
    "fotografie din",
    "фото за",
    "фотографии за",
    "світлини за",
    "foto dari",
    "ảnh từ",
];

/// What stands behind the year, in lower case, without blanks in front.
const BEHIND_THE_YEAR: [&str; 10] = [
    "yılındaki fotoğraflar",
    "yılından fotoğraflar",
    "年の写真",
    "年的照片",
    "年的相片",
    "년의 사진",
    "년 사진",
    "-es fotók",
    "-as fotók",
    "-ben készült fotók",
];

/// Whether a folder of this name holds the pictures of one year rather than an album.
pub fn is_year(name: &str) -> bool {
    let name = name.trim().to_lowercase().replace('’', "'");
    let before = || {
        let (words, year) = name.rsplit_once(' ')?;
        (is_number(year) && BEFORE_THE_YEAR.contains(&words.trim_end())).then_some(())
    };
    let behind = || {
        let (year, words) = name.split_at_checked(4)?;
        (is_number(year) && BEHIND_THE_YEAR.contains(&words.trim_start())).then_some(())
    };
    before().or_else(behind).is_some()
}

fn is_number(year: &str) -> bool {
    year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_and_albums() {
        for (name, expected) in [
            ("Photos from 2019", true),
            ("photos from 1955", true),
            ("Fotos von 2019", true),
            ("Photos de 2023", true),
            ("Foto's uit 2019", true),
            ("Foto’s uit 2019", true),
            ("Zdjęcia z 2020", true),
            ("2019 yılındaki fotoğraflar", true),
            ("2019年の写真", true),
            ("2019 年的照片", true),
            ("2019년의 사진", true),
            ("2019", false),
            ("Trip 2019", false),
            ("Photos from 19", false),
            ("Photos from 20199", false),
            ("Photos from Paris", false),
            ("Photos from", false),
            ("", false),
            ("年", false),
        ] {
            assert_eq!(is_year(name), expected, "{name}");
        }
    }
}
