//! Latencies in microseconds, as HdrHistograms with three significant digits.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::book::{Book, Fate, Record};
use crate::time::Time;

/// A latency's distribution. Microseconds; all zero when nothing was counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    /// Transactions counted.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// 999 of a thousand.
    pub p999_us: u64,
    /// The slowest, exactly.
    pub max_us: u64,
}

/// A histogram that knows its exact maximum.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    max_us: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            histogram: Histogram::new(3).expect("three significant digits are allowed"),
            max_us: 0,
        }
    }
}

impl Latency {
    /// Counts the time from `from` to `to`.
    pub fn record(&mut self, from: Time, to: Time) {
        let us = to.since(from).as_micros() as u64;
        self.max_us = self.max_us.max(us);
        self.histogram
            .record(us)
            .expect("the histogram resizes itself");
    }

    /// The histogram.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// Its percentiles. A bucket is 0.1 % wide; none is reported above the exact maximum.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.histogram.value_at_quantile(quantile).min(self.max_us);
        Percentiles {
            count: self.histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.max_us,
        }
    }
}

/// The latencies of the measured cohort.
#[derive(Clone, Default, Debug)]
pub struct Latencies {
    /// Due → sent.
    pub due_to_sent: Latency,
    /// Sent → included.
    pub sent_to_included: Latency,
    /// Sent → final.
    pub sent_to_final: Latency,
    /// Due → final.
    pub due_to_final: Latency,
    /// Due → final, of those that waited for their gateway's link.
    pub link_down: Latency,
    /// Without a fate when the run ended.
    pub censored: u64,
    /// When each was due and how long it took until final, link-down ones left out.
    pub points: Vec<(Time, u64)>,
}

impl Latencies {
    /// Those of the transactions due in `[from, to)`; cheats' own do not count.
    pub(super) fn of(book: &Book, from: Time, to: Time) -> Self {
        let mut all = Self::default();
        let cohort = book
            .records()
            .filter(|record| record.cheat.is_none() && from <= record.due && record.due < to);
        for record in cohort {
            all.count(record);
        }
        all
    }

    fn count(&mut self, record: &Record) {
        if record.fate == Fate::Pending {
            self.censored += 1;
        }
        let (Some(sent), Some(finished)) = (record.sent, record.finished) else {
            return;
        };
        if record.waited_for_link {
            self.link_down.record(record.due, finished);
            return;
        }
        self.due_to_sent.record(record.due, sent);
        if let Some(included) = record.included {
            self.sent_to_included.record(sent, included);
        }
        self.sent_to_final.record(sent, finished);
        self.due_to_final.record(record.due, finished);
        let us = finished.since(record.due).as_micros() as u64;
        self.points.push((record.due, us));
    }
}
