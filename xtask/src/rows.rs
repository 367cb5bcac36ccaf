//! Which tests show which behaviour that we promise: read from the tests, written into `docs/backup-rules.md`, compared by `tidy`.
//!
//! A test says it in the last line of its documentation: `/// Shows M4, E3.` What says so and is no test shows nothing: it is a fault. It changes
//! nothing but that table.

use crate::shell::root;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const PAGE: &str = "docs/backup-rules.md";
const BEGIN: &str = "<!-- rows: `cargo xtask rows` writes what follows -->\n";
const END: &str = "<!-- end of rows -->";

/// What is promised: the id, and the behaviour in a few words.
const ROWS: [(&str, &str); 26] = [
    ("M1", "new pictures go when the app is opened, and now and then in the background"),
    ("M2", "albums are selected, excluded or neither, and keep that while they are empty or away"),
    ("M3", "content that the account has is linked, not sent"),
    ("M4", "what may use metered networks and roaming is asked before every part"),
    ("M5", "server albums mirror the device's, one way; what was sent before is filed"),
    ("M6", "only while charging, a delay after capture, battery optimisation is told"),
    ("M7", "every background grant is used, and may end at any moment"),
    ("M8", "originals in a cloud library are fetched once, into a bounded cache"),
    ("E2", "an edit is a new version; the earlier one is kept"),
    ("E3", "the original bytes come back, with their dates and names"),
    ("E4", "interrupted anywhere, it goes on from what was acknowledged"),
    ("E5", "watch folders: one way, headless, edits and renames included"),
    ("E6", "thirty seconds of a push are used; a force-kill is told"),
    ("E7", "a locked private space and battery optimisation are told"),
    ("E8", "both halves of a Live Photo are one unit, and a late half completes it"),
    ("E9", "deleting on the device deletes nothing; deleting in the vault is remembered"),
    ("E10", "the same content is stored once"),
    ("E11", "only what the server has just proved to hold may be freed"),
    ("E12", "every picture has one explanation"),
    ("S1", "a picture that appears in a sync folder is sent"),
    ("S2", "a picture that is deleted in it goes to the vault's trash"),
    (
        "S3",
        "a picture that is trashed in the vault goes from the folder into a local trash, and so from the phone",
    ),
    ("S4", "any synchroniser may be on the other side of the folder"),
    ("S5", "rights to read and to remove are tried at the start, and what mends them is told"),
    ("S6", "rename, copy, missing disk, half a file, deletions apart, lost state: nothing is lost"),
    (
        "X6",
        "a breaker for mass deletions, a marker, conditional deletions, reconciliation that a model has tried",
    ),
];

/// Writes the table.
pub(crate) fn write(files: &[String]) -> Result<()> {
    let path = root().join(PAGE);
    let page = std::fs::read_to_string(&path).context(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).context("the page has no place for the rows")?;
    let (_, after) = rest.split_once(END).context("the page's rows have no end")?;
    std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table(&shown(files)?)?)).context(PAGE)
}

/// Says what is wrong with the table.
pub(crate) fn check(files: &[String], faults: &mut Vec<String>) -> Result<()> {
    let page = std::fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    match shown(files).and_then(|shown| table(&shown)) {
        Ok(table) if page.contains(&table) => {}
        Ok(_) => faults.push(format!("{PAGE}: its rows are not those of the tests: run `cargo xtask rows`")),
        Err(error) => faults.push(format!("{error:#}")),
    }
    Ok(())
}

fn table(shown: &BTreeMap<String, Vec<String>>) -> Result<String> {
    let known = |id: &String| ROWS.iter().any(|(row, _)| row == id);
    if let Some((id, tests)) = shown.iter().find(|(id, _)| !known(id)) {
        bail!("{}: there is no row {id}", tests.join(", "));
    }
    let mut table = "| | behaviour | shown by |\n|---|---|---|\n".to_owned();
    for (id, behaviour) in ROWS {
        let tests = shown.get(id).with_context(|| format!("no test shows {id}: {behaviour}"))?;
        let _ = writeln!(table, "| {id} | {behaviour} | {} |", tests.join(", "));
    }
    Ok(table)
}

/// The tests that show each row, as Markdown.
fn shown(files: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let is_rust = |file: &str| std::path::Path::new(file).extension().is_some_and(|ending| ending == "rs");
    for file in files.iter().filter(|file| is_rust(file) && *file != "xtask/src/rows.rs") {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        for (id, name) in shown_in(&text).with_context(|| file.clone())? {
            shown.entry(id).or_default().push(format!("[`{name}`](../{file})"));
        }
    }
    Ok(shown)
}

/// What the tests of one file show, each row with the name of a test.
fn shown_in(text: &str) -> Result<Vec<(String, String)>> {
    let mut shown = Vec::new();
    let (mut ids, mut is_test): (Vec<String>, bool) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(list) = line.strip_prefix("/// Shows ").and_then(|list| list.strip_suffix('.')) {
            ids = list.split(", ").map(str::to_owned).collect();
            if !ids.iter().all(|id| is_id(id)) {
                ids.clear();
            }
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, after)) = line.split_once("fn ").filter(|_| !line.starts_with("//"))
            && let Some((name, _)) = after.split_once('(')
        {
            ensure!(
                ids.is_empty() || is_test,
                "{name} is no test, and says that it shows {}",
                ids.join(", ")
            );
            shown.extend(ids.drain(..).map(|id| (id, name.to_owned())));
            is_test = false;
        }
    }
    ensure!(ids.is_empty(), "no test follows what says that it shows {}", ids.join(", "));
    Ok(shown)
}

/// A letter and a number: anything else is a sentence.
fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix(|first: char| first.is_ascii_uppercase());
    rest.is_some_and(|rest| rest.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_test_is_a_fault() {
        let error = table(&BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("M1"));
        let all: BTreeMap<String, Vec<String>> =
            ROWS.iter().map(|(id, _)| ((*id).to_owned(), vec!["a test".to_owned()])).collect();
        assert!(table(&all).unwrap().contains("| E12 |"));
        let unknown = BTreeMap::from([("M99".to_owned(), vec!["a test".to_owned()])]);
        assert!(table(&unknown).unwrap_err().to_string().contains("M99"));
    }

    #[test]
    fn only_tests_show_anything() {
        let test = "/// What happens.\n/// Shows M4, E3.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn a_day() {\n";
        let of = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        assert_eq!(shown_in(test).unwrap(), [of("M4", "a_day"), of("E3", "a_day")]);
        let two = format!("{test}}}\n/// Shows E3.\n#[cfg(unix)]\n#[test]\nfn a_night() {{\n");
        assert_eq!(shown_in(&two).unwrap().last(), Some(&of("E3", "a_night")));
        assert_eq!(shown_in("/// Shows the way.\nfn to(way: &Path) {\n").unwrap(), []);
        for helper in
            ["/// Shows E3.\nfn prepare() {\n", "    /// Shows E3.\n    pub(crate) async fn run(&self) {\n"]
        {
            let after_a_test = format!("{test}}}\n{helper}");
            for text in [helper, &after_a_test] {
                let error = shown_in(text).unwrap_err().to_string();
                assert!(error.contains("is no test") && error.contains("E3"), "{error}");
            }
        }
        assert!(shown_in("/// Shows E3.\nstruct Day;\n").is_err());
    }
}
