//! Cheats at the edge: readings that no honest device would send.

use std::sync::Arc;

use consortium_node::{crypto::Keypair, transaction::Transaction, types::NodeId};

use crate::{
    fact::{Purpose, Submission},
    time::Time,
};

use super::Fleet;
use crate::workload::{ingest, seconds};

/// Who cheats: which one of the plan it is, and through which gateway it submits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cheater {
    /// Its number in the plan.
    pub cheat: usize,
    /// Its member's gateway.
    pub gateway: NodeId,
}

impl Fleet {
    /// A reading that claims to be the device's and is signed with the cheat's own key. Its values are
    /// harmless, its number is the device's next, which stays unused. `None` before the journey starts
    /// and after it has ended.
    pub fn forged_reading(
        &self,
        package: usize,
        now: Time,
        by: Cheater,
        key: &Arc<Keypair>,
    ) -> Option<(Submission, Arc<Transaction>)> {
        let (its, terms) = (&self.packages[package], &self.route.terms);
        let contract = its.contract?;
        let leg = self.route.journey.leg_at(its.offset_ns(now))?;
        let temperature_dc = i64::midpoint(terms.min_temperature_dc, terms.max_temperature_dc);
        let humidity_dpct = i64::midpoint(terms.min_humidity_dpct, terms.max_humidity_dpct);
        // An id does not depend on the signature. Stamped a second ago, the forgery cannot have the id
        // of the device's own next reading.
        let call = ingest(contract, humidity_dpct, temperature_dc, seconds(now) - 1);
        let transaction = Transaction::sign(key, its.device.id, its.device.nonce + 1, call);
        let submission = Submission {
            tx: transaction.id(),
            party: its.device.id,
            gateway: by.gateway,
            contract,
            package,
            leg,
            due: now,
            purpose: Purpose::Reading {
                temperature_dc,
                humidity_dpct,
            },
            cheat: Some(by.cheat),
        };
        Some((submission, transaction))
    }

    /// An old reading of the device, as a cheat submits it again: the newest that is some minutes old,
    /// the oldest there is if none is. It has the id of the original. `None` before there is one.
    pub fn replayed_reading(
        &self,
        package: usize,
        now: Time,
        by: Cheater,
    ) -> Option<(Submission, Arc<Transaction>)> {
        let (original, transaction) = self.packages[package].old_reading(now)?;
        let submission = Submission {
            gateway: by.gateway,
            due: now,
            cheat: Some(by.cheat),
            ..original.clone()
        };
        Some((submission, Arc::clone(transaction)))
    }
}
