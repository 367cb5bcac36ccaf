//! What breaks stock clients when a server gets it wrong, each as a test of its own. Numbers are those of the API's
//! description: `trap_NN` of files §10, `trap_account_NN` of accounts §7.
//!
//! Kept elsewhere: 5 in `mobile`, 25 in `web`, 26, 27 and 40 in both transcripts, 37 in `cross`, account 2 in
//! `registration`. Not played from outside: 17 (a page holds thousands of rows), 41 (a request of 50 minutes).

mod accounts;
mod blobs;
mod diffs;
mod uploads;
