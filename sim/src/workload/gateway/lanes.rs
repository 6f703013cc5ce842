//! Whose turn it is among transactions that would invalidate each other.
//!
//! Two transactions of one party write the same replay window, and two calls of one contract the same
//! contract. Endorsed side by side on one state, the second of them is lost to a read conflict, and which
//! one that is is chance. A client that knows its own transactions can have them endorsed one after the
//! other, in the order in which they came; conflicts are left for what several gateways do at once.

use std::collections::{BTreeMap, VecDeque};

use consortium_node::{
    transaction::{Call, ContractId, Transaction},
    types::{PartyId, TxId},
};

/// What transactions may be in each other's way about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lane {
    Party(PartyId),
    Contract(ContractId),
}

/// The lines in which transactions wait: each in its party's and in its contract's.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lines: BTreeMap<Lane, VecDeque<TxId>>,
    places: BTreeMap<TxId, [Lane; 2]>,
    /// Transactions that are not at the head of both of their lines.
    waiting: usize,
}

impl Lanes {
    /// Puts a transaction at the end of its lines. Whether its turn has come at once.
    pub(super) fn enter(&mut self, transaction: &Transaction) -> bool {
        let tx = transaction.id();
        let contract = match transaction.call() {
            Call::Create { .. } => ContractId(tx),
            Call::Invoke { contract, .. } => *contract,
        };
        let lanes = [Lane::Party(transaction.party()), Lane::Contract(contract)];
        for lane in lanes {
            self.lines.entry(lane).or_default().push_back(tx);
        }
        self.places.insert(tx, lanes);
        let ready = self.is_first(&tx);
        self.waiting += usize::from(!ready);
        ready
    }

    /// Takes a transaction out; whose turn has come with that.
    pub(super) fn leave(&mut self, tx: &TxId) -> Vec<TxId> {
        let was_first = self.is_first(tx);
        let Some(lanes) = self.places.remove(tx) else {
            return Vec::new();
        };
        self.waiting -= usize::from(!was_first);
        let mut next = Vec::new();
        for lane in lanes {
            let line = self.lines.get_mut(&lane).expect("it stands in its lines");
            let was_head = line.front() == Some(tx);
            line.retain(|other| other != tx);
            match line.front() {
                Some(head) if was_head => next.push(*head),
                Some(_) => {}
                None => {
                    self.lines.remove(&lane);
                }
            }
        }
        next.dedup();
        next.retain(|head| self.is_first(head));
        self.waiting -= next.len();
        next
    }

    /// Transactions whose turn has not come.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn is_first(&self, tx: &TxId) -> bool {
        let lanes = self.places.get(tx);
        lanes.is_some_and(|lanes| {
            let mut lines = lanes.iter().map(|lane| self.lines.get(lane));
            lines.all(|line| line.and_then(VecDeque::front) == Some(tx))
        })
    }
}
