//! Two-way folder sync with a real Syncthing: a phone, the folder at home that the agent looks after, a server, and another client
//! of the account, which people know as the web.
//!
//! What is said at the end of every story, see [`World::ends`](world::World::ends): what the user never deleted is live in the vault and in both
//! folders, what they deleted is in a trash, nothing was purged, and one more pass does nothing.

#![expect(clippy::indexing_slicing, reason = "what an answer does not have fails the test")]

mod android;
mod away;
mod chance;
mod everyday;
mod safety;
mod table;
mod world;
mod writer;
