//! One agent a profile: a lock on a file, which goes with the process.

use std::fs::{File, OpenOptions, TryLockError};

use anyhow::{Context as _, Result, bail};
use darkslide_client::profile::Profile;

/// Makes this process the profile's agent, until it ends.
pub(super) fn be_alone(profile: &Profile) -> Result<File> {
    let path = profile.folder().join("agent.lock");
    let failed = || format!("cannot use {}", path.display());
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).with_context(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "an agent of the profile {} is running already; `darkslide agent status` shows it",
                profile.name()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(failed),
    }
}
