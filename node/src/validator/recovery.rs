//! Starting again with what the disk holds.

use super::Validator;
use crate::{
    engine::{Engine, Input, ReplyRule, Tip},
    ledger::{Ledger, state::State},
    mutant::Mutant,
    node::{Actions, Note},
    storage::{LogRecord, Recovered},
    types::LocalTime,
};

impl<E: Engine> Validator<E> {
    /// Executes the chain that the disk holds, and hands the engine its own records.
    ///
    /// Whoever was told that a block is final has been told; those who were not ask again, and the
    /// reply cache answers (R2).
    pub(super) fn recover(&mut self, now: LocalTime, found: &Recovered, actions: &mut Actions) {
        if let Some(snapshot) = &found.snapshot {
            assert!(
                snapshot.is_whole(),
                "a snapshot was checked before it was written"
            );
            self.ledger = Ledger::from_snapshot(self.ledger.genesis(), snapshot);
            self.learn_committees(now, actions);
        }
        for stored in &found.chain {
            let (block, proof) = (stored.block.clone(), Some(stored.proof.clone()));
            actions.work.executed += block.transactions().len() as u32;
            self.ledger.append(block, proof, &*self.executor);
            self.learn_committees(now, actions);
            self.settled(self.ledger.final_height());
        }
        self.relied = self.ledger.final_height();
        if self.planted.is(Mutant::ReplayWindowForgotten) {
            self.forgotten = Some((self.ledger.height(), State::new()));
        }
        let height = self.ledger.height();
        actions.note(Note::Recovered { height });
        let records: Vec<E::Record> = found
            .log
            .iter()
            .filter_map(LogRecord::record)
            .cloned()
            .collect();
        assert_eq!(records.len(), found.log.len(), "a log of this protocol");
        let head = self.ledger.head().clone();
        let term = self.committees.at(height.next());
        let before = self.ledger.entry(term.from.prev());
        let handed_over = before.and_then(|entry| entry.proof.clone());
        let tip = Tip {
            block: &head.block,
            handed_over: handed_over.as_ref(),
            proof: head.proof.as_ref(),
            results: head.results,
            recent: &found.chain,
        };
        let input = Input::Recovered {
            disk: found.disk,
            records: &records,
            tip,
        };
        self.step(now, input, actions);
        // Others may have gone on meanwhile. Where nothing is final there is nothing to ask for.
        if !matches!(self.engine.reply_rule(), ReplyRule::Depth(_)) {
            self.catch_up(now, false, actions);
        }
    }
}
