//! The pure decisions of backups and sync folders, changed in every way that `cargo-mutants` knows: each change must make a test fail.
//!
//! It changes the sources in place, one change after the other, and puts them back: it wants a clone without changes of its own. What each
//! costs is the client's test program, so that is built in steps and without what only debuggers read.

use crate::shell::{command, execute, root};
use anyhow::{Context, Result, ensure};

/// What decides, and the tests that must notice.
const DECISIONS: [(&str, &[&str]); 15] = [
    ("crates/client/src/backup/rules/mod.rs", &["backup::rules"]),
    ("crates/client/src/backup/rules/conditions.rs", &["backup::rules"]),
    ("crates/client/src/backup/rules/order.rs", &["backup::rules"]),
    ("crates/client/src/backup/rules/explanation.rs", &["backup::rules"]),
    ("crates/client/src/backup/again.rs", &["backup::again", "backup::rules"]),
    ("crates/client/src/backup/line.rs", &["backup::line"]),
    ("crates/client/src/backup/standing.rs", &["backup::standing"]),
    // Some of its predicates are for the others to ask.
    (
        "crates/client/src/backup/plan.rs",
        &["backup::plan", "backup::portions", "backup::settled", "backup::companions", "backup::to_read"],
    ),
    ("crates/client/src/backup/portions.rs", &["backup::portions"]),
    ("crates/client/src/backup/settled.rs", &["backup::settled"]),
    ("crates/client/src/backup/companions.rs", &["backup::companions"]),
    ("crates/client/src/backup/to_read.rs", &["backup::to_read"]),
    ("crates/client/src/folder/reconcile.rs", &["folder::reconcile", "folder::model"]),
    ("crates/client/src/folder/breaker.rs", &["folder::breaker", "folder::model"]),
    ("crates/client/src/folder/names.rs", &["folder::names", "folder::model"]),
];

/// Where the tool is, if it is here; `cargo install cargo-mutants --locked --root target/tools` puts it there.
fn tool() -> String {
    let own = root().join("target/tools/bin/cargo-mutants");
    if own.exists() { own.display().to_string() } else { "cargo-mutants".to_owned() }
}

/// Tries all of them; further arguments are the tool's own.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let status = command("git", &["status", "--porcelain"]).output().context("could not start git")?;
    ensure!(
        status.stdout.is_empty(),
        "there are changes that are not committed: mutants would be mixed with them"
    );
    let mut results = Vec::new();
    for (file, tests) in DECISIONS {
        let mut words = vec!["mutants", "--in-place", "--package", "darkslide-client", "--file", file];
        words.extend(arguments.iter().map(String::as_str));
        words.extend(["--", "--lib", "--"]);
        words.extend(tests);
        let mut tool = command(&tool(), &words);
        tool.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
        results.push(execute(&mut tool));
    }
    results.into_iter().collect()
}
