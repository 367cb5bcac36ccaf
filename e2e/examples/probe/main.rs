//! What `cargo xtask bench` asks of our own server and cannot ask itself, for it depends on none of our crates.
//!
//! Each command does one thing with a home that the client signed in, times it, and prints one line of JSON. Nothing is asserted
//! about times. `seed` and `seed-catalog` write into databases that nobody must be using.

mod codec;
mod lookup;
mod pages;
mod seed;
mod seed_catalog;
mod uploads;

use anyhow::Result;
use clap::{Parser, Subcommand};
use darkslide_client::api::Limits;
use darkslide_client::profile::{Home, Profile, ProfileName};
use darkslide_client::session::Session;
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(about = "Questions of the bench")]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// Look up the tags of this many files of the catalog; all must be found
    Lookup { home: PathBuf, count: usize },
    /// Make the thumbnails of all files under a folder, two at a time
    Codec { folder: PathBuf },
    /// Send this many objects of so many bytes at once
    Uploads { home: PathBuf, count: usize, bytes: usize },
    /// Fill the account that a database has with files
    Seed { database: String, files: i64 },
    /// Fill a catalog with what a client knows of these files, up to a version
    SeedCatalog { catalog: String, files: i64, collection: i64, last: i64 },
    /// Read a page of the feed after a version
    Feed { home: PathBuf, after: i64 },
    /// Read a page of a collection's diff after a version
    Diff { home: PathBuf, after: i64, collection: i64 },
}

#[tokio::main]
async fn main() -> Result<()> {
    let answer = match Arguments::parse().question {
        Question::Lookup { home, count } => lookup::answer(&home, count).await?,
        Question::Codec { folder } => codec::answer(&folder).await?,
        Question::Uploads { home, count, bytes } => uploads::answer(&home, count, bytes).await?,
        Question::Seed { database, files } => seed::answer(&database, files).await?,
        Question::SeedCatalog { catalog, files, collection, last } => {
            seed_catalog::answer(&catalog, files, collection, last).await?
        }
        Question::Feed { home, after } => pages::feed(&home, after).await?,
        Question::Diff { home, after, collection } => pages::diff(&home, after, collection).await?,
    };
    println!("{answer}");
    Ok(())
}

/// The profile of a home, and its session.
async fn enter(home: &Path) -> Result<(Profile, Session)> {
    let profile = Home::find(Some(home))?.profile(&ProfileName::default())?;
    let session = profile.session(Limits::default(), None).await?;
    Ok((profile, session))
}
