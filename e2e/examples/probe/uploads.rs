//! Many objects sent at once: every other one resumable, as our client sends large files, the others put to a URL, as stock clients do.

use super::enter;
use anyhow::{Context, Result};
use bytes::Bytes;
use darkslide_client::api::Api;
use darkslide_protocol::limits::MINT_COUNT_MAX;
use futures_util::future::try_join_all;
use futures_util::stream;
use reqwest::Body;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Bytes that are handed on at once.
const PIECE_LEN: usize = 256 * 1024;

/// The time until the last is stored. None of them is committed.
pub(crate) async fn answer(home: &Path, count: usize, bytes: usize) -> Result<Value> {
    let (_, session) = enter(home).await?;
    let mut urls = mint(&session.api, count.div_ceil(2)).await?;
    let mut sendings = Vec::new();
    for number in 0..count {
        let url = if number % 2 == 0 { Some(urls.pop().context("as many as were asked for")?) } else { None };
        sendings.push(send(&session.api, url, number, bytes));
    }
    let begin = Instant::now();
    try_join_all(sendings).await?;
    Ok(json!({ "seconds": begin.elapsed().as_secs_f64(), "uploads": count, "bytes": bytes }))
}

async fn mint(api: &Api, mut count: usize) -> Result<Vec<String>> {
    let mut urls = Vec::new();
    while count > 0 {
        let some = u32::try_from(count)?.min(MINT_COUNT_MAX);
        urls.extend(api.upload_urls(some).await?.into_iter().map(|minted| minted.url));
        count -= some as usize;
    }
    Ok(urls)
}

async fn send(api: &Api, url: Option<String>, number: usize, bytes: usize) -> Result<()> {
    let length = bytes as u64;
    match url {
        Some(url) => Ok(api.put_object(&url, body(number, bytes), length, None).await?),
        None => {
            let begun = api.begin_upload(length).await?;
            api.append_upload(&begun.upload, 0, body(number, bytes), length).await?;
            Ok(())
        }
    }
}

/// Bytes that differ from upload to upload; what they are does not matter to a server that cannot read them.
fn body(number: usize, bytes: usize) -> Body {
    let piece = Bytes::from(number.to_le_bytes().repeat(PIECE_LEN / size_of::<usize>()));
    let pieces = (0..bytes).step_by(PIECE_LEN).map(move |at| piece.slice(..PIECE_LEN.min(bytes - at)));
    Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}
