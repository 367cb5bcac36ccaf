//! The system's notices of a folder and all that is below it, on systems that watch a whole tree at once.

use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::notices::Ground;
use super::watcher::{Told, Why};

/// Notices, until it is dropped.
#[derive(Debug)]
pub(super) struct Notices {
    _watcher: RecommendedWatcher,
}

/// Begins to watch; `hear` is called on a thread of its own.
pub(super) fn listen(
    ground: Arc<Ground>,
    mut hear: impl FnMut(Told) + Send + 'static,
) -> Result<Notices, Why> {
    let config = notify::Config::default().with_follow_symlinks(false);
    let each = move |notice: notify::Result<notify::Event>| match notice {
        Ok(notice) => hear(Told::Change(notice)),
        Err(error) => {
            hear(Told::Failed(Why::Refused(error.to_string())));
            hear(Told::Lost);
        }
    };
    let refused = |error: notify::Error| Why::Refused(error.to_string());
    let mut watcher = RecommendedWatcher::new(each, config).map_err(refused)?;
    watcher.watch(&ground.root, RecursiveMode::Recursive).map_err(refused)?;
    Ok(Notices { _watcher: watcher })
}
