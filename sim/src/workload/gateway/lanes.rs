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
        let places = self.places.get(tx);
        places.is_some_and(|lanes| {
            let mut queues = lanes.iter().map(|lane| self.lines.get(lane));
            queues.all(|queue| queue.and_then(VecDeque::front) == Some(tx))
        })
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        crypto::{Keypair, SignatureMode},
        types::{ChainId, Digest},
    };

    use super::*;

    /// The first call by a party of a contract.
    fn call(party: u32, contract: u8) -> std::sync::Arc<Transaction> {
        numbered(party, 1, contract)
    }

    fn numbered(party: u32, nonce: u64, contract: u8) -> std::sync::Arc<Transaction> {
        let key = Keypair::from_seed([1; 32], ChainId(1), SignatureMode::Lazy);
        let call = Call::Invoke {
            contract: ContractId(Digest([contract; 32])),
            function: "f".into(),
            arguments: Vec::new(),
        };
        Transaction::sign(&key, PartyId(party), nonce, call)
    }

    #[test]
    fn a_transaction_waits_for_all_before_it_in_both_lines() {
        let mut lanes = Lanes::default();
        let [a, b, both] = [call(1, 1), call(2, 2), call(1, 2)];
        assert!(lanes.enter(&a));
        assert!(lanes.enter(&b));
        assert!(!lanes.enter(&both));
        assert_eq!(lanes.waiting(), 1);
        assert!(lanes.leave(&a.id()).is_empty(), "b is still before it");
        assert_eq!(lanes.leave(&b.id()), [both.id()]);
        assert_eq!(lanes.waiting(), 0);
        assert!(lanes.leave(&both.id()).is_empty());
        assert!(lanes.lines.is_empty() && lanes.places.is_empty());
    }

    #[test]
    fn whoever_leaves_before_its_turn_is_not_waited_for() {
        let mut lanes = Lanes::default();
        let [first, second, third] = [call(1, 1), call(1, 2), call(1, 3)];
        for transaction in [&first, &second, &third] {
            lanes.enter(transaction);
        }
        assert!(lanes.leave(&second.id()).is_empty());
        assert_eq!(lanes.waiting(), 1);
        assert_eq!(lanes.leave(&first.id()), [third.id()]);
        assert!(lanes.leave(&first.id()).is_empty(), "it has left");
    }

    #[test]
    fn one_turn_is_announced_once() {
        let mut lanes = Lanes::default();
        let (first, second) = (call(1, 1), call(2, 1));
        let third = numbered(1, 2, 1);
        lanes.enter(&first);
        lanes.enter(&second);
        lanes.enter(&third);
        assert_eq!(
            lanes.leave(&first.id()),
            [second.id()],
            "third waits for second"
        );
        assert_eq!(lanes.leave(&second.id()), [third.id()]);
        assert_eq!(lanes.waiting(), 0);
    }
}
