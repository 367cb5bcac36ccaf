//! Which of many contents the account has: as many calls as the limit of one demands, one after the other.

use super::enter;
use anyhow::{Result, ensure};
use darkslide_client::catalog::FileFilter;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// The time from the first call to the last answer.
pub(crate) async fn answer(home: &Path, count: usize) -> Result<Value> {
    let (profile, session) = enter(home).await?;
    let files = profile.catalog().await?.files(&FileFilter::default()).await?;
    let contents = files.iter().filter_map(|file| file.content_hash.as_ref());
    let tags: Vec<_> = contents.take(count).map(|content| session.content_tag(content)).collect();
    ensure!(tags.len() == count, "the catalog has {} contents, not {count}", tags.len());
    // The connection is there, as it is when a backup gets to its lookup.
    session.api.ping().await?;
    let begin = Instant::now();
    let found = session.api.look_up(&tags).await?.len();
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(found == count, "{found} of {count} tags were found");
    Ok(json!({ "seconds": seconds, "tags": count }))
}
