//! What could not be backed up and is still there: what something is wrong with, and what only lacks room. And what was backed up, and is damaged on
//! the server.

use super::status::standing_of;
use crate::agent::status::{AgentStatus, Unreadable};
use crate::output::{counted, date, on_one_line};
use anyhow::Result;
use darkslide_client::backup::explain::explain_blocked;
use darkslide_client::backup::standing::Standing;
use darkslide_client::backup::{Named, fitting};
use darkslide_client::catalog::{Catalog, DamagedFile, Part};
use darkslide_client::session::AccountSummary;
use darkslide_client::watch::disks;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;

/// Files that are named of those of which the same is said: `--json` names them all.
const NAMED_MAX: usize = 3;

/// What is left.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Left {
    /// How many files could not be backed up.
    pub(crate) blocked: u64,
    /// Until when the first of them has its pause, µs since the epoch: none where none has one.
    pub(crate) blocked_next_try: Option<i64>,
    /// Each, with the reason and what is to be done; and each folder that the agent cannot look into.
    pub(crate) blocked_files: Vec<Named>,
    /// How many folders and files the agent cannot look into: nobody knows what lies there.
    pub(crate) unreadable: u64,
    /// What found no room in the vault when it was last tried.
    pub(crate) without_room: WithoutRoom,
    /// Files whose copy on the server is known to be damaged.
    pub(crate) damaged: Vec<DamagedFile>,
    /// Watch folders and sync folders that are paused: nobody knows what is new in them.
    pub(crate) paused_folders: u64,
}

/// Files that found no room in the vault when they were last tried.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WithoutRoom {
    pub(crate) files: u64,
    /// Of these, what there is room for now, as far as the server says: as many at least.
    pub(crate) fit_now: u64,
}

impl Left {
    /// Looks at each of them, and takes from what the agent cannot look into what is gone. `account` says how much room there is, where the server
    /// said so.
    pub(crate) async fn of(
        catalog: &Catalog,
        mut agent: Option<&mut AgentStatus>,
        account: Option<&AccountSummary>,
    ) -> Result<Self> {
        if let Some(agent) = agent.as_deref_mut() {
            forget_gone(agent).await;
        }
        let agent = agent.as_deref();
        let watched = catalog.watch_folders().await?.into_iter().filter(|row| row.paused).count();
        let synced = catalog.sync_folders().await?.into_iter().filter(|row| row.paused).count();
        let (damaged, paused_folders) = (catalog.damaged_files().await?, (watched + synced) as u64);
        let mut left = Self { damaged, paused_folders, ..Self::default() };
        let mut without_room = Vec::new();
        for (path, standing) in explain_blocked(catalog, &standing_of(agent)).await? {
            if let Some(bytes) = standing.bytes_without_room() {
                without_room.push(bytes);
                continue;
            }
            if let Standing::Blocked { until: Some(until), .. } = standing {
                left.blocked_next_try = Some(left.blocked_next_try.map_or(until, |first| first.min(until)));
            }
            left.blocked += 1;
            left.blocked_files.push(Named { path: path.display().to_string(), reason: standing.reason() });
        }
        left.without_room.files = without_room.len() as u64;
        if let Some(account) = account {
            left.without_room.fit_now = fitting(account.quota_bytes, account.used_bytes, without_room);
        }
        let unreadable = agent.iter().flat_map(|agent| &agent.folders).flat_map(|one| &one.unreadable);
        for Unreadable { path, reason } in unreadable {
            left.unreadable += 1;
            let reason = format!("what lies there is not backed up: {reason}");
            left.blocked_files.push(Named { path: path.clone(), reason });
        }
        Ok(left)
    }

    /// What an agent with nothing to do has to say, if something is left.
    pub(crate) fn sentence(&self) -> Option<String> {
        let files = self.blocked + self.without_room.files + self.to_be_mended().count() as u64;
        let told = |(count, text): (u64, String)| (count > 0).then_some(text);
        let unreadable = format!("what lies in {} that cannot be read", counted(self.unreadable, "place"));
        let paused = format!("what is new in {}", counted(self.paused_folders, "paused folder"));
        let left =
            [(files, counted(files, "file")), (self.unreadable, unreadable), (self.paused_folders, paused)];
        let left: Vec<String> = left.into_iter().filter_map(told).collect();
        (!left.is_empty()).then(|| format!("all that is there is backed up but for {}", left.join(" and ")))
    }

    /// Those that the next backup sends again.
    fn to_be_mended(&self) -> impl Iterator<Item = &DamagedFile> {
        self.damaged.iter().filter(|file| file.is_here)
    }

    /// What is damaged on the server, and what becomes of it; nothing where nothing is.
    pub(crate) fn describe_damaged(&self) -> String {
        let mut text = String::new();
        let mut tell = |what: &str, is_meant: &dyn Fn(&DamagedFile) -> bool| {
            let meant: Vec<&DamagedFile> = self.damaged.iter().filter(|file| is_meant(file)).collect();
            if meant.is_empty() {
                return;
            }
            text += &format!("  {}: {what}\n", counted(meant.len() as u64, "file"));
            for DamagedFile { file, name, .. } in meant.iter().take(NAMED_MAX) {
                let name = name.as_deref().unwrap_or("a file whose name does not open");
                text += &format!("    {} (file {file})\n", on_one_line(name));
            }
            if let Some(more) = meant.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
                text += &format!("    … and {more} more; --json names them all\n");
            }
        };
        let is_original = |file: &DamagedFile| file.part == Part::Original;
        tell("sent again by the next backup, for they are on this computer", &|file| {
            is_original(file) && file.is_here
        });
        tell(
            "not on this computer; another device that has them and runs `darkslide verify` sends them again, or whoever runs the server brings them back from a backup",
            &|file| is_original(file) && !file.is_here,
        );
        tell("only the thumbnail, made again by the next backup", &|file| !is_original(file) && file.is_here);
        tell("only the thumbnail, and the picture is not on this computer", &|file| {
            !is_original(file) && !file.is_here
        });
        if text.is_empty() { text } else { format!("\nDamaged on the server:\n{text}") }
    }

    /// When an agent tries what it can, if there is something.
    pub(crate) fn next_try(&self) -> Option<String> {
        let is_tried = self.blocked + self.without_room.files + self.unreadable > 0
            || self.to_be_mended().next().is_some();
        is_tried.then(|| match self.blocked_next_try {
            Some(until) => format!("Next try: when all is looked at again after {}", date(until)),
            None => "Next try: when all is looked at again".to_owned(),
        })
    }
}

/// Takes what is gone from what an agent cannot look into. What is on a disk that does not answer is not looked at.
async fn forget_gone(agent: &mut AgentStatus) {
    for folder in &mut agent.folders {
        for one in std::mem::take(&mut folder.unreadable) {
            let is_silent = disks::asked().silent_at(Path::new(&one.path), disks::TO_TELL).await.is_some();
            folder.unreadable.extend(Some(one).filter(|one| is_silent || !is_gone(&one.path)));
        }
    }
}

/// Whether nothing is at a path any more, which is text: what of it is not UTF-8 is replaced, and nothing is known of that.
fn is_gone(path: &str) -> bool {
    let why = Path::new(path).symlink_metadata().err().map(|error| error.kind());
    !path.contains(char::REPLACEMENT_CHARACTER)
        && matches!(why, Some(ErrorKind::NotFound | ErrorKind::NotADirectory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status::FolderStatus;
    use darkslide_client::FileId;

    /// Once, it stayed in the list until all of the folder was looked at again.
    #[tokio::test]
    async fn what_could_not_be_looked_into_and_is_gone_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        let unreadable =
            |path: &Path| Unreadable { path: path.display().to_string(), reason: "why".to_owned() };
        let unreadable = vec![unreadable(&closed), unreadable(&folder.path().join("caf\u{fffd}"))];
        let mut agent = AgentStatus {
            folders: vec![FolderStatus { unreadable, ..FolderStatus::default() }],
            ..AgentStatus::default()
        };
        let left =
            async |agent: &mut AgentStatus| Left::of(&catalog, Some(agent), None).await.unwrap().unreadable;
        assert_eq!(left(&mut agent).await, 2);
        std::fs::remove_dir(&closed).unwrap();
        assert_eq!(left(&mut agent).await, 1, "what cannot be named may be there");
        assert_eq!(agent.folders[0].unreadable.len(), 1, "nor is it told with --json");
    }

    #[test]
    fn what_is_left_is_told_with_its_next_try() {
        assert_eq!(Left::default().sentence(), None);
        let without_room = WithoutRoom { files: 2, fit_now: 0 };
        let left = Left { blocked: 1, without_room, ..Left::default() };
        assert_eq!(left.sentence().unwrap(), "all that is there is backed up but for 3 files");
        assert_eq!(left.next_try().unwrap(), "Next try: when all is looked at again");
        let unreadable = Left { unreadable: 1, ..left.clone() };
        assert!(
            unreadable.sentence().unwrap().ends_with("3 files and what lies in 1 place that cannot be read")
        );
        let damaged = |file, part, is_here| DamagedFile {
            file: FileId(file),
            name: Some(format!("{file}.jpg")),
            part,
            problem: "damaged".to_owned(),
            found: 0,
            is_here,
        };
        let mut files: Vec<_> = (1..6).map(|file| damaged(file, Part::Original, true)).collect();
        files.push(damaged(6, Part::Original, false));
        files.push(damaged(7, Part::Thumbnail, true));
        let broken = Left { damaged: files, ..Left::default() };
        assert!(broken.sentence().unwrap().ends_with("but for 6 files"));
        insta::assert_snapshot!(broken.describe_damaged());
        assert_eq!(left.describe_damaged(), "");
        let later = Left { blocked_next_try: Some(1_700_000_000_000_000), ..left.clone() };
        assert!(later.next_try().unwrap().ends_with("after 2023-11-14 22:13"), "{later:?}");
        let paused = Left { paused_folders: 2, ..left };
        assert!(paused.sentence().unwrap().ends_with("3 files and what is new in 2 paused folders"));
        // Nobody tries those.
        assert_eq!(Left { paused_folders: 1, ..Left::default() }.next_try(), None);
    }
}
