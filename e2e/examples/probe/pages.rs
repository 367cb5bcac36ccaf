//! One page of what changed, as often as a median needs.

use super::enter;
use anyhow::{Context, Result, ensure};
use darkslide_client::api::ApiFailure;
use darkslide_client::{CollectionId, Version};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Entries of a page of the feed.
const PAGE: u16 = 1000;

/// How often each page is read; the first time is not counted, for it also connects.
const TIMES: usize = 6;

/// A page of the ordered feed.
pub(crate) async fn feed(home: &Path, after: i64) -> Result<Value> {
    let (_, session) = enter(home).await?;
    timed(async || Ok(session.api.changes(Version(after), PAGE).await?.changes.len())).await
}

/// A page of one collection's diff, as long as the server makes it.
pub(crate) async fn diff(home: &Path, after: i64, collection: i64) -> Result<Value> {
    let (_, session) = enter(home).await?;
    let collection = CollectionId(collection);
    timed(async || Ok(session.api.collection_diff(collection, Version(after)).await?.diff.len())).await
}

async fn timed(page: impl AsyncFn() -> Result<usize, ApiFailure>) -> Result<Value> {
    let mut times: Vec<Duration> = Vec::new();
    let mut entries = 0;
    for _ in 0..TIMES {
        let begin = Instant::now();
        entries = page().await?;
        times.push(begin.elapsed());
    }
    ensure!(entries >= PAGE.into(), "a page of {entries} entries is not a whole one");
    let counted = times.get_mut(1..).context("it is read more than once")?;
    counted.sort_unstable();
    let median = counted.get(counted.len() / 2).context("it is read more than once")?;
    Ok(json!({ "seconds": median.as_secs_f64(), "entries": entries }))
}
