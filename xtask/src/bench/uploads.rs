//! The server's memory while many clients send at once.

use super::aside::set_aside;
use super::probe;
use super::report::{Figures, Kind};
use super::sides::{Darkslide, Options, Side};
use anyhow::Result;
use std::path::Path;

/// Uploads at once.
const CONCURRENT: usize = 64;

/// Bytes of each.
const BYTES: usize = 16 << 20;

/// Half of them resumable, as our client sends large files, half as stock clients do.
pub(crate) fn measure_uploads(work: &Path, divide: usize, runs: usize, figures: &mut Figures) -> Result<()> {
    for _ in 0..runs {
        let repository = work.join("repository");
        std::fs::create_dir_all(&repository)?;
        let mut side = Darkslide::new(Options::default());
        side.prepare(&repository)?;
        let home = side.account()?.home.to_string_lossy().into_owned();
        let bytes = (BYTES / divide).to_string();
        let time = probe::seconds(&["uploads", &home, &CONCURRENT.to_string(), &bytes])?;
        figures.add_time("uploads", &side.name(), "64 uploads", time);
        let name = side.name();
        if let Some(bytes) = side.finish()? {
            figures.add_server("uploads", &name, bytes);
        }
        set_aside(&repository)?;
    }
    let peak = figures.most("uploads", "darkslide", Kind::ServerMemory).unwrap_or(f64::NAN);
    println!(
        "{CONCURRENT} concurrent uploads of {} KiB: the server's peak is {:.0} MB\n",
        (BYTES / divide) >> 10,
        peak / 1e6
    );
    Ok(())
}
