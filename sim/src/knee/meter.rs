//! What one run of a probe shows: a reader of its own, lighter than that of the whole report.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use consortium_node::{
    engine::Tale,
    node::Note,
    transaction::Outcome,
    types::{NodeId, TxId},
};

use crate::{
    fact::{Fact, Purpose, Reader},
    time::{Time, nanos},
};

/// A backlog that grows by no more than so many may be chance.
const FEW: u64 = 10;

/// One reading of the load.
#[derive(Clone, Copy, Debug)]
struct Record {
    due: Time,
    /// When it had its answer, and whether it succeeded.
    answered: Option<(Time, bool)>,
}

/// Keeps what is needed of the stream.
#[derive(Debug, Default)]
pub(super) struct Meter {
    index: BTreeMap<TxId, usize>,
    records: Vec<Record>,
    /// Blocks that each validator proposed.
    proposed: BTreeMap<NodeId, u64>,
}

/// What a run of a probe comes to.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// Due in the measured window.
    pub(super) offered: u64,
    /// Succeeded a second.
    pub(super) goodput_per_s: f64,
    /// Succeeded for every transaction that came due meanwhile.
    pub(super) goodput_share: f64,
    /// Answered within the bound, of those that were due in the window.
    pub(super) prompt_share: f64,
    /// Due to final; `None`: more than half were not answered when the run ended.
    pub(super) p50: Option<Duration>,
    /// Due to final; `None`: more than one in a hundred were not answered when the run ended.
    pub(super) p99: Option<Duration>,
    /// Due and not answered, on average over each quarter of the window.
    pub(super) backlog: [u64; 4],
    /// Medians of the first tenth of the window and of the rest.
    pub(super) settling: Option<[Duration; 2]>,
    /// Who proposed most blocks.
    pub(super) leader: Option<NodeId>,
}

impl Reader for Meter {
    fn read(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Submitted(submission)
                if matches!(submission.purpose, Purpose::Reading { .. }) =>
            {
                self.index.insert(submission.tx, self.records.len());
                self.records.push(Record {
                    due: submission.due,
                    answered: None,
                });
            }
            Fact::Final { tx, outcome, .. } => self.answered(at, tx, *outcome == Outcome::Ok),
            Fact::Rejected { tx, .. } => self.answered(at, tx, false),
            Fact::Node {
                node,
                note: Note::Engine(Tale::Proposed { .. }),
            } => *self.proposed.entry(*node).or_default() += 1,
            _ => {}
        }
    }
}

impl Meter {
    fn answered(&mut self, at: Time, tx: &TxId, ok: bool) {
        if let Some(place) = self.index.get(tx) {
            self.records[*place].answered.get_or_insert((at, ok));
        }
    }

    /// Adds up what was due, and what succeeded, in a window.
    pub(super) fn figures(&self, window: &Range<Time>, bound: Duration) -> Figures {
        let cohort: Vec<_> = self
            .records
            .iter()
            .filter(|r| window.contains(&r.due))
            .collect();
        let latency = |record: &&Record| record.answered.map(|(at, _)| at.since(record.due));
        let prompt = |record: &&&Record| {
            let ok = record.answered.is_some_and(|(_, ok)| ok);
            ok && latency(record).is_some_and(|latency| latency <= bound)
        };
        let offered = cohort.len() as u64;
        let prompt = cohort.iter().filter(prompt).count() as u64;
        let (goodput_per_s, goodput_share) = self.goodput(window);
        let tenth = cohort.len() / 10;
        let settling = (tenth >= 20).then(|| {
            let median = |part: &[&Record]| quantile(part.iter().map(latency), 50);
            Some([median(&cohort[..tenth])?, median(&cohort[tenth..])?])
        });
        Figures {
            offered,
            goodput_per_s,
            goodput_share,
            prompt_share: share(prompt, offered),
            p50: quantile(cohort.iter().map(latency), 50),
            p99: quantile(cohort.iter().map(latency), 99),
            backlog: self.backlog(window),
            settling: settling.flatten(),
            leader: self.leader(),
        }
    }

    /// Counted over whole intervals, from the first answer of the window to its last: answers come in
    /// blocks, and a block more or less at the edges would pass for a per cent more or less.
    fn goodput(&self, window: &Range<Time>) -> (f64, f64) {
        let answers = self.records.iter().filter_map(|record| record.answered);
        let answers = answers.filter(|(at, ok)| *ok && window.contains(at));
        let times: Vec<Time> = answers.map(|(at, _)| at).collect();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
            return (0.0, 0.0);
        };
        let within = |at: Time| *first < at && at <= *last;
        let succeeded = times.iter().filter(|at| within(**at)).count() as u64;
        let due = self
            .records
            .iter()
            .filter(|record| within(record.due))
            .count() as u64;
        let seconds = last.since(*first).as_secs_f64();
        if seconds > 0.0 {
            (succeeded as f64 / seconds, share(succeeded, due))
        } else {
            (0.0, 0.0)
        }
    }

    fn backlog(&self, window: &Range<Time>) -> [u64; 4] {
        let quarter = nanos(window.end.since(window.start)) / 4;
        [0, 1, 2, 3].map(|number| {
            let from = window.start.0 + number * quarter;
            let waited = |record: &Record| {
                let until = record.answered.map_or(u64::MAX, |(at, _)| at.0);
                let until = until.min(from + quarter);
                u128::from(until.saturating_sub(record.due.0.max(from)))
            };
            let waited: u128 = self.records.iter().map(waited).sum();
            (waited / u128::from(quarter.max(1))) as u64
        })
    }

    fn leader(&self) -> Option<NodeId> {
        let most = self
            .proposed
            .iter()
            .max_by_key(|(node, blocks)| (**blocks, std::cmp::Reverse(**node)));
        let all: u64 = self.proposed.values().sum();
        // Where all take turns, nobody is the leader.
        most.filter(|(_, blocks)| **blocks * 2 > all)
            .map(|(node, _)| *node)
    }
}

impl Figures {
    /// Whether more and more was waiting: it grew from quarter to quarter, and by more than a hundredth
    /// of what was offered.
    pub(super) fn is_backlog_growing(&self) -> bool {
        let grown = self.backlog[3].saturating_sub(self.backlog[0]);
        self.backlog.is_sorted() && grown > FEW.max(self.offered / 100)
    }
}

/// A part of a whole; all of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

/// So many per cent took no longer; `None` is for ever.
fn quantile(latencies: impl Iterator<Item = Option<Duration>>, percent: usize) -> Option<Duration> {
    let mut sorted: Vec<Duration> = latencies.map(|l| l.unwrap_or(Duration::MAX)).collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted
        .get(rank - 1)
        .copied()
        .filter(|latency| *latency < Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// A reading every 10 ms for ten seconds, each answered after `latency`, in blocks of `block` ms.
    fn meter(latency: impl Fn(u64) -> u64, block: u64) -> Meter {
        let records = (0..1000).map(|k| {
            let due = k * 10;
            let done = (due + latency(due)).next_multiple_of(block);
            Record {
                due: Time(due * S / 1000),
                answered: Some((Time(done * S / 1000), true)),
            }
        });
        Meter {
            records: records.collect(),
            ..Meter::default()
        }
    }

    fn figures(meter: &Meter) -> Figures {
        meter.figures(&(Time(2 * S)..Time(9 * S)), Duration::from_secs(1))
    }

    #[test]
    fn blocks_that_straddle_the_edges_of_the_window_do_not_count_as_loss() {
        let steady = figures(&meter(|_| 100, 800));
        assert_eq!(steady.offered, 700);
        assert!(
            (steady.goodput_share - 1.0).abs() < 1e-9,
            "{}",
            steady.goodput_share
        );
        assert!((steady.goodput_per_s - 100.0).abs() < 1e-6);
        assert!(!steady.is_backlog_growing());
        assert!((steady.prompt_share - 1.0).abs() < 1e-9);
    }

    #[test]
    fn five_per_cent_too_much_show_as_loss_and_as_a_growing_backlog() {
        let late = figures(&meter(|due| 100 + due / 20, 10));
        assert!(late.goodput_share < 0.96, "{}", late.goodput_share);
        assert!(late.is_backlog_growing(), "{:?}", late.backlog);
        let settled = figures(&meter(|due| 100 + 500 / (due + 1), 10));
        assert!(!settled.is_backlog_growing());
    }

    #[test]
    fn what_is_never_answered_took_for_ever() {
        let mut meter = meter(|_| 100, 10);
        for record in meter.records.iter_mut().skip(300).take(8) {
            record.answered = None;
        }
        let some = figures(&meter);
        assert_eq!(
            (some.p50, some.p99),
            (Some(Duration::from_millis(100)), None)
        );
        assert!(some.prompt_share < 1.0);
    }
}
