//! How a file of the vault stands, by its number: what the vault has of it and since when, and where it lies on this device.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use darkslide_protocol::FileId;

use super::{Keepers, albums_of, located};
use crate::backup::rules::explanation::read_back;
use crate::backup::standing::Agent;
use crate::catalog::{AssetState, Catalog, CatalogError, DamagedFile, FileRow, Fingerprint, Holder, Part};
use crate::library::folder::fingerprint;
use crate::library::path_of;
use crate::local_time::day;

/// The same for a file of the vault, by its number. `None` where the catalog knows none.
pub async fn explain_file(catalog: &Catalog, file: FileId) -> Result<Option<String>, CatalogError> {
    let memberships = catalog.memberships(file).await?;
    let Some(first) = memberships.first() else { return Ok(None) };
    let title = first.title.as_deref().unwrap_or("a file without a name");
    let (holders, damage) = (catalog.holders(file).await?, catalog.damage_of(file).await?);
    let place = in_vault(catalog, &memberships, &holders, damage.as_ref()).await?;
    let here = on_this_device(catalog, file, &holders).await?;
    let damaged = damage.as_ref().map_or("", described);
    Ok(Some(format!("{title}: {place}. {here}.{damaged}")))
}

/// What the vault has of it, since when this device knows that, and when the server last read it back.
async fn in_vault(
    catalog: &Catalog,
    memberships: &[FileRow],
    holders: &[Holder],
    damage: Option<&DamagedFile>,
) -> Result<String, CatalogError> {
    let Some(file) = memberships.first().map(|membership| membership.id) else { return Ok(String::new()) };
    let albums = albums_of(catalog, memberships).await?;
    if albums.is_empty() {
        let at = catalog.deleted_at(file).await?;
        return Ok(at.map_or_else(
            || "deleted from the vault".to_owned(),
            |at| format!("deleted from the vault on {}", day(at)),
        ));
    }
    let is_damaged = damage.is_some_and(|damage| damage.part == Part::Original);
    let receipt = if is_damaged { None } else { catalog.receipt(file).await? };
    let was_kept = |holder: &&Holder| matches!(holder.asset.state, AssetState::BackedUp | AssetState::Freed);
    let at = holders.iter().filter(was_kept).map(|holder| holder.asset.last_seen).max();
    // Of what came from another device this one knows no date.
    let lead = at.map_or_else(|| "in the vault".to_owned(), |at| format!("backed up on {}", day(at)));
    Ok(format!("{lead}, in {}{}", albums.join(", "), read_back(receipt)))
}

/// Where it lies on this device, as far as that can be looked at. Blocks.
async fn on_this_device(catalog: &Catalog, file: FileId, holders: &[Holder]) -> Result<String, CatalogError> {
    let (mut here, mut unseen) = (Vec::new(), Vec::new());
    let mut places: BTreeMap<PathBuf, (Vec<u8>, Option<Fingerprint>)> = BTreeMap::new();
    for Holder { asset, is_absent, is_listed } in holders {
        match (asset.state, is_absent, is_listed) {
            // What a library tells of is not looked for on a disk.
            (AssetState::BackedUp, false, Some(true)) => here.push(asset.whole_path().display().to_string()),
            (AssetState::BackedUp, false, None) => {
                places.insert(asset.whole_path(), (asset.root.clone(), Some(asset.fingerprint)));
            }
            _ => {}
        }
    }
    for place in catalog.synced_places(file).await? {
        let whole = path_of(&place.root).join(path_of(&place.path));
        places.entry(whole).or_insert((place.root, None));
    }
    let mut keepers = Keepers::read(catalog, &Agent::Works).await?;
    for (path, (root, known)) in places {
        let shown = path.display();
        match look(&path, known.as_ref()) {
            Lies::Here => here.push(shown.to_string()),
            Lies::Changed => here.push(format!("{shown} (changed since)")),
            Lies::Hidden => unseen.push(shown.to_string()),
            // Where all of its folder is away, it is not gone.
            Lies::Nowhere if keepers.away(&path_of(&root)).await?.is_some() => unseen.push(shown.to_string()),
            Lies::Nowhere => {}
        }
    }
    let told =
        |lead, paths: Vec<String>| (!paths.is_empty()).then(|| format!("{lead}: {}", paths.join(", ")));
    let told = [told("On this device", here), told("Last seen where nobody can look now", unseen)];
    let told: Vec<String> = told.into_iter().flatten().collect();
    Ok(if told.is_empty() { "No copy of it is known on this device".to_owned() } else { told.join(". ") })
}

/// What lies where a copy was.
enum Lies {
    Here,
    Changed,
    Hidden,
    Nowhere,
}

fn look(path: &Path, known: Option<&Fingerprint>) -> Lies {
    match path.symlink_metadata() {
        Ok(metadata) if known.is_some_and(|known| fingerprint(&metadata) != *known) => Lies::Changed,
        Ok(_) => Lies::Here,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Lies::Hidden,
        // In an archive.
        Err(_) if located(path).is_some() => Lies::Here,
        Err(_) => Lies::Nowhere,
    }
}

/// One sentence.
fn described(damage: &DamagedFile) -> &'static str {
    match (damage.part, damage.is_here) {
        (Part::Thumbnail, _) => " Its thumbnail is damaged on the server.",
        (Part::Original, true) => " It is damaged on the server; it is sent again by the next backup.",
        (Part::Original, false) => {
            " It is damaged on the server; whoever still has it sends it again with the next backup."
        }
    }
}
