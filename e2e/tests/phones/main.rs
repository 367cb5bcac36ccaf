//! Days of phones: what is in the vault at their end, how many bytes took which network, and that every explanation was true on the way.

mod albums;
mod edits;
mod networks;
mod nights;
mod trouble;
