//! The part of the command line that is about watch folders, the agent that keeps them backed up, and how things stand.

use super::sync::SettlingArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(subcommand)]
    pub(crate) action: WatchAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WatchAction {
    /// Keep a folder backed up, with all that is in it
    Add(WatchAdd),
    /// List watch folders
    List,
    /// Leave a folder alone until `resume`
    Pause {
        /// The folder
        path: PathBuf,
    },
    /// Go on with a folder; also says that the disk that is there now is the right one
    Resume {
        /// The folder
        path: PathBuf,
    },
    /// Stop watching a folder; what was backed up of it stays in the vault
    Remove {
        /// The folder
        path: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WatchAdd {
    /// The folder
    pub(crate) path: PathBuf,
    /// Put everything into this album [default: one album, named like the folder]
    #[arg(long, value_name = "NAME", conflicts_with = "album_per_folder")]
    pub(crate) album: Option<String>,
    /// One album for every folder that holds pictures
    #[arg(long)]
    pub(crate) album_per_folder: bool,
    /// Leave these alone: a name such as `*.png` or `Screenshots`, or a path in the folder such as `2024/drafts/**`
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(subcommand)]
    pub(crate) action: AgentAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentAction {
    /// Keep watch folders backed up, and sync folders in step, until Ctrl-C
    Run(AgentRun),
    /// Install the agent as a service of this user, and start it
    Install,
    /// Stop the service and remove it
    Uninstall,
    /// Show the service, and what the agent is doing
    Status(Status),
    /// Show the agent's log
    Logs {
        /// The last lines
        #[arg(long, short = 'n', value_name = "LINES", default_value_t = 100)]
        lines: usize,
    },
    /// Do nothing until `resume`, or until the agent is started again
    Pause,
    /// Go on
    Resume,
    /// Look at all folders now
    Scan,
    /// The same as `sync approve`: let the removals happen that are on hold
    Approve(super::sync::Approve),
    /// End the agent; a service that is installed starts it again at the next login
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct AgentRun {
    /// Show nothing on the desktop
    #[arg(long)]
    pub(crate) no_notifications: bool,
    /// Keep the folders of several accounts in step: `FOLDER/<profile>/<any folder>`, each with the keys that `login --keys key-file` left
    #[arg(long, value_name = "FOLDER")]
    pub(crate) sync_root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settling: SettlingArguments,
    /// From one look at everything to the next, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3_600_000, hide = true)]
    pub(crate) rescan: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Go on showing it, until Ctrl-C
    #[arg(long, short)]
    pub(crate) watch: bool,
}
