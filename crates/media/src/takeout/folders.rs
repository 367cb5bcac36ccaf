//! Which folders of an export are years and which are albums, by their names.
//!
//! Every picture lies in the folder of its year, and once more in the folder of every album that it is in. Both kinds of
//! folder have a `metadata.json`, so that only the name, in the language of the account, tells them apart.

/// The whole name, in lower case, with `#` for the year. Most languages have changed their mind at least once.
const NAMES: [&str; 50] = [
    "photos from #",
    "fotos von #",
    "fotos aus #",
    "photos de #",
    "photos du #",
    "fotos de #",
    "fotos del #",
    "fotos do #",
    "fotos des de #",
    "foto da #",
    "foto dal #",
    "foto del #",
    "foto's uit #",
    "foto's van #",
    "foton från #",
    "bilder från #",
    "bilder fra #",
    "billeder fra #",
    "kuvat vuodelta #",
    "kuvia vuodelta #",
    "zdjęcia z #",
    "fotky z roku #",
    "fotky z #",
    "fotografii din #",
    "fotografie din #",
    "fotografije iz #",
    "φωτογραφίες από το #",
    "фото за #",
    "фото за # г",
    "фото за # год",
    "фотографии за #",
    "фотографии за # г",
    "фотографии за # год",
    "світлини за #",
    "foto dari #",
    "ảnh từ #",
    "תמונות משנת #",
    "fényképek innen: #",
    "# fotói",
    "#-es fotók",
    "#-as fotók",
    "#-ben készült fotók",
    "# yılındaki fotoğraflar",
    "# yılından fotoğraflar",
    "# tarihli fotoğraflar",
    "#年の写真",
    "#年的照片",
    "#年的相片",
    "#년의 사진",
    "#년 사진",
];

/// Whether a folder of this name holds the pictures of one year rather than an album.
pub fn is_year(name: &str) -> bool {
    pattern(name).is_some_and(|pattern| NAMES.iter().any(|known| without_blanks(known) == pattern))
}

/// A name with `#` for the year, in lower case; without blanks, which some exports put around the year and some do not, without a full stop at the end,
/// and without marks of the direction of writing. None where it does not have exactly one number, of four digits.
fn pattern(name: &str) -> Option<String> {
    let name = name.to_lowercase().replace('’', "'");
    let begin = name.find(|letter: char| letter.is_ascii_digit())?;
    let (before, rest) = name.split_at(begin);
    let behind = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let is_year = rest.len() - behind.len() == 4 && !behind.contains(|letter: char| letter.is_ascii_digit());
    let pattern = || without_blanks(&format!("{before}#{behind}"));
    is_year.then(pattern).map(|pattern| pattern.trim_end_matches('.').to_owned())
}

fn without_blanks(text: &str) -> String {
    let is_mark = |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
    text.chars().filter(|letter| !letter.is_whitespace() && !is_mark(*letter)).collect()
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
            ("Φωτογραφίες από το 2019", true),
            ("Fotografije iz 2019.", true),
            ("2019 fotói", true),
            ("Fényképek innen: 2019", true),
            ("2019-es fotók", true),
            ("2019 tarihli fotoğraflar", true),
            ("תמונות משנת 2019", true),
            ("\u{200f}תמונות משנת 2019\u{200f}", true),
            ("Фото за 2019 год", true),
            ("Фото за 2019", true),
            ("Фотографии за 2019 г.", true),
            ("2019", false),
            ("Trip 2019", false),
            ("Photos from 19", false),
            ("Photos from 20199", false),
            ("Photos from Paris", false),
            ("Photos from 2019 2020", false),
            ("Photos from Paris 2019", false),
            ("Photos 2019", false),
            ("Фото 2019", false),
            ("Φωτογραφίες 2019", false),
            ("2019 fotók", false),
            ("Photos from", false),
            ("", false),
            ("年", false),
        ] {
            assert_eq!(is_year(name), expected, "{name}");
        }
    }
}
