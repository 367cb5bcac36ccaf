//! The part of the command line that is about folders that are kept in step with the vault.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(subcommand)]
    pub(crate) action: SyncAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SyncAction {
    /// Keep a folder in step with the vault: what is added or deleted on one side is added or deleted on the other
    Add(SyncAdd),
    /// List sync folders
    List,
    /// Show how each folder stands: what is in step, what waits, what is held and what to do
    Status {
        /// Only this folder
        path: Option<PathBuf>,
    },
    /// Make passes until there is nothing more to do now, and say what was done; a running agent does this by itself
    Run(SyncRun),
    /// Leave a folder alone until `resume`
    Pause {
        /// The folder
        path: PathBuf,
    },
    /// Go on with a folder
    Resume {
        /// The folder
        path: PathBuf,
    },
    /// Stop keeping a folder in step; what is in it, and in the vault, stays
    Remove {
        /// The folder
        path: PathBuf,
    },
    /// Let the removals happen that are on hold: the pictures that are shown, and no others
    Approve(Approve),
    /// Take a folder over whose marker is gone or another's: it is merged with the vault, and nothing is deleted
    Readopt {
        /// The folder
        path: PathBuf,
    },
    /// List what went into a folder's local trash, or bring it back
    Trash(SyncTrash),
}

#[derive(Debug, Args)]
pub(crate) struct SyncAdd {
    /// The folder
    pub(crate) path: PathBuf,
    /// The album that its pictures are in [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) album: Option<String>,
    /// Pictures taken longer ago than this stay in the vault when they are deleted in the folder: `180d`, `2y` [default: none]
    #[arg(long, value_name = "AGE", value_parser = crate::commands::parse_age)]
    pub(crate) keep_deleted_older_than: Option<Duration>,
    /// Which way changes go
    #[arg(long, value_enum, default_value_t = Way::Both)]
    pub(crate) direction: Way,
    /// Where the local trash is, outside the folder and best on its disk [default: in the profile]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) local_trash: Option<PathBuf>,
    /// Show what the first pass would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) settling: SettlingArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Both ways
    Both,
    /// From the folder to the vault only: nothing in the folder is touched
    Up,
    /// From the vault to the folder only: nothing in the vault is touched
    Down,
}

#[derive(Debug, Args)]
pub(crate) struct SyncRun {
    /// Only this folder
    pub(crate) path: Option<PathBuf>,
    /// Show what would be done and why, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not wait for files to settle, nor look twice for what is missing; end with what can be done at once
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) settling: SettlingArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SyncTrash {
    #[command(subcommand)]
    pub(crate) action: SyncTrashAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SyncTrashAction {
    /// List what is in the local trash
    List {
        /// Only this folder's
        path: Option<PathBuf>,
    },
    /// Bring pictures back to where they were; the vault takes them out of its trash then
    Restore {
        /// As `list` shows them
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// When files have settled.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SettlingArguments {
    /// How long pictures are left alone after they arrived, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, hide = true)]
    pub(crate) settle_photos: u64,
    /// How long videos are left alone after they arrived, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 90_000, hide = true)]
    pub(crate) settle_videos: u64,
    /// How long files that end too early are waited for, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 900_000, hide = true)]
    pub(crate) settle_incomplete: u64,
    /// How long after it was first missed a file must be missed again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000, hide = true)]
    pub(crate) absence: u64,
}

/// What is let happen.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The folder
    pub(crate) path: PathBuf,
    /// Show every picture that waits, and the name of their list; approve nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only if this still is what waits, as `--dry-run` and `sync status` call it
    #[arg(long, value_name = "NAME")]
    pub(crate) list: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}
