//! Brackets with letters beyond ASCII in a pattern. The library that reads patterns takes the bytes of such letters for letters of their own, so it
//! is given a sign in their place, and what they stand for is put into the expression that it makes.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use darkslide_media::names::comparison_key;

/// The first of the signs: of a plane that is nobody's.
const FIRST_SIGN: u32 = 0x10_0000;

/// Characters that a range may have.
const RANGE_MAX: u32 = 0x1_0000;

/// What stands in place of the brackets of one pattern.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// What each sign stands for, as an expression.
    expressions: Vec<String>,
}

impl Classes {
    /// Takes the brackets out of a pattern; those of ASCII alone stay in it.
    pub(super) fn take_out(&mut self, pattern: &str) -> Result<String, &'static str> {
        let mut left = String::with_capacity(pattern.len());
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' if cfg!(not(windows)) => {
                    left.push(character);
                    left.extend(characters.next());
                }
                '[' => {
                    let rest = characters.as_str();
                    let Some(end) = end_of(rest) else {
                        left.push('[');
                        continue;
                    };
                    let (inside, after) = rest.split_at(end);
                    if inside.is_ascii() {
                        left.push('[');
                        left.push_str(inside);
                    } else {
                        left.push(self.sign()?);
                        self.expressions.push(expression_of(inside)?);
                        characters = after.chars();
                        let _bracket = characters.next();
                        continue;
                    }
                    characters = after.chars();
                }
                _ => left.push(character),
            }
        }
        if !self.expressions.is_empty() && pattern.chars().any(|character| u32::from(character) >= FIRST_SIGN)
        {
            return Err("it has a character that is in no file's name");
        }
        Ok(left)
    }

    /// The next sign.
    fn sign(&self) -> Result<char, &'static str> {
        let number = u32::try_from(self.expressions.len()).ok();
        number.and_then(|number| char::from_u32(FIRST_SIGN + number)).ok_or("it has too many brackets")
    }

    /// Puts them into the expression of the pattern.
    pub(super) fn put_into(&self, mut expression: String) -> String {
        for (number, class) in (FIRST_SIGN..).zip(&self.expressions) {
            let sign = char::from_u32(number).map(String::from).unwrap_or_default();
            let written: Vec<String> = sign.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            expression = expression.replace(&written.concat(), class);
        }
        expression
    }
}

/// Where brackets end that have just begun. A bracket that comes first in them is one of their characters.
fn end_of(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix(['!', '^']).unwrap_or(rest);
    let begin = rest.len() - inside.len();
    let first = usize::from(inside.starts_with(']'));
    inside.get(first..)?.find(']').map(|end| begin + first + end)
}

/// An expression for what lies between brackets, in the spelling that names are compared in.
fn expression_of(inside: &str) -> Result<String, &'static str> {
    if inside.contains("[:") {
        return Err("a named class cannot stand beside letters beyond ASCII");
    }
    let members = inside.strip_prefix(['!', '^']).unwrap_or(inside);
    let is_negated = members.len() < inside.len();
    let (mut single, mut several) = (BTreeSet::new(), BTreeSet::new());
    let mut take = |member: &str| {
        let key = comparison_key(member);
        let mut characters = key.chars();
        match (characters.next(), characters.next()) {
            // It is between folders.
            (Some('/'), None) => {}
            (Some(one), None) => {
                single.insert(one);
            }
            _ => {
                several.insert(key);
            }
        }
    };
    let mut left = members.chars().peekable();
    while let Some(member) = next_of(&mut left) {
        let mut ahead = left.clone();
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some();
        if !is_range {
            take(&member);
            continue;
        }
        left = ahead;
        let last = next_of(&mut left).unwrap_or_default();
        let ends = (composed(&member).map(u32::from), composed(&last).map(u32::from));
        let (Some(low), Some(high)) = ends else { return Err("a range is from one letter to another") };
        if low > high || high - low > RANGE_MAX {
            return Err("a range has no letter, or too many");
        }
        for one in (low..=high).filter_map(char::from_u32) {
            take(one.encode_utf8(&mut [0; 4]));
        }
    }
    let mut class = String::from(if is_negated { "[^/" } else { "[" });
    class.extend(single.iter().map(|one| format!("\\x{{{:x}}}", u32::from(*one))));
    class.push(']');
    let mut ways: Vec<String> = if is_negated || !single.is_empty() { vec![class] } else { Vec::new() };
    if !is_negated {
        ways.extend(several.iter().map(|key| regex::escape(key)));
    }
    Ok(format!("(?u:{})", ways.join("|")))
}

/// The next letter, with the accents that are written after it.
fn next_of(left: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut member = String::from(left.next()?);
    while let Some(next) = left.peek().filter(|next| !next.is_ascii()) {
        let with_it = format!("{member}{next}");
        if comparison_key(&with_it).chars().count() > 1 {
            break;
        }
        member = with_it;
        left.next();
    }
    Some(member)
}

/// A letter as one character, if it is written as one, or its key is.
fn composed(member: &str) -> Option<char> {
    let mut characters = member.chars();
    if let (Some(one), None) = (characters.next(), characters.next()) {
        return Some(one);
    }
    let key = comparison_key(member);
    let mut characters = key.chars();
    characters.next().filter(|_| characters.next().is_none())
}
