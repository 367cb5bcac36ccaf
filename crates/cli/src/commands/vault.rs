//! What is in the vault: lists, albums, the trash.

use crate::Ending;
use crate::arguments::{AlbumAction, FileFilter, General, Kind, List, ListWhat, TrashAction};
use crate::output::{Output, bytes, counted, date, table};
use crate::{profile, questions};
use anyhow::{Context, Result};
use darkslide_client::FileId;
use darkslide_client::albums::{self, FilesOfDeleted};
use darkslide_client::catalog::Catalog;
use darkslide_client::list::{self, AlbumEntry, FileEntry, ListFilter, list_albums, list_files};
use darkslide_client::session::Session;
use darkslide_client::trash::{self, TrashEntry, list_trash};
use serde_json::json;

/// `list`.
pub(crate) async fn list(output: Output, general: &General, arguments: List) -> Result<Ending> {
    let (session, catalog) = profile::current(output, general).await?;
    if arguments.what == ListWhat::Albums {
        return show_albums(output, &session, &catalog).await;
    }
    let filter = filter(&session, &catalog, &arguments.filter).await?;
    let files = list_files(&session, &catalog, &filter).await?;
    output.answer(&json!({ "files": files }), |_| file_list(&files))?;
    Ok(Ending::Done)
}

/// What the flags mean for the catalog.
pub(crate) async fn filter(session: &Session, catalog: &Catalog, flags: &FileFilter) -> Result<ListFilter> {
    let album = match &flags.album {
        Some(name) => Some(albums::find_album(session, catalog, name).await?.id),
        None => None,
    };
    Ok(ListFilter {
        album,
        taken_from: flags.from.as_deref().map(day).transpose()?,
        taken_until: flags.before.as_deref().map(day).transpose()?.map(|start| start - 1),
        kind: flags.kind.map(|kind| match kind {
            Kind::Image => list::Kind::Image,
            Kind::Video => list::Kind::Video,
            Kind::Live => list::Kind::LivePhoto,
        }),
        name_contains: flags.name.clone(),
    })
}

/// The first microsecond of a day, in UTC.
fn day(text: &str) -> Result<i64> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day =
        time::Date::parse(text, format).with_context(|| format!("{text:?} is not a date like 2024-12-31"))?;
    Ok(day.midnight().assume_utc().unix_timestamp() * 1_000_000)
}

fn file_list(files: &[FileEntry]) -> String {
    if files.is_empty() {
        return "No files.".to_owned();
    }
    let mut rows = vec![["number", "taken", "size", "name", "albums"].map(str::to_owned).to_vec()];
    rows.extend(files.iter().map(|file| {
        let name = file.edited_name.as_ref().or(file.name.as_ref());
        vec![
            file.id.to_string(),
            date(file.taken),
            bytes(file.bytes),
            name.cloned().unwrap_or_else(|| "(unreadable)".to_owned()),
            file.albums.join(", "),
        ]
    }));
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    format!("{}\n{}, {}", table(&rows), counted(files.len() as u64, "file"), bytes(total))
}

async fn show_albums(output: Output, session: &Session, catalog: &Catalog) -> Result<Ending> {
    let albums = list_albums(session, catalog).await?;
    output.answer(&json!({ "albums": albums }), |_| album_list(&albums))?;
    Ok(Ending::Done)
}

fn album_list(albums: &[AlbumEntry]) -> String {
    if albums.is_empty() {
        return "No albums.".to_owned();
    }
    let mut rows = vec![["number", "files", "size", "name"].map(str::to_owned).to_vec()];
    rows.extend(albums.iter().map(|album| {
        vec![album.id.to_string(), album.files.to_string(), bytes(album.bytes), album.name.clone()]
    }));
    table(&rows)
}

/// `album`.
pub(crate) async fn album(output: Output, general: &General, action: AlbumAction) -> Result<Ending> {
    let (session, catalog) = profile::current(output, general).await?;
    let find = async |name: &str| albums::find_album(&session, &catalog, name).await;
    match action {
        AlbumAction::List => return show_albums(output, &session, &catalog).await,
        AlbumAction::Create { name } => {
            let album = albums::create_album(&session, &catalog, &name).await?;
            output.answer(&json!({ "id": album.id, "name": album.name }), |_| {
                format!("The album {name:?} is there.")
            })?;
        }
        AlbumAction::Rename { album, name } => {
            let album = find(&album).await?;
            albums::rename_album(&session, &catalog, &album, &name).await?;
            output.answer(&json!({ "id": album.id, "name": name }), |_| {
                format!("{:?} is called {name:?} now.", album.name)
            })?;
        }
        AlbumAction::Delete { album, trash_files } => {
            let album = find(&album).await?;
            let files = if trash_files { FilesOfDeleted::Trash } else { FilesOfDeleted::Keep };
            albums::delete_album(&session, &catalog, &album, files).await?;
            output.answer(&json!({ "deleted": album.id, "filesTrashed": trash_files }), |_| {
                let files =
                    if trash_files { "its files are in the trash" } else { "its files stay in the vault" };
                format!("The album {:?} is deleted; {files}.", album.name)
            })?;
        }
        AlbumAction::Add { album, files } => {
            let album = find(&album).await?;
            albums::add_to_album(&session, &catalog, &album, &ids(&files)).await?;
            output.answer(&json!({ "album": album.id, "added": files }), |_| {
                format!("{} in {:?}.", counted(files.len() as u64, "file"), album.name)
            })?;
        }
        AlbumAction::Remove { album, files } => {
            let album = find(&album).await?;
            albums::remove_from_album(&session, &catalog, &album, &ids(&files)).await?;
            output.answer(&json!({ "album": album.id, "removed": files }), |_| {
                format!(
                    "{} out of {:?}; still in the vault.",
                    counted(files.len() as u64, "file"),
                    album.name
                )
            })?;
        }
    }
    Ok(Ending::Done)
}

/// `trash`.
pub(crate) async fn trash(output: Output, general: &General, action: TrashAction) -> Result<Ending> {
    let (session, catalog) = profile::current(output, general).await?;
    match action {
        TrashAction::List => {
            let entries = list_trash(&catalog).await?;
            output.answer(&json!({ "trash": entries }), |_| trash_list(&entries))?;
        }
        TrashAction::Add { files } => {
            trash::trash_files(&session, &catalog, &ids(&files)).await?;
            output.answer(&json!({ "trashed": files }), |_| {
                format!("{} in the trash, for 30 days.", counted(files.len() as u64, "file"))
            })?;
        }
        TrashAction::Restore { files, album } => {
            let files = if files.is_empty() { all_trashed(&catalog).await? } else { ids(&files) };
            let album = match album {
                Some(name) => Some(albums::find_album(&session, &catalog, &name).await?),
                None => None,
            };
            let restored = trash::restore_from_trash(&session, &catalog, &files, album.as_ref()).await?;
            output.answer(&json!({ "restored": restored }), |_| {
                format!("{} back in the vault.", counted(restored, "file"))
            })?;
        }
        TrashAction::Empty { yes } => {
            let count = list_trash(&catalog).await?.len() as u64;
            questions::confirm(yes, &format!("Delete {} for ever?", counted(count, "file")))?;
            let purged = trash::empty_trash(&session, &catalog).await?;
            output
                .answer(&json!({ "purged": purged }), |_| format!("{} purged.", counted(purged, "file")))?;
        }
    }
    Ok(Ending::Done)
}

async fn all_trashed(catalog: &Catalog) -> Result<Vec<FileId>> {
    Ok(list_trash(catalog).await?.into_iter().map(|entry| entry.id).collect())
}

fn trash_list(entries: &[TrashEntry]) -> String {
    if entries.is_empty() {
        return "The trash is empty.".to_owned();
    }
    let mut rows = vec![["number", "purged on", "size", "name", "album"].map(str::to_owned).to_vec()];
    rows.extend(entries.iter().map(|entry| {
        vec![
            entry.id.to_string(),
            date(entry.delete_by),
            bytes(entry.bytes),
            entry.name.clone().unwrap_or_else(|| "(unreadable)".to_owned()),
            entry.album.clone().unwrap_or_default(),
        ]
    }));
    table(&rows)
}

fn ids(numbers: &[i64]) -> Vec<FileId> {
    numbers.iter().copied().map(FileId).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight() {
        assert_eq!(day("1970-01-02").unwrap(), 86_400_000_000);
        assert!(day("2024-13-01").is_err());
    }
}
