//! The proof of the decisions of a sync folder: a folder, a vault and all that people, clients, disks and crashes do to them, in memory.
//!
//! [`world`] is what there is, [`events`] what happens to it without us, [`carry`] what carrying a plan out does to it, [`run`] puts them together,
//! and [`invariants`] says what must hold at every step. [`ledger`] knows what nobody tells the planner: who deleted what, and what is still
//! wanted. [`exhaustive`] looks at every state of a single path, [`random`] at long histories of several, and [`mutants`] shows that a planner
//! without one of its rules is caught. No disk, no clock and no network is touched.

mod carry;
mod events;
mod exhaustive;
mod invariants;
mod ledger;
mod mutants;
mod random;
mod run;
mod sequences;
mod world;
