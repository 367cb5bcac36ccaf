//! How much memory a run may take, whatever the size and number of the files.

use std::time::Duration;

use darkslide_crypto::stream::CHUNK_LEN;

use super::hash::is_kept;
use super::identify::Asset;
use crate::together::{Company, Most};

/// Bytes that one unit of room in memory stands for.
const ROOM_UNIT: u64 = 1024;

/// Bounds that a run keeps. What a bound costs is speed.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Room for the bytes of all assets in flight, plain or sealed, in units of 1 KiB.
    pub(super) room_units: u32,
    /// Small assets in flight, as far as there is room: enough to fill some batches.
    pub(super) small_in_flight: usize,
    /// Large photos in flight, and as many large videos. Together they leave room for small assets.
    pub(super) large_in_flight: usize,
    /// Small assets that are hashed side by side, one group at a time.
    pub(super) hashed_together: Most,
    /// How many of these are worth waiting for: as many as the processor has lanes, for less than it takes to send one of them.
    pub(super) hashed_in_company: Company,
    /// Small assets that are sealed in one go.
    pub(super) sealed_together: Most,
    /// Bytes of a batch on the fastest line.
    pub(super) batch_bytes: u64,
    /// Contents whose marks are kept, as far as the vault and this device have no more of them.
    pub(super) marks: i64,
    /// Whether large files are sent while they are hashed, which keeps some chunks of them in memory.
    pub(super) runs_ahead: bool,
}

impl Memory {
    /// For computers: below 96 MB.
    ///
    /// Four files in the lanes of one processor are hashed sooner than two on two processors; one large file is sent while the next is
    /// hashed.
    pub const USUAL: Self = Self {
        room_units: 48 * 1024,
        small_in_flight: 640,
        large_in_flight: 2,
        hashed_together: Most { count: 16, bytes: 16 << 20 },
        hashed_in_company: Company { count: 4, within: Duration::from_millis(15) },
        sealed_together: Most { count: 32, bytes: 8 << 20 },
        batch_bytes: 8 << 20,
        marks: 100_000,
        runs_ahead: true,
    };

    /// For phones, and computers that have little: below 64 MB.
    pub const LITTLE: Self = Self {
        room_units: 16 * 1024 + 512,
        small_in_flight: 64,
        large_in_flight: 1,
        hashed_together: Most { count: 4, bytes: 4 << 20 },
        hashed_in_company: Company::NONE,
        sealed_together: Most { count: 8, bytes: 4 << 20 },
        batch_bytes: 4 << 20,
        marks: 20_000,
        runs_ahead: false,
    };

    /// The same that keeps the marks of at most so many contents, of which the vault may have more.
    pub const fn with_marks(self, most: u32) -> Self {
        Self { marks: most as i64, ..self }
    }
}

/// Bytes in memory of an asset that is read piece by piece, beside its own: pieces that are on their way, its thumbnail, its records.
const PIECES_BYTES: u64 = 128 * 1024;

/// The same of one that is sealed in one go.
const RECORDS_BYTES: u64 = 48 * 1024;

/// Room in memory for an asset's bytes, plain or sealed; of one that is read piece by piece, for the pieces. In units.
pub(super) fn room_of(asset: &Asset) -> u32 {
    let beside = if is_kept(asset) { RECORDS_BYTES } else { PIECES_BYTES };
    let bytes = asset.size().min(CHUNK_LEN as u64) + beside;
    u32::try_from(bytes / ROOM_UNIT).unwrap_or(u32::MAX)
}
