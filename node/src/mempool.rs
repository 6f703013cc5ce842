//! Transactions that wait to be ordered.
//!
//! Bounded and fair. Transactions of one party keep the order in which they came; parties take turns,
//! the one whose oldest transaction came first going first, so nobody starves behind a busy party.
//! A party may hold at most as many places as are still free (the dynamic threshold of Choudhury and
//! Hahne, 1998): one that floods the pool gets half of it, two get a third each, and the others
//! always find room. Only newcomers are refused; what was admitted stays until it is executed.
//!
//! Transactions in blocks that are under way stay too, because their block may fail: whoever cuts a
//! batch says which to skip, and removes them on execution.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
    time::Duration,
};

use crate::{
    transaction::Transaction,
    types::{Mono, PartyId, TxId},
};

/// How much may go into one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchLimits {
    /// Transactions.
    pub count: usize,
    /// Bytes of the transactions on the wire.
    pub bytes: usize,
}

impl BatchLimits {
    /// Whether these transactions fit into one block.
    pub fn admits(&self, batch: &[Arc<Transaction>]) -> bool {
        let bytes: usize = batch.iter().map(|transaction| transaction.wire_len()).sum();
        batch.len() <= self.count && bytes <= self.bytes
    }
}

/// Why a transaction was not admitted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum MempoolRefusal {
    /// It waits already, or another of the same party and number does.
    #[error("a transaction of this party and number waits already")]
    Duplicate,
    /// Its party has its fair share of places, or there are none left.
    #[error("the mempool has no more room for this party")]
    Full,
    /// No block can hold it.
    #[error("larger than a block may be")]
    TooLarge,
}

/// Whether a batch is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// One can be cut now: enough of them wait, or one has waited long enough.
    Now,
    /// One is due then, if nothing else comes before.
    At(Mono),
    /// Nothing waits but what is skipped.
    Empty,
}

/// Order of arrival.
type Arrival = u64;
/// Half of all numbers are left for what is put back in front.
const FIRST_ARRIVAL: Arrival = 1 << 63;

/// The pool.
#[derive(Clone, Debug)]
pub struct Mempool {
    capacity: usize,
    transaction_bytes_max: usize,
    next_arrival: Arrival,
    /// Arrival of whatever was put back last: below all others.
    first_arrival: Arrival,
    /// Bytes of all that wait.
    bytes: usize,
    places: BTreeMap<TxId, Place>,
    numbers: BTreeMap<(PartyId, u64), TxId>,
    queues: BTreeMap<PartyId, BTreeMap<Arrival, Arc<Transaction>>>,
    /// Parties by the arrival of their oldest.
    turns: BTreeSet<(Arrival, PartyId)>,
    ages: BTreeMap<(Mono, Arrival), Arc<Transaction>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    arrival: Arrival,
    since: Mono,
}

impl Mempool {
    /// A pool of `capacity` places for transactions of at most `transaction_bytes_max` bytes each:
    /// what a block can hold, or one of them could wait for ever.
    pub fn new(capacity: usize, transaction_bytes_max: usize) -> Self {
        Self {
            capacity,
            transaction_bytes_max,
            next_arrival: FIRST_ARRIVAL,
            first_arrival: FIRST_ARRIVAL,
            bytes: 0,
            places: BTreeMap::new(),
            numbers: BTreeMap::new(),
            queues: BTreeMap::new(),
            turns: BTreeSet::new(),
            ages: BTreeMap::new(),
        }
    }

    /// Transactions that wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of all that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this transaction waits.
    pub fn contains(&self, tx: &TxId) -> bool {
        self.places.contains_key(tx)
    }

    /// A transaction that waits.
    pub fn get(&self, tx: &TxId) -> Option<&Arc<Transaction>> {
        let place = self.places.get(tx)?;
        self.ages.get(&(place.since, place.arrival))
    }

    /// The waiting transaction that has this number of this party.
    pub fn of_number(&self, party: PartyId, nonce: u64) -> Option<&TxId> {
        self.numbers.get(&(party, nonce))
    }

    /// Since when the oldest waits.
    pub fn oldest(&self) -> Option<Mono> {
        self.ages.first_key_value().map(|((since, _), _)| *since)
    }

    /// The one that waits longest.
    pub fn oldest_waiting(&self) -> Option<TxId> {
        self.ages
            .first_key_value()
            .map(|(_, transaction)| transaction.id())
    }

    /// Admits a transaction. The caller has checked its signature and that it was not executed.
    pub fn insert(&mut self, tx: Arc<Transaction>, now: Mono) -> Result<(), MempoolRefusal> {
        let arrival = self.next_arrival;
        self.enter(tx, now, arrival)?;
        self.next_arrival += 1;
        Ok(())
    }

    /// Admits a transaction in front of all that wait: it had its turn, but its block was taken off
    /// the chain. Of several, the last one is put back first.
    pub fn put_back(&mut self, tx: Arc<Transaction>, now: Mono) -> Result<(), MempoolRefusal> {
        let arrival = self.first_arrival - 1;
        self.enter(tx, now, arrival)?;
        self.first_arrival = arrival;
        Ok(())
    }

    fn enter(
        &mut self,
        tx: Arc<Transaction>,
        now: Mono,
        arrival: Arrival,
    ) -> Result<(), MempoolRefusal> {
        let party = tx.party();
        let number = (party, tx.nonce());
        if self.contains(&tx.id()) || self.numbers.contains_key(&number) {
            return Err(MempoolRefusal::Duplicate);
        }
        if tx.wire_len() > self.transaction_bytes_max {
            return Err(MempoolRefusal::TooLarge);
        }
        let held = self.queues.get(&party).map_or(0, BTreeMap::len);
        if held >= self.capacity.saturating_sub(self.len()) {
            return Err(MempoolRefusal::Full);
        }
        let place = Place {
            arrival,
            since: now,
        };
        self.places.insert(tx.id(), place);
        self.numbers.insert(number, tx.id());
        self.bytes += tx.wire_len();
        self.ages.insert((now, arrival), Arc::clone(&tx));
        let queue = self.queues.entry(party).or_default();
        if let Some((oldest, _)) = queue.first_key_value() {
            self.turns.remove(&(*oldest, party));
        }
        queue.insert(arrival, tx);
        let (oldest, _) = queue.first_key_value().expect("just entered");
        self.turns.insert((*oldest, party));
        self.assert_consistent();
        Ok(())
    }

    /// Takes out those of a party whose number `spent` says can no longer be used, and names them.
    pub fn remove_spent(&mut self, party: PartyId, spent: impl Fn(u64) -> bool) -> Vec<TxId> {
        let numbers = self.numbers.range((party, 0)..=(party, u64::MAX));
        let gone: Vec<_> = numbers
            .filter(|((_, nonce), _)| spent(*nonce))
            .map(|(_, tx)| *tx)
            .collect();
        for tx in &gone {
            self.remove(tx);
        }
        gone
    }

    /// Takes a transaction out, because it was executed or can no longer be.
    pub fn remove(&mut self, tx: &TxId) -> Option<Arc<Transaction>> {
        let place = self.places.remove(tx)?;
        let transaction = self
            .ages
            .remove(&(place.since, place.arrival))
            .expect("what waits has an age");
        let party = transaction.party();
        self.numbers.remove(&(party, transaction.nonce()));
        self.bytes -= transaction.wire_len();
        let queue = self.queues.get_mut(&party).expect("what waits is in line");
        queue.remove(&place.arrival);
        if self.turns.remove(&(place.arrival, party))
            && let Some((oldest, _)) = queue.first_key_value()
        {
            self.turns.insert((*oldest, party));
        }
        if queue.is_empty() {
            self.queues.remove(&party);
        }
        self.assert_consistent();
        Some(transaction)
    }

    /// A batch within the limits, without those that `skip` names. Nothing is removed.
    ///
    /// Parties take turns, one transaction each. A party whose next one does not fit into what is
    /// left sits out the rest: nobody's transactions overtake each other.
    pub fn cut(&self, limits: BatchLimits, skip: &dyn Fn(&TxId) -> bool) -> Vec<Arc<Transaction>> {
        let mut batch = Vec::new();
        let mut bytes_left = limits.bytes;
        let mut take = |line: &mut Line<'_>| {
            let next = line.find(|transaction| !skip(&transaction.id()));
            let next = next.filter(|transaction| transaction.wire_len() <= bytes_left);
            let Some(transaction) = next else {
                return false;
            };
            bytes_left -= transaction.wire_len();
            batch.push(Arc::clone(transaction));
            true
        };
        let mut left = limits.count;
        let mut lines = Vec::new();
        for (_, party) in &self.turns {
            if left == 0 {
                return batch;
            }
            let mut line = self.queues[party].values();
            if take(&mut line) {
                left -= 1;
                lines.push(line);
            }
        }
        while left > 0 && !lines.is_empty() {
            lines.retain_mut(|line| {
                let taken = left > 0 && take(line);
                left -= usize::from(taken);
                taken
            });
        }
        batch
    }

    /// Whether a batch is due: count or bytes are reached, or the oldest has waited for `max_age`.
    /// Those that `skip` names do not count. The host sets one timer on the answer.
    pub fn ready(
        &self,
        now: Mono,
        limits: BatchLimits,
        max_age: Duration,
        skip: &dyn Fn(&TxId) -> bool,
    ) -> Readiness {
        let mut free = self.ages.iter().filter(|(_, tx)| !skip(&tx.id()));
        let Some(((since, _), first)) = free.next() else {
            return Readiness::Empty;
        };
        let max_age_ns = u64::try_from(max_age.as_nanos()).unwrap_or(u64::MAX);
        let due = Mono(since.0.saturating_add(max_age_ns));
        if due <= now {
            return Readiness::Now;
        }
        // Most pools are smaller than a batch: nothing to count then.
        if self.len() >= limits.count || self.bytes >= limits.bytes {
            let (mut count, mut bytes) = (1, first.wire_len());
            while count < limits.count && bytes < limits.bytes {
                let Some((_, transaction)) = free.next() else {
                    return Readiness::At(due);
                };
                count += 1;
                bytes += transaction.wire_len();
            }
            return Readiness::Now;
        }
        Readiness::At(due)
    }

    fn assert_consistent(&self) {
        assert!(
            self.places.len() == self.ages.len() && self.places.len() == self.numbers.len(),
            "the indices list the same transactions"
        );
        assert_eq!(
            self.turns.len(),
            self.queues.len(),
            "every party that waits has a turn"
        );
    }
}

type Line<'a> = btree_map::Values<'a, Arrival, Arc<Transaction>>;
