//! What the agent tells of itself: one value, for people and for scripts.

use serde::{Deserialize, Serialize};

/// The agent, now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentStatus {
    /// Its process.
    pub(crate) process: u32,
    /// When it started, µs since the epoch.
    pub(crate) since: i64,
    /// What it is doing.
    pub(crate) state: State,
    /// What it cannot do, and what to do about it.
    pub(crate) problem: Option<Problem>,
    /// The command that it stands back for.
    #[serde(default)]
    pub(crate) visitor: Option<Visitor>,
    /// The run that is under way.
    pub(crate) run: Option<RunStatus>,
    /// The watch folders.
    pub(crate) folders: Vec<FolderStatus>,
    /// What it has done since it started.
    pub(crate) done: Done,
}

/// What an agent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Nothing to do: all that has settled is dealt with.
    #[default]
    Idle,
    /// It has begun, and has looked at nothing yet.
    Starting,
    /// Something has changed and is about to be looked at, or settles.
    Waiting,
    /// A run is under way.
    BackingUp,
    /// Its owner said so.
    Paused,
    /// Its owner said so of every watch folder.
    AllPaused,
    /// Another command is using the profile.
    Yielding,
    /// Trying again in a while.
    Retrying,
    /// Nobody is signed in.
    SignedOut,
}

/// Something that keeps pictures from being safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// What happened.
    pub(crate) what: String,
    /// What to do, where there is something.
    pub(crate) advice: Option<String>,
    /// When it is tried again, µs since the epoch.
    pub(crate) next_try: Option<i64>,
}

/// Another command that uses the profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Visitor {
    /// Its process, where the system tells.
    pub(crate) process: Option<u32>,
    /// Since when, µs since the epoch.
    pub(crate) since: i64,
    /// How long it has shown no sign of life, in seconds; none where it has.
    pub(crate) silent_seconds: Option<u64>,
}

impl Visitor {
    /// What is wrong with it, if something is.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let (process, minutes) = (self.process?, self.silent_seconds? / 60);
        Some(Problem {
            what: format!(
                "another command (process {process}) has the profile, and has shown no sign of life for {minutes} min: it is suspended, or hangs"
            ),
            advice: Some(format!(
                "`fg` in its terminal, or `kill -CONT {process}`, lets it go on; `kill {process}; kill -CONT {process}` ends it"
            )),
            next_try: None,
        })
    }
}

/// A run that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunStatus {
    /// The watch folder, as text: what of it is not UTF-8 is replaced.
    pub(crate) folder: String,
    /// Files found so far.
    pub(crate) found: u64,
    /// Files to look at.
    pub(crate) files: u64,
    /// Of these, done.
    pub(crate) files_done: u64,
    /// Bytes to look at.
    pub(crate) bytes: u64,
    /// Of these, done.
    #[serde(default)]
    pub(crate) bytes_done: u64,
    /// How long the rest may take, in seconds.
    #[serde(default)]
    pub(crate) seconds_left: Option<u64>,
    /// Ciphertext bytes that were sent.
    pub(crate) bytes_sent: u64,
    /// The same, a second, since the first of them.
    pub(crate) bytes_per_second: u64,
    /// Nothing but thumbnails is left to do.
    #[serde(default)]
    pub(crate) originals_done: bool,
    /// Thumbnails to make, of originals that are safe.
    pub(crate) thumbnails_left: u64,
    /// What is being worked on, some of it.
    pub(crate) current: Vec<String>,
    /// What the network waits for.
    pub(crate) waiting: Option<String>,
}

/// One watch folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FolderStatus {
    /// Where it is, as text: what of it is not UTF-8 is replaced.
    pub(crate) path: String,
    /// How it stands.
    pub(crate) state: FolderState,
    /// Why it is polled or offline.
    pub(crate) because: Option<String>,
    /// Files of the vault that came from there.
    pub(crate) safe: i64,
    /// When the last of them was dealt with, µs since the epoch.
    pub(crate) safe_at: Option<i64>,
    /// Sub-folders in which something has changed; none when all of it must be looked at.
    pub(crate) changed_folders: Option<usize>,
    /// Files that have not settled.
    pub(crate) waiting: usize,
    /// Some of them, with what they wait for.
    pub(crate) waiting_for: Vec<String>,
    /// Files and folders that the last full scan left alone.
    pub(crate) skipped: usize,
    /// What cannot be looked into, as the last look at each found it: what lies there is not known.
    #[serde(default)]
    pub(crate) unreadable: Vec<Unreadable>,
    /// When all of it was last looked at, µs since the epoch.
    pub(crate) last_scan: Option<i64>,
}

/// A folder or file that cannot be looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unreadable {
    /// Its whole path, as text: what of it is not UTF-8 is replaced.
    pub(crate) path: String,
    /// Why, and what to do.
    pub(crate) reason: String,
}

/// How a watch folder stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FolderState {
    /// Changes are told by the system.
    #[default]
    Watched,
    /// Looked at every now and then.
    Polled,
    /// Its owner said so.
    Paused,
    /// It cannot be reached.
    Offline,
    /// No agent is running.
    Unattended,
}

impl FolderState {
    /// One word for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Polled => "polled",
            Self::Paused => "paused",
            Self::Offline => "offline",
            Self::Unattended => "not watched now",
        }
    }
}

impl State {
    /// What it is doing, for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Idle => "all that is there is backed up",
            Self::Starting => "starting",
            Self::Waiting => "waiting for files to settle",
            Self::BackingUp => "backing up",
            Self::Paused => "paused; `darkslide agent resume` goes on",
            Self::AllPaused => {
                "every watch folder is paused; `darkslide watch resume FOLDER` goes on with it"
            }
            Self::Yielding => "standing back for another command",
            Self::Retrying => "trying again in a while",
            Self::SignedOut => "signed out",
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    /// Runs that went through.
    pub(crate) runs: u64,
    /// Of these, over all of a folder.
    pub(crate) full_scans: u64,
    /// Files sent.
    pub(crate) uploaded: u64,
    /// Files that the vault had.
    pub(crate) linked: u64,
    /// Ciphertext bytes.
    pub(crate) bytes_sent: u64,
}
