//! What an import would do, told without a server and without writing anything: as far as this device knows the vault.

use darkslide_media::takeout::verdict::told_moment;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use super::identify::IN_GOOGLES_TRASH;
use super::{Export, Unmatched, folders};
use crate::backup::Named;
use crate::backup::identify::IdentifyError;
use crate::backup::plan::Decision;
use crate::catalog::{Catalog, CatalogError};

/// What would be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Pictures and videos that would be read, and sent unless the vault has them.
    pub files: Vec<Previewed>,
    /// Files that were dealt with before and are what they were.
    pub unchanged: u64,
    /// What is no picture by its name. It is looked into by the import itself.
    pub not_media: Vec<String>,
    /// What would be left out, and why.
    pub skipped: Vec<Named>,
    /// What cannot be read.
    pub failed: Vec<Named>,
    /// What could not be matched.
    #[serde(flatten)]
    pub unmatched: Unmatched,
    /// Pictures and videos that are in the export once more with the same path and content, and count once.
    pub there_twice: u64,
}

/// One picture or video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previewed {
    /// Where it is.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Where it would go.
    pub album: String,
    /// The name of its sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<String>,
    /// The date that its sidecar gives, RFC 3339; none where the import would not believe it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
}

impl Export {
    /// Tells what an import would do at this time, µs since the epoch.
    pub async fn preview(&mut self, catalog: &Catalog, now: i64) -> Result<Preview, CatalogError> {
        let plan = self.plan(catalog).await?;
        let unchanged = plan.settled.iter().filter(|settled| settled.step.decision == Decision::Unchanged);
        let mut preview = Preview {
            unchanged: unchanged.count() as u64,
            skipped: self.left_out().collect(),
            failed: self.unreadable().collect(),
            unmatched: self.unmatched().clone(),
            there_twice: self.there_twice(),
            ..Preview::default()
        };
        for steps in plan.to_read.groups() {
            let Some(folder) = self.folders.get(&steps.folder) else { continue };
            for (at, item) in steps.media.iter().filter_map(|at| Some((*at, folder.media.get(*at)?))) {
                let path = self.whole_path(item).display().to_string();
                if !folders::is_media(&item.path) {
                    preview.not_media.push(path);
                    continue;
                }
                let found = folder.sidecar_of(at);
                let sidecar = found.map(|(sidecar, _)| sidecar);
                let told = found.map(|(sidecar, found)| (sidecar, self.read_sidecar(folder, found.sidecar)));
                let told = told.and_then(|(sidecar, told)| {
                    told.unwrap_or_else(|error| {
                        let path = self.whole_path(sidecar).display().to_string();
                        let failed = Named { path, reason: IdentifyError::from(error).to_string() };
                        if !preview.failed.contains(&failed) {
                            preview.failed.push(failed);
                        }
                        None
                    })
                });
                if told.as_ref().is_some_and(|told| told.trashed) {
                    preview.skipped.push(Named { path, reason: IN_GOOGLES_TRASH.to_owned() });
                    continue;
                }
                let taken = told.and_then(|told| told_moment(&told, now));
                preview.files.push(Previewed {
                    path,
                    size: item.fingerprint.size,
                    album: self.rule().album_of(&self.source(item).root, &item.path).name,
                    sidecar: sidecar.map(|sidecar| {
                        sidecar.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
                    }),
                    taken: taken.and_then(|moment| moment.format(&Rfc3339).ok()),
                });
            }
        }
        preview.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(preview)
    }
}
