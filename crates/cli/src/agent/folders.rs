//! The list of watch folders, as the catalog has it.

use std::time::Instant;

use anyhow::Result;

use super::{Agent, Watched};

impl Agent {
    /// Reads the list of watch folders: others change it.
    pub(super) async fn read_folders(&mut self) -> Result<()> {
        let rows = self.catalog.watch_folders().await?;
        self.folders.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let listed: Vec<(i64, bool)> = rows.iter().map(|row| (row.id, row.paused)).collect();
        for row in rows {
            let counts = self.catalog.root_counts(&row.path).await?;
            match self.folders.get_mut(&row.id) {
                Some(known) => {
                    if known.offline.is_some() && row.device.is_none() {
                        // Its owner says that it is the right disk.
                        self.schedule.look_by(row.id, Instant::now());
                    }
                    (known.row, known.counts) = (row, counts);
                }
                None => {
                    let new = Watched {
                        row,
                        watcher: None,
                        offline: None,
                        counts,
                        waiting: Vec::new(),
                        skipped: 0,
                        unreadable: Vec::new(),
                        is_asked: false,
                    };
                    self.folders.insert(new.row.id, new);
                }
            }
        }
        self.schedule.set_folders(&listed, Instant::now());
        let is_wanted = |id: &i64| self.folders.get(id).is_some_and(|folder| !folder.row.paused);
        if let Some(running) = self.running.as_ref().filter(|running| !is_wanted(&running.folder)) {
            running.stop.cancel();
        }
        if self.session.is_some() && !self.folders.keys().any(is_wanted) {
            // Nothing is tried any more, so nothing is in its way.
            self.schedule.succeeded();
            self.problem = None;
        }
        Ok(())
    }
}
