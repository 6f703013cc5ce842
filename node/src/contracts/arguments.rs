//! Takes the arguments of a call apart, in the order of the function's parameters.

use crate::{transaction::Value, types::PartyId};

/// Why arguments were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArgumentFault {
    /// There are not as many as the function has parameters.
    #[error("{found} arguments where {needed} are needed")]
    Count {
        /// Arguments given.
        found: usize,
        /// Parameters of the function.
        needed: usize,
    },
    /// One of them is of another type.
    #[error("argument {place} is not {needed}")]
    Type {
        /// Which, counted from 1.
        place: usize,
        /// What the function takes there.
        needed: &'static str,
    },
}

/// Refuses any other number of arguments than `N`.
pub fn exactly<const N: usize>(arguments: &[Value]) -> Result<&[Value; N], ArgumentFault> {
    arguments.try_into().map_err(|_| ArgumentFault::Count {
        found: arguments.len(),
        needed: N,
    })
}

/// The integer at index `at`.
pub fn int(arguments: &[Value], at: usize) -> Result<i64, ArgumentFault> {
    match arguments[at] {
        Value::Int(value) => Ok(value),
        _ => Err(wrong_type(at, "an integer")),
    }
}

/// The address at index `at`: a party, or nobody (Solidity's address zero).
pub fn address(arguments: &[Value], at: usize) -> Result<Option<PartyId>, ArgumentFault> {
    match arguments[at] {
        Value::Party(party) => Ok(Some(party)),
        Value::Nobody => Ok(None),
        _ => Err(wrong_type(at, "a party")),
    }
}

/// The fault of the argument at index `at`, which is not what the function takes there.
pub fn wrong_type(at: usize, needed: &'static str) -> ArgumentFault {
    ArgumentFault::Type {
        place: at + 1,
        needed,
    }
}
