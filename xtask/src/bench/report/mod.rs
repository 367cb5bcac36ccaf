//! What was measured, how it is shown to people, and what was aimed at.

mod figures;
mod goals;
mod machine;
mod table;

pub(crate) use figures::{Figures, Kind};
pub(crate) use goals::Goals;
pub(crate) use machine::machine;
pub(crate) use table::Table;
