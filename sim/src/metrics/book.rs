//! Every transaction with its fate: the identity that must add up.

use std::collections::BTreeMap;

use consortium_node::{
    transaction::Outcome,
    types::{NodeId, TxId},
};

use crate::{
    fact::{Rejection, Submission},
    time::Time,
};

/// What became of a transaction, as far as its gateway knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Nothing yet.
    Pending,
    /// Executed as asked.
    Ok,
    /// Executed, and the contract said no.
    Reverted,
    /// Ordered, but skipped.
    Void(String),
    /// Never to be ordered.
    Rejected(Rejection),
}

/// One transaction.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) tx: TxId,
    pub(super) gateway: NodeId,
    pub(super) due: Time,
    /// The cheat that made it, if one did.
    pub(super) cheat: Option<usize>,
    /// When its first attempt left.
    pub(super) sent: Option<Time>,
    pub(super) waited_for_link: bool,
    /// When the first honest validator had it on its chain; forgotten when none has any more.
    pub(super) included: Option<Time>,
    /// Blocks on honest chains that hold it.
    pub(super) blocks: u32,
    /// When its gateway could rely on it.
    pub(super) finished: Option<Time>,
    pub(super) fate: Fate,
    /// Times that a cheat submitted it again and the answer has not come.
    replays_open: u32,
}

/// How a count of the book comes out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Identity {
    pub(super) submitted: u64,
    pub(super) ok: u64,
    pub(super) reverted: u64,
    pub(super) rejected: u64,
    pub(super) lost: u64,
    pub(super) pending: u64,
    pub(super) rejected_reasons: BTreeMap<String, u64>,
    pub(super) lost_reasons: BTreeMap<String, u64>,
}

/// What a fact about a transaction meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// It has its fate now; whether it had been sent, and honestly.
    Settled { pending_before: bool },
    /// It had one already: this answers a cheat's replay, or repeats what is known.
    Repeated,
}

/// All transactions.
#[derive(Clone, Default, Debug)]
pub(super) struct Book {
    index: BTreeMap<TxId, usize>,
    records: Vec<Record>,
    /// Times that a gateway sent something.
    pub(super) attempts: u64,
    /// Facts about transactions that were never submitted: a bug of whoever told them.
    strays: u64,
    /// Transactions that left all honest chains, each time counted.
    pub(super) retracted: u64,
    /// Envelopes that were ordered and found invalid.
    pub(super) invalidated: u64,
}

impl Book {
    /// A transaction came into being, or a cheat submitted one again.
    pub(super) fn submitted(&mut self, submission: &Submission) {
        let record = Record {
            tx: submission.tx,
            gateway: submission.gateway,
            due: submission.due,
            cheat: submission.cheat,
            sent: None,
            waited_for_link: false,
            included: None,
            blocks: 0,
            finished: None,
            fate: Fate::Pending,
            replays_open: 0,
        };
        match self.index.get(&submission.tx) {
            None => {
                self.index.insert(submission.tx, self.records.len());
                self.records.push(record);
            }
            Some(place) if submission.cheat.is_some() => self.records[*place].replays_open += 1,
            // A cheat had copied it before its owner submitted it: the owner's counts.
            Some(place) if self.records[*place].cheat.is_some() => {
                let copy = &mut self.records[*place];
                *copy = Record {
                    included: copy.included,
                    blocks: copy.blocks,
                    ..record
                };
            }
            Some(_) => self.strays += 1,
        }
    }

    /// A gateway sent it. Says whether honest work began to wait with this.
    pub(super) fn sent(&mut self, tx: &TxId, at: Time, waited_for_link: bool) -> bool {
        self.attempts += 1;
        let Some(record) = self.find(tx) else {
            return false;
        };
        if record.sent.is_some() || record.fate != Fate::Pending {
            return false;
        }
        record.sent = Some(at);
        record.waited_for_link = waited_for_link;
        record.cheat.is_none()
    }

    /// Its gateway holds what the protocol calls final.
    pub(super) fn finished(&mut self, tx: &TxId, at: Time, outcome: &Outcome) -> Told {
        let fate = match outcome {
            Outcome::Ok => Fate::Ok,
            Outcome::Reverted(_) => Fate::Reverted,
            Outcome::Void(why) => Fate::Void(why.clone()),
            Outcome::Invalid(why) => Fate::Void(why.to_string()),
        };
        let told = self.settle(tx, fate);
        if told != Told::Repeated
            && let Some(record) = self.find(tx)
        {
            record.finished = Some(at);
        }
        told
    }

    /// It will never be ordered, or a replay of it will not.
    pub(super) fn rejected(&mut self, tx: &TxId, reason: Rejection) -> Told {
        if let Some(record) = self.find(tx)
            && record.replays_open > 0
        {
            record.replays_open -= 1;
            return Told::Repeated;
        }
        self.settle(tx, Fate::Rejected(reason))
    }

    fn settle(&mut self, tx: &TxId, fate: Fate) -> Told {
        let Some(record) = self.find(tx) else {
            return Told::Repeated;
        };
        if record.fate != Fate::Pending {
            record.replays_open = record.replays_open.saturating_sub(1);
            return Told::Repeated;
        }
        record.fate = fate;
        Told::Settled {
            pending_before: record.sent.is_some() && record.cheat.is_none(),
        }
    }

    /// A block with it is on an honest chain that was on none.
    pub(super) fn included(&mut self, tx: &TxId, at: Time) {
        if let Some(record) = self.index.get(tx).map(|place| &mut self.records[*place]) {
            record.blocks += 1;
            record.included.get_or_insert(at);
        }
    }

    /// A block with it has left the last honest chain that had it.
    pub(super) fn excluded(&mut self, tx: &TxId) {
        if let Some(record) = self.index.get(tx).map(|place| &mut self.records[*place]) {
            record.blocks -= 1;
            if record.blocks == 0 {
                record.included = None;
                self.retracted += 1;
            }
        }
    }

    /// The transaction; a fact about one that was never submitted is counted.
    fn find(&mut self, tx: &TxId) -> Option<&mut Record> {
        let place = self.index.get(tx);
        self.strays += u64::from(place.is_none());
        place.map(|place| &mut self.records[*place])
    }

    /// The transaction, if it was submitted.
    pub(super) fn get(&self, tx: &TxId) -> Option<&Record> {
        self.index.get(tx).map(|place| &self.records[*place])
    }

    /// All, in the order of submission.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Adds everything up; panics if it does not add up, because no figure could be believed then.
    pub(super) fn identity(&self) -> Identity {
        assert_eq!(
            self.strays, 0,
            "facts were told about transactions that nobody submitted, or one was submitted twice"
        );
        let mut sum = Identity {
            submitted: self.index.len() as u64,
            ..Identity::default()
        };
        for record in &self.records {
            if let Some(reason) = record.lost() {
                sum.lost += 1;
                *sum.lost_reasons.entry(reason).or_default() += 1;
                continue;
            }
            match &record.fate {
                Fate::Pending => sum.pending += 1,
                Fate::Ok => sum.ok += 1,
                Fate::Reverted => sum.reverted += 1,
                Fate::Rejected(reason) => {
                    sum.rejected += 1;
                    let reason = reason_words(*reason).to_owned();
                    *sum.rejected_reasons.entry(reason).or_default() += 1;
                }
                Fate::Void(_) => unreachable!("a skipped transaction is lost"),
            }
        }
        assert_eq!(
            sum.submitted,
            sum.ok + sum.reverted + sum.rejected + sum.lost + sum.pending,
            "submitted = ok + reverted + rejected + lost + pending does not add up"
        );
        sum
    }
}

impl Record {
    /// Why it is lost, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        match &self.fate {
            Fate::Void(why) => Some(format!("skipped: {why}")),
            Fate::Ok | Fate::Reverted if self.blocks == 0 => {
                Some("called final, but on no honest chain".to_owned())
            }
            _ => None,
        }
    }
}

/// A reason in words.
pub(super) fn reason_words(reason: Rejection) -> &'static str {
    use consortium_node::node::TxRefusal;
    match reason {
        Rejection::Role => "role",
        Rejection::Sequence => "sequence",
        Rejection::Door(TxRefusal::BadSignature) => "signature",
        Rejection::Door(TxRefusal::UnknownParty) => "unknown party",
        Rejection::Door(TxRefusal::ReadOnly) => "may only read",
        Rejection::Door(TxRefusal::StaleNonce) => "number used before",
        Rejection::Door(TxRefusal::Full) => "mempool full",
        Rejection::Door(TxRefusal::TooLarge) => "too large",
        Rejection::Door(TxRefusal::Unendorsed) => "not endorsed",
        Rejection::Conflicts => "read conflicts",
    }
}
