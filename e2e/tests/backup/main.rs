//! Whole backups against the real server: what is sent, what is not sent again, and what survives an interruption.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "an expectation that does not hold fails the test right there"
)]

mod corpus;
mod dedup;
mod edits;
mod explained;
mod freeing;
mod halves;
mod head_start;
mod interrupted;
mod lanes;
mod live;
mod mending;
mod places;
mod proxies;
mod renames;
mod scene;
mod takeout;
mod takeout_again;
mod takeout_rivals;
mod thumbnails;
mod ways;
