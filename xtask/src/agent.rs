//! `cargo xtask agent`: a watch folder on a hard day. Many files are copied in while the agent watches, it is killed with `kill -9` in the
//! middle, files are renamed while it is dead and moved when it has started again; then it runs until nothing is left to do.
//!
//! What must be true in the end is checked and makes it fail; what it took is told and makes nothing fail. Server and agent are the release
//! binary, on 127.0.0.1 and in a folder of their own, which is removed at the end. It ends no process but those that it started, and waits for
//! nothing for ever: what does not come in time is an error that says what it was. Only the build takes as long as it takes.

use crate::bench::corpus::{Corpus, all_contents};
use crate::bench::measure::{high_water_mark, measure_within};
use crate::bench::sides::{Account, Server};
use crate::shell::{cargo, ended_within, execute, output_within, root};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How often the agent is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long anything may take, beside so much a file where files are dealt with.
const PATIENCE: Duration = Duration::from_mins(2);
const PATIENCE_A_FILE: Duration = Duration::from_millis(20);

/// Files have settled sooner than by default, so that it need not be waited for. So have those that look incomplete: they are noise.
const SETTLE_MILLIS: &str = "1000";

/// It is killed when one file in so many is safe.
const KILLED_AT: u64 = 4;

/// One file in so many is renamed, and another one in so many moved.
const TOUCHED: usize = 10;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many files are copied in
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(400..=1_000_000))]
    files: u32,
    /// Where the run has its folder
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Write the figures into this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    files: u64,
    renamed_while_dead: u64,
    moved_while_watched: u64,
    /// Files in the vault when it was dead.
    sent_before_the_kill: u64,
    sent_after_it: u64,
    /// By their contents, after the kill.
    linked_after_it: u64,
    seconds_to_the_kill: f64,
    seconds_after_it: f64,
    agent_peak_before_the_kill: u64,
    agent_peak_after_it: u64,
    server_peak: u64,
    files_in_the_vault: u64,
    files_in_the_trash: u64,
}

/// Builds the release binary, and runs the day.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    execute(&mut cargo(&["build", "--release", "--locked", "-p", "darkslide", "--bin", "darkslide"]))?;
    let folder = arguments.folder.clone().unwrap_or_else(|| root().join("target/bench"));
    fs::create_dir_all(&folder)?;
    let work = tempfile::Builder::new().prefix("agent-").tempdir_in(&folder)?;
    let figures = day(work.path(), arguments.files as usize)?;
    print(&figures);
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")?;
    }
    check(&figures)
}

fn day(work: &Path, files: usize) -> Result<Figures> {
    let patience = PATIENCE + PATIENCE_A_FILE * u32::try_from(files)?;
    let (staging, watched) = (work.join("staging"), work.join("in"));
    Corpus::arrivals(files).generate(&staging)?;
    fs::create_dir(&watched)?;
    let server = Server::start(&work.join("server"), false, &[])?;
    let account = Account::sign_up(&server, &work.join("home"))?;
    measure_within(patience, account.client().args(["watch", "add"]).arg(&watched))?;
    let count = files as u64;
    let mut figures = Figures { files: count, ..Figures::default() };

    let begin = Instant::now();
    let agent = Agent::start(&account, patience)?;
    let copying = {
        let (staging, watched) = (staging.clone(), watched.clone());
        std::thread::spawn(move || copy(&staging, &watched))
    };
    agent.until("so much is safe that it can be killed", |status| {
        let (sent, state) = (sent(status), status.get("state").and_then(Value::as_str));
        ensure!(sent < count || state != Some("idle"), "it was through before it could be killed");
        Ok(sent * KILLED_AT >= count)
    })?;
    figures.agent_peak_before_the_kill = agent.memory();
    figures.seconds_to_the_kill = begin.elapsed().as_secs_f64();
    agent.kill()?;
    until("all files are copied in", patience, || Ok(copying.is_finished().then_some(())))?;
    let paths = copying.join().expect("copying does not panic")?;
    figures.sent_before_the_kill = at_rest(&server, patience)?;
    figures.renamed_while_dead = rename(&paths, 0, |path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("renamed {name}"))
    })?;

    let begin = Instant::now();
    let agent = Agent::start(&account, patience)?;
    let elsewhere = watched.join("elsewhere");
    fs::create_dir(&elsewhere)?;
    figures.moved_while_watched =
        rename(&paths, TOUCHED / 2, |path| elsewhere.join(path.file_name().unwrap_or_default()))?;
    agent.until_all_is_safe(count)?;
    // What nobody was told of is found by a look at everything.
    let full_scans = number(&agent.status()?.context("it answers")?, "/done/fullScans");
    measure_within(patience, account.client().args(["agent", "scan"]))?;
    agent.until("all of it was looked at once more", |status| {
        Ok(number(status, "/done/fullScans") > full_scans)
    })?;
    let status = agent.until_all_is_safe(count)?;
    figures.seconds_after_it = begin.elapsed().as_secs_f64();
    figures.sent_after_it = number(&status, "/done/uploaded");
    figures.linked_after_it = number(&status, "/done/linked");
    figures.agent_peak_after_it = agent.memory();
    agent.stop()?;

    figures.files_in_the_vault = listed(&account, patience, &["list"], "/files")?;
    figures.files_in_the_trash = listed(&account, patience, &["trash", "list"], "/trash")?;
    figures.server_peak = server.memory().unwrap_or(0);
    let back = work.join("back");
    measure_within(patience, account.client().arg("restore").arg("--to").arg(&back))?;
    all_contents(&staging, &back)?;
    Ok(figures)
}

/// Everything that must be true in the end; that every content came back was seen before.
fn check(figures: &Figures) -> Result<()> {
    let Figures { files, files_in_the_vault, files_in_the_trash, .. } = *figures;
    ensure!(files_in_the_vault == files, "{files_in_the_vault} of {files} files are in the vault");
    ensure!(files_in_the_trash == 0, "{files_in_the_trash} files are in the trash");
    let sent = figures.sent_before_the_kill + figures.sent_after_it;
    ensure!(sent == files, "{sent} files were sent, and there are {files}");
    Ok(())
}

fn print(figures: &Figures) {
    let megabytes = |bytes: u64| bytes / 1_000_000;
    println!(
        "\n{} files copied in; {} renamed while the agent was dead, {} moved while it watched",
        figures.files, figures.renamed_while_dead, figures.moved_while_watched
    );
    println!(
        "killed after {:.1} s with {} safe; the rest took {:.1} s: {} sent, {} linked",
        figures.seconds_to_the_kill,
        figures.sent_before_the_kill,
        figures.seconds_after_it,
        figures.sent_after_it,
        figures.linked_after_it
    );
    println!(
        "peak memory: agent {} MB before the kill, {} MB after it; server {} MB",
        megabytes(figures.agent_peak_before_the_kill),
        megabytes(figures.agent_peak_after_it),
        megabytes(figures.server_peak)
    );
    println!("in the vault {}, in the trash {}\n", figures.files_in_the_vault, figures.files_in_the_trash);
}

/// A running agent; dropping it kills it.
struct Agent<'a> {
    account: &'a Account,
    child: Child,
    patience: Duration,
}

impl<'a> Agent<'a> {
    /// As the service is run that `agent install` writes.
    fn start(account: &'a Account, patience: Duration) -> Result<Self> {
        let mut command = account.client();
        command.args(["agent", "run", "--no-notifications"]).env("MALLOC_ARENA_MAX", "2");
        command.args(["--settle-photos", SETTLE_MILLIS, "--settle-incomplete", SETTLE_MILLIS]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("could not start the agent")?;
        let agent = Self { account, child, patience };
        agent.until("it answers", |_| Ok(true))?;
        Ok(agent)
    }

    /// None where nobody answers.
    fn status(&self) -> Result<Option<Value>> {
        let mut asking = self.account.client();
        let output = output_within(PATIENCE, asking.args(["agent", "status", "--json"]))?;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(answer.get("agent").filter(|agent| !agent.is_null()).cloned())
    }

    fn until(&self, what: &str, mut is_there: impl FnMut(&Value) -> Result<bool>) -> Result<Value> {
        let mut last = None;
        let seen = until(what, self.patience, || {
            last = self.status()?;
            let is_there = last.as_ref().map_or(Ok(false), &mut is_there)?;
            Ok(last.clone().filter(|_| is_there))
        });
        seen.with_context(|| format!("the agent's last answer was {}", last.unwrap_or_default()))
    }

    fn until_all_is_safe(&self, files: u64) -> Result<Value> {
        self.until("all is safe", |status| {
            let is_idle = status.get("state").and_then(Value::as_str) == Some("idle");
            Ok(is_idle && number(status, "/folders/0/safe") == files)
        })
    }

    fn memory(&self) -> u64 {
        high_water_mark(self.child.id()).unwrap_or(0)
    }

    /// Without a chance to do anything about it.
    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        ended_within(PATIENCE, &mut self.child, "the agent, which was killed").map(drop)
    }

    fn stop(mut self) -> Result<()> {
        measure_within(self.patience, self.account.client().args(["agent", "stop"]))?;
        let status = ended_within(self.patience, &mut self.child, "the agent, which was asked to stop")?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _gone = self.child.kill();
        let _gone = ended_within(PATIENCE, &mut self.child, "the agent");
    }
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn sent(status: &Value) -> u64 {
    number(status, "/done/uploaded") + number(status, "/run/filesDone")
}

/// Asks again and again until there is an answer, and fails when it takes too long.
fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(begin.elapsed() <= patience, "after {} s it has not come that {what}", patience.as_secs());
        std::thread::sleep(ASK_EVERY);
    }
}

/// Files that the server has, when nothing is on its way any more.
fn at_rest(server: &Server, patience: Duration) -> Result<u64> {
    let mut before = server.files()?;
    until("nothing is on its way to the server", patience, || {
        std::thread::sleep(Duration::from_secs(1));
        let now = server.files()?;
        Ok((std::mem::replace(&mut before, now) == now).then_some(now))
    })
}

fn listed(account: &Account, patience: Duration, words: &[&str], pointer: &str) -> Result<u64> {
    let output = output_within(patience, account.client().args(words).arg("--json"))?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let list = answer.pointer(pointer).and_then(Value::as_array);
    Ok(list.with_context(|| format!("{words:?} answers no list"))?.len() as u64)
}

/// Copies a tree, file by file; answers with the copies, in order.
fn copy(from: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_file() {
            fs::copy(entry.path(), &target)?;
            copies.push(target);
        } else {
            fs::create_dir_all(&target)?;
        }
    }
    Ok(copies)
}

/// Renames one file in so many, from this one on; says how many.
fn rename(paths: &[PathBuf], first: usize, to: impl Fn(&Path) -> PathBuf) -> Result<u64> {
    let mut count = 0;
    for path in paths.iter().skip(first).step_by(TOUCHED) {
        fs::rename(path, to(path))?;
        count += 1;
    }
    Ok(count)
}
