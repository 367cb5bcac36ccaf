//! Whether a tree came back as it was.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A measurement of a restore that lost something is worth nothing: every file of `source` must be somewhere under `target`.
pub(crate) fn same_contents(source: &Path, target: &Path) -> Result<()> {
    let wanted = sums(source)?;
    let found = sums(target)?;
    ensure!(
        wanted == found,
        "{} holds {} of {} files as they were",
        target.display(),
        found.len(),
        wanted.len()
    );
    Ok(())
}

/// The same, of a vault that keeps each content once: a file that is in several albums comes back in each of them.
pub(crate) fn all_contents(source: &Path, target: &Path) -> Result<()> {
    let (wanted, found) = (sums(source)?, sums(target)?);
    let missing = wanted.keys().filter(|sum| !found.contains_key(sum)).count();
    let others = found.keys().filter(|sum| !wanted.contains_key(sum)).count();
    ensure!(
        (missing, others) == (0, 0),
        "{} lacks {missing} of {} contents, and has {others} others",
        target.display(),
        wanted.len()
    );
    Ok(())
}

/// How often each content occurs, by a checksum over it.
fn sums(folder: &Path) -> Result<BTreeMap<u64, usize>> {
    let mut sums = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            *sums.entry(sum(entry.path())?).or_default() += 1;
        }
    }
    Ok(sums)
}

fn sum(path: &Path) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(sum);
        }
        for word in block.get(..length).unwrap_or_default().chunks(8) {
            let value = word.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            sum = (sum ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }
}
