//! Lists in SQL text: `$3, $4, $5` and `($3, $4), ($5, $6)`, which neither engine can bind as one value.
//!
//! Only placeholders are made here, never values: what a client sent is always bound.

use super::Engine;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};
use std::fmt::Write as _;

/// The most items that one statement lists: below SQLite's 32,766 and PostgreSQL's 65,535 values with room for columns.
pub(super) const LIST_MAX: usize = 1000;

/// `$first, …`, `count` of them. An empty list is `NULL`, which nothing equals.
pub(super) fn list(first: usize, count: usize) -> String {
    if count == 0 {
        return "NULL".to_owned();
    }
    let numbers: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    numbers.join(", ")
}

/// `($first, …), (…)`: rows of as many columns.
pub(super) fn rows(first: usize, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        write!(text, "{comma}({})", list(first + row * columns, columns)).expect("a string takes any text");
    }
    text
}

/// A statement whose text was put together from constants and placeholders. It is not kept prepared: the next has another length.
pub(super) fn statement(text: String) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(text)).persistent(false)
}

/// A [`statement`] with many placeholders, each used once and in order. SQLite looks a numbered one up among all the others, twice for
/// each, so there they lose their numbers. `prepared`: the same text comes again and again, and is kept prepared.
pub(super) fn long_statement(
    engine: Engine,
    text: String,
    prepared: bool,
) -> Query<'static, Any, AnyArguments> {
    let text = if engine == Engine::Sqlite { without_numbers(&text) } else { text };
    sqlx::query(AssertSqlSafe(text)).persistent(prepared)
}

/// `$1, $2` as `?, ?`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split('$');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        debug_assert_eq!(
            part.strip_suffix(rest),
            Some((index + 1).to_string().as_str()),
            "in order, once each"
        );
        short.push('?');
        short.push_str(rest);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(list(2, 3), "$2, $3, $4");
        assert_eq!(list(2, 0), "NULL");
        assert_eq!(rows(1, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(without_numbers("a = $1 AND b IN ($2, $3)"), "a = ? AND b IN (?, ?)");
    }
}
