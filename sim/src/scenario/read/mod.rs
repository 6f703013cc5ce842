//! Turns the tree into the parts of a plan, one file a part.

pub(crate) mod changes;
pub(crate) mod cheats;
pub(crate) mod compare;
pub(crate) mod consensus;
pub(crate) mod faults;
pub(crate) mod fleet;
pub(crate) mod load;
pub(crate) mod network;
pub(crate) mod people;
pub(crate) mod schedules;
