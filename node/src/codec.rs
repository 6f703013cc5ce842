//! The canonical encoding: borsh, with its strict order of maps and sets.
//!
//! One value has one encoding and one encoding has one value; what is hashed and what is sent is the
//! same bytes. A decoder refuses trailing bytes, and a length prefix is never trusted beyond what
//! remains of the input.

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};

use crate::types::Digest;

/// Why bytes were refused.
#[derive(Debug, thiserror::Error)]
#[error("malformed encoding: {0}")]
pub struct CodecError(#[from] std::io::Error);

impl CodecError {
    /// A refusal that the encoding itself cannot express, with its reason.
    #[must_use]
    pub fn refused(why: &'static str) -> Self {
        Self(std::io::Error::new(std::io::ErrorKind::InvalidData, why))
    }
}

/// The canonical bytes of a value.
#[must_use]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail")
}

/// Reads exactly one value from exactly these bytes.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(T::try_from_slice(bytes)?)
}

/// SHA-256 of a domain name and the canonical bytes of a value. Two domains never share a digest.
#[must_use]
pub fn digest<T: BorshSerialize + ?Sized>(domain: &str, value: &T) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([u8::try_from(domain.len()).expect("domains are short")]);
    hasher.update(domain);
    borsh::to_writer(HashWriter(&mut hasher), value).expect("hashing does not fail");
    Digest(hasher.finalize().into())
}

struct HashWriter<'a>(&'a mut Sha256);

impl borsh::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> borsh::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> borsh::io::Result<()> {
        Ok(())
    }
}
