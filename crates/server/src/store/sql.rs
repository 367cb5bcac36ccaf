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

/// Rows that one statement writes: enough that passing it on no longer counts, and as many as a full batch of our client has files.
pub(super) const ROWS_AT_ONCE: usize = 128;

/// `$first, …`, `count` of them. An empty list is `NULL`, which nothing equals.
pub(super) fn list(first: usize, count: usize) -> String {
    if count == 0 {
        return "NULL".to_owned();
    }
    let mut text = String::with_capacity(count * 6);
    append_list(&mut text, first, count);
    text
}

fn append_list(text: &mut String, first: usize, count: usize) {
    for number in first..first + count {
        let comma = if number == first { "" } else { ", " };
        write!(text, "{comma}${number}").expect("a string takes any text");
    }
}

/// A list as long as the next power of two, or as a list may be: its last item comes again and again, which changes nothing to what is
/// in the list. So there are few lengths, and a statement with such a list can be kept prepared.
pub(super) fn padded<T>(items: &[T]) -> impl Iterator<Item = &T> {
    let length = items.len().next_power_of_two().min(LIST_MAX.max(items.len()));
    let more = if items.is_empty() { 0 } else { length - items.len() };
    items.iter().chain(std::iter::repeat_n(items.last(), more).flatten())
}

/// `$first, …`, one for each item of a [padded] list.
pub(super) fn padded_list<T>(first: usize, items: &[T]) -> String {
    list(first, padded(items).count())
}

/// `($first, …), (…)`: rows of as many columns.
pub(super) fn rows(first: usize, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        append_list(&mut text, first + row * columns, columns);
        text.push(')');
    }
    text
}

/// A statement whose text was put together from constants and placeholders. It is not kept prepared: the next has another length.
pub(super) fn statement(text: String) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(text)).persistent(false)
}

/// A [`statement`] whose lists are [padded]: there are few of it, which are kept prepared.
pub(super) fn padded_statement(text: String) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(text)).persistent(true)
}

/// Ends a statement that selects objects' rows, so that they stay as they are until the transaction ends: locked in the order of their keys,
/// so that of two who want the same ones neither waits for what the other has while that one waits too. On SQLite only one writes, and
/// there is nothing to lock.
pub(super) fn lock_in_order(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "",
        // The order of bytes, in which they are cut into lists; the database may have another for words.
        Engine::Postgres => " ORDER BY key COLLATE \"C\" FOR NO KEY UPDATE",
    }
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
    fn a_padded_list_has_what_was_in_it() {
        let lengths = |count: usize| padded(&(0..count).collect::<Vec<_>>()).count();
        assert_eq!(
            [0, 1, 2, 3, 5, 128, 600, LIST_MAX].map(lengths),
            [0, 1, 2, 4, 8, 128, LIST_MAX, LIST_MAX]
        );
        assert_eq!(padded(&[7, 8, 9]).copied().collect::<Vec<_>>(), [7, 8, 9, 9]);
    }

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(list(2, 3), "$2, $3, $4");
        assert_eq!(list(2, 0), "NULL");
        assert_eq!(rows(1, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(without_numbers("a = $1 AND b IN ($2, $3)"), "a = ? AND b IN (?, ?)");
    }
}
