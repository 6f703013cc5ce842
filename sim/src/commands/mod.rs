//! The commands of the program, one a file.

mod compare;
mod survey;

pub(crate) use self::{compare::compare, survey::survey};
