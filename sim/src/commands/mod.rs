//! The commands of the program, one a file.

mod compare;

pub(crate) use self::compare::compare;
