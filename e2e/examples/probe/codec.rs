//! Thumbnails without a backup around them: read, decode, scale, encode, as the engine does.

use anyhow::{Result, bail, ensure};
use darkslide_client::backup::identify::{Asset, Identified, Surroundings, identify};
use darkslide_client::library::{AlbumRule, folder};
use darkslide_client::thumbnail::Thumbnailer;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Subjects that wait or are worked on. The thumbnailer has its own limit; one more is read meanwhile.
const AT_ONCE: usize = 3;

/// The time for all of them; each must be a real one.
pub(crate) async fn answer(folder: &Path) -> Result<Value> {
    let assets = assets(folder)?;
    let thumbnailer = Thumbnailer::without_tools();
    let count = assets.len();
    let begin = Instant::now();
    stream::iter(assets)
        .map(|asset| make(asset, thumbnailer.clone()))
        .buffer_unordered(AT_ONCE)
        .try_for_each(async |()| Ok(()))
        .await?;
    Ok(json!({ "seconds": begin.elapsed().as_secs_f64(), "thumbnails": count }))
}

async fn make(asset: Asset, thumbnailer: Thumbnailer) -> Result<()> {
    let made = thumbnailer.make(asset.subject()).await;
    ensure!(made.is_some(), "{} cannot be decoded", asset.main.path.display());
    Ok(())
}

fn assets(folder: &Path) -> Result<Vec<Asset>> {
    let scan = folder::scan(folder, |_| ())?;
    let root: Arc<Path> = scan.root.into();
    let utc = |_| time::UtcOffset::UTC;
    let around = Surroundings { root: &root, zone: &utc, now: 0 };
    let paths: Vec<_> = scan.files.into_iter().map(|file| file.path).collect();
    let album_of = |path: &Path| AlbumRule::PerRoot.album_of(&root, path);
    let mut assets = Vec::new();
    for identified in identify(around, &paths, album_of) {
        match identified {
            Identified::Asset(asset) => assets.push(*asset),
            other => bail!("not a picture: {other:?}"),
        }
    }
    Ok(assets)
}
