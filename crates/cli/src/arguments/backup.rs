//! The part of the command line that is about pictures going in.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Folders or files
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) albums: Albums,
    /// Make no thumbnails; other devices show placeholders
    #[arg(long)]
    pub(crate) no_thumbnails: bool,
    /// Take less memory, and more time: for computers that have little
    #[arg(long)]
    pub(crate) little_memory: bool,
}

/// Which albums files go to.
#[derive(Debug, Args)]
pub(crate) struct Albums {
    /// Put everything into this album [default: one album a path, named like it]
    #[arg(long, value_name = "NAME", conflicts_with = "album_per_folder")]
    pub(crate) album: Option<String>,
    /// One album for every folder that holds pictures
    #[arg(long)]
    pub(crate) album_per_folder: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reorganise {
    /// Folders that were backed up
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) albums: Albums,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) from: ImportFrom,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportFrom {
    /// Google Photos, as Google Takeout exports it: pictures with their dates, places, albums and descriptions
    Takeout(Takeout),
}

#[derive(Debug, Args)]
pub(crate) struct Takeout {
    /// All archives (.zip) of one export, or the folders that they were unpacked to
    #[arg(required = true, value_name = "ZIP|FOLDER")]
    pub(crate) paths: Vec<PathBuf>,
    /// The album for pictures that are in none
    #[arg(long, value_name = "NAME", default_value = "Google Photos")]
    pub(crate) album: String,
    /// Only tell what would be imported, and what cannot be matched
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make no thumbnails; other devices show placeholders
    #[arg(long)]
    pub(crate) no_thumbnails: bool,
}
