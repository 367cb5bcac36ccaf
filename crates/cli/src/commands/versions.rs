//! `darkslide versions`: what a file was before it was edited, and bringing it back.

use crate::Ending;
use crate::arguments::{General, Versions};
use crate::output::{Output, bytes, date, table};
use crate::profile;
use anyhow::{Result, bail};
use darkslide_client::backup::explain::file_at;
use darkslide_client::catalog::Catalog;
use darkslide_client::versions::{EarlierEntry, files_named, list_versions, restore_version};
use darkslide_client::{FileId, Version, feed};
use serde_json::json;
use std::path::Path;

/// Lists, or brings one back.
pub(crate) async fn run(output: Output, general: &General, arguments: Versions) -> Result<Ending> {
    let (session, catalog) = profile::current(output, general).await?;
    let file = file_meant(&catalog, &arguments.file).await?;
    if let Some(version) = arguments.restore {
        restore_version(&session, file, Version(version)).await?;
        let pulled = feed::pull(&session, &catalog).await?;
        profile::tell_damage(output, &pulled.damaged);
        output.answer(&json!({ "file": file, "restored": version }), |_| {
            format!(
                "File {file} is again what it was; what it was until now can be brought back for 30 days."
            )
        })?;
        return Ok(Ending::Done);
    }
    let versions = list_versions(&session, &catalog, file).await?;
    output.answer(&json!({ "file": file, "versions": versions }), |_| list(file, &versions))?;
    Ok(Ending::Done)
}

/// The file that lies there, that with this number, or the only one with this name.
async fn file_meant(catalog: &Catalog, text: &str) -> Result<FileId> {
    if let Some(file) = file_at(catalog, Path::new(text)).await? {
        return Ok(file);
    }
    let named = files_named(catalog, text).await?;
    match (named.as_slice(), text.parse()) {
        ([file], _) => Ok(*file),
        ([], Ok(number)) => Ok(FileId(number)),
        ([], Err(_)) => bail!("there is no file named {text:?}; `darkslide list` shows names and numbers"),
        (several, _) => {
            let numbers: Vec<String> = several.iter().map(ToString::to_string).collect();
            bail!(
                "several files are named {text:?}: say which by its path, or by its number, one of {}",
                numbers.join(", ")
            )
        }
    }
}

fn list(file: FileId, versions: &[EarlierEntry]) -> String {
    if versions.is_empty() {
        return format!("File {file} was not edited in the last 30 days.");
    }
    let mut rows = vec![["version", "replaced on", "kept until", "size", "name"].map(str::to_owned).to_vec()];
    rows.extend(versions.iter().map(|version| {
        vec![
            version.version.to_string(),
            date(version.replaced_at),
            date(version.expires_at),
            bytes(version.bytes),
            version.name.clone().unwrap_or_else(|| "(unreadable)".to_owned()),
        ]
    }));
    table(&rows)
}
