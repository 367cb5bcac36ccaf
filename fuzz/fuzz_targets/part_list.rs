//! The list of parts that completes an upload, as the server reads it: any text, and lists written in the ways that clients have.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

// The file itself, and not the server's crate: with that one come a database and a web server to be built for each target.
#[path = "../../crates/server/src/routes/part_list.rs"]
mod part_list;

#[derive(Arbitrary, Debug)]
enum Input {
    Text(String),
    List { numbers: Vec<(u16, u128)>, quote: Quote, between: Between },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Quote {
    Bare,
    Plain,
    Named,
    Decimal,
    Hexadecimal,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Between {
    Nothing,
    Lines,
    OtherElements,
}

impl Quote {
    fn text(self) -> &'static str {
        match self {
            Self::Bare => "",
            Self::Plain => "\"",
            Self::Named => "&quot;",
            Self::Decimal => "&#34;",
            Self::Hexadecimal => "&#x22;",
        }
    }
}

impl Between {
    fn text(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Lines => "\n    ",
            Self::OtherElements => "<PartNumbers/><!-- Part -->",
        }
    }
}

fuzz_target!(|input: Input| match input {
    Input::Text(text) => check(&text),
    Input::List { numbers, quote, between } => check_list(&numbers, quote.text(), between.text()),
});

/// Whatever is taken for a list is one: numbers that rise, ETags without quotes around them.
fn check(text: &str) {
    let Some(parts) = part_list::parse(text) else { return };
    assert!(!parts.is_empty());
    assert!(parts.windows(2).all(|pair| pair[0].0 < pair[1].0), "{parts:?}");
    assert!(parts.iter().all(|(_, etag)| !etag.contains('"') && etag.trim() == etag), "{parts:?}");
}

/// A list is read as it was written, but for its order; unless it names a part twice, or none at all.
fn check_list(numbers: &[(u16, u128)], quote: &str, between: &str) {
    let part = |(number, etag): &(u16, u128)| {
        format!(
            "<Part>{between}<PartNumber>{number}</PartNumber>{between}<ETag>{quote}{etag:032X}{quote}</ETag></Part>{between}"
        )
    };
    let text: String = numbers.iter().map(part).collect();
    let mut meant: Vec<(u32, String)> =
        numbers.iter().map(|(number, etag)| (u32::from(*number), format!("{etag:032x}"))).collect();
    meant.sort();
    let distinct = meant.windows(2).all(|pair| pair[0].0 != pair[1].0);
    let expected = (distinct && !meant.is_empty()).then_some(meant);
    assert_eq!(part_list::parse(&format!("<CompleteMultipartUpload>{between}{text}</CompleteMultipartUpload>")), expected);
}
