//! Who else on this device has what a file of the vault is: another place that is there, or that was freed and has its only copy in the vault. A
//! file that was moved, or is known under two roots, is no second one, and neither is what is gone.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use darkslide_protocol::FileId;

use super::run::Run;
use crate::catalog::{AssetPlace, AssetRow, AssetState, CatalogError, Holder};
use crate::library::{folder, path_of};
use crate::watch::disks;

/// What is so of somebody who is, or was, in the vault as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Has it, or may have it.
    Relies,
    /// Does not have it any more.
    Gone,
    /// Is, under its new name, the one that is asked for; what it was is away with its root.
    Moved,
}

impl Run {
    /// Whether another asset of this device than that of these places is in the vault as this file, and nowhere else: one that is here, or was
    /// freed.
    pub(super) async fn is_relied_on(
        &self,
        file: FileId,
        places: Vec<AssetPlace>,
    ) -> Result<bool, CatalogError> {
        let is_meant = |place: &AssetPlace| places.iter().any(|meant| whole(meant) == whole(place));
        if !self.catalog.freed_places(file).await?.iter().all(is_meant) {
            return Ok(true);
        }
        let holders = self.catalog.holders(file).await?;
        let whole: Vec<PathBuf> = holders.iter().map(|holder| holder.asset.whole_path()).collect();
        disks::asked().silent_of(whole.iter().map(PathBuf::as_path), disks::TO_READ).await;
        let looking = tokio::task::spawn_blocking(move || stands(holders, &places));
        let stands = looking.await.expect("looking at files does not panic");
        for (row, _) in stands.iter().filter(|(_, stand)| *stand == Stand::Moved) {
            // Once what it is now is edited, nothing would tell.
            self.catalog.mark_absent(&row.root, std::slice::from_ref(&row.path), self.now).await?;
        }
        Ok(stands.iter().any(|(_, stand)| *stand == Stand::Relies))
    }
}

/// What is so of each that is at another place than these. Blocks.
fn stands(holders: Vec<Holder>, places: &[AssetPlace]) -> Vec<(AssetRow, Stand)> {
    let meant: HashSet<PathBuf> = places.iter().map(whole).collect();
    let (own, others): (Vec<_>, Vec<_>) =
        holders.into_iter().partition(|holder| meant.contains(&holder.asset.whole_path()));
    let is_own = |row: &AssetRow| {
        let print = row.fingerprint;
        print.inode != 0 && own.iter().any(|holder| holder.asset.fingerprint == print)
    };
    let stand = |holder: Holder| {
        let stand = stand(&holder, is_own);
        (holder.asset, stand)
    };
    others.into_iter().map(stand).collect()
}

fn whole(place: &AssetPlace) -> PathBuf {
    path_of(&place.root).join(path_of(&place.path))
}

fn stand(holder: &Holder, is_own: impl Fn(&AssetRow) -> bool) -> Stand {
    let relies = |does| if does { Stand::Relies } else { Stand::Gone };
    let row = &holder.asset;
    if row.state == AssetState::Freed {
        return Stand::Relies;
    }
    if let Some(is_listed) = holder.is_listed {
        return relies(is_listed);
    }
    if holder.is_absent {
        return Stand::Gone;
    }
    if disks::asked().owes(&row.whole_path()) {
        return Stand::Relies;
    }
    match row.whole_path().symlink_metadata() {
        // What is in one that could not be backed up is not known.
        Ok(_) if matches!(row.state, AssetState::Blocked | AssetState::NoRoom) => Stand::Relies,
        Ok(metadata) => {
            let there = folder::fingerprint(&metadata);
            let was = row.fingerprint;
            relies(metadata.is_file() && (there.size, there.modified_ns) == (was.size, was.modified_ns))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => match path_of(&row.root).exists() {
            true => Stand::Gone,
            false if is_own(row) => Stand::Moved,
            // Its disk may be away.
            false => Stand::Relies,
        },
        Err(_) => Stand::Relies,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{DeviceAlbumKey, Fingerprint};
    use crate::library::raw;
    use std::fs;
    use std::path::Path;

    fn row(root: &Path, path: &str, fingerprint: Fingerprint) -> AssetRow {
        AssetRow {
            root: raw(root),
            path: path.into(),
            fingerprint,
            motion: None,
            album: DeviceAlbumKey { root: raw(root), folder: Vec::new() },
            content_hash: None,
            file: Some(FileId(1)),
            state: AssetState::BackedUp,
            reason: None,
            first_seen: 1,
            last_seen: 1,
            failing: None,
        }
    }

    #[test]
    fn only_another_place_that_is_there_or_was_freed_relies_on_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("x")).unwrap();
        for name in ["x/a.jpg", "copy.jpg"] {
            fs::write(root.join(name), b"picture").unwrap();
        }
        let print = |name: &str| folder::fingerprint(&root.join(name).metadata().unwrap());
        let (here, copy, away) = (print("x/a.jpg"), print("copy.jpg"), root.join("away"));
        let other = Fingerprint { inode: here.inode + 1, ..here };
        let place = AssetPlace { root: raw(&root), path: b"x/a.jpg".to_vec() };
        let holder = |asset| Holder { asset, is_absent: false, is_listed: None };
        let in_state = |state| AssetRow { state, ..row(&root, "gone.jpg", other) };
        let blocked = AssetRow { state: AssetState::Blocked, ..row(&root, "copy.jpg", other) };
        for (other, expected) in [
            (holder(row(&root.join("x"), "a.jpg", here)), None),
            (holder(row(&root, "copy.jpg", copy)), Some(Stand::Relies)),
            (holder(row(&root, "copy.jpg", Fingerprint { size: 1, ..copy })), Some(Stand::Gone)),
            (holder(blocked), Some(Stand::Relies)),
            (holder(row(&root, "gone.jpg", here)), Some(Stand::Gone)),
            (holder(in_state(AssetState::Freed)), Some(Stand::Relies)),
            (Holder { is_absent: true, ..holder(row(&root, "copy.jpg", copy)) }, Some(Stand::Gone)),
            (holder(row(&away, "a.jpg", here)), Some(Stand::Moved)),
            (holder(row(&away, "a.jpg", other)), Some(Stand::Relies)),
            (Holder { is_listed: Some(true), ..holder(row(&away, "1", other)) }, Some(Stand::Relies)),
            (Holder { is_listed: Some(false), ..holder(row(&away, "1", other)) }, Some(Stand::Gone)),
        ] {
            let holders = vec![holder(row(&root, "x/a.jpg", here)), other.clone()];
            let told: Vec<_> =
                stands(holders, std::slice::from_ref(&place)).into_iter().map(|(_, stand)| stand).collect();
            assert_eq!(told, Vec::from_iter(expected), "{other:?}");
        }
    }
}
