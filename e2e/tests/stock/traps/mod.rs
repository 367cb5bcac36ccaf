//! What breaks stock clients when a server gets it wrong, each as a test of its own. Numbers are those of the API's
//! description: `trap_NN` of files §10, `trap_account_NN` of accounts §7.
//!
//! Kept elsewhere: 5 in `mobile`, 25 in `web`, 26, 27 and 40 in both transcripts, 37 in `cross`, account 2 in
//! `registration`. Of tier 1, and not offered yet: 31, 45 to 47. 49 is a client's own.

mod accounts;
mod blobs;
mod diffs;
mod uploads;
