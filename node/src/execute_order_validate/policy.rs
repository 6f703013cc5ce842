//! Who must have tried a transaction before its effects count.

use std::sync::Arc;

use crate::{endorsement::Endorsed, membership::Committee, transaction::Invalidity};

/// An endorsement policy: k of these endorsers (§4.4 calls the check that of the validation system
/// chaincode).
#[derive(Clone, Debug)]
pub struct Policy {
    endorsers: Arc<Committee>,
    needed: usize,
}

impl Policy {
    /// `needed` of `endorsers`. Refuses a policy that nobody or nothing could satisfy.
    pub fn new(endorsers: Arc<Committee>, needed: usize) -> Self {
        assert!(
            (1..=endorsers.n()).contains(&needed),
            "{needed} of {} endorsers cannot be asked for",
            endorsers.n()
        );
        Self { endorsers, needed }
    }

    /// The endorsers.
    pub fn endorsers(&self) -> &Committee {
        &self.endorsers
    }

    /// How many of them must agree (k).
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Checks that enough distinct endorsers signed.
    pub fn check(&self, endorsed: &Endorsed) -> Result<(), Invalidity> {
        let signers = endorsed.signed_by(&self.endorsers);
        if signers >= self.needed {
            Ok(())
        } else {
            Err(Invalidity::Policy {
                signers: signers as u32,
                needed: self.needed as u32,
            })
        }
    }
}
