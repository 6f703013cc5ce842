//! The stages of a journey on one line of time, the same for all packages.

use crate::{
    scenario::plan::{LegPlan, PartyIndex},
    time::nanos,
};

/// A leg with its place on the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// Nanoseconds from the start of the journey to the start of the leg.
    pub starts_ns: u64,
    /// Nanoseconds from the start of the journey to the end of the leg, which is not part of it.
    pub ends_ns: u64,
    /// Who is responsible.
    pub custodian: PartyIndex,
    /// Mean temperature of the air, thousandths of a degree.
    pub ambient_mc: i64,
    /// How far it strays from the mean, thousandths of a degree.
    pub ambient_spread_mc: i64,
    /// Mean humidity of the air, thousandths of a per cent.
    pub humidity_mpct: i64,
    /// What the golden package's sensor reads: tenths of a degree, tenths of a per cent.
    pub golden: (i64, i64),
}

/// The legs in order.
#[derive(Clone, Debug)]
pub struct Journey {
    legs: Vec<Leg>,
}

impl Journey {
    /// Puts the legs on one line. A leg without golden values keeps those of the leg before (a carrier
    /// that has no row of its own in the ledger's table); the first one's are its means.
    pub fn new(plans: &[LegPlan]) -> Self {
        assert!(!plans.is_empty(), "a journey has a leg");
        let mut starts_ns = 0;
        let first = &plans[0];
        let mut golden = (first.ambient_mc / 100, first.humidity_mpct / 100);
        let legs = plans
            .iter()
            .map(|plan| {
                golden = plan.golden.unwrap_or(golden);
                let leg = Leg {
                    starts_ns,
                    ends_ns: starts_ns + nanos(plan.duration),
                    custodian: plan.custodian,
                    ambient_mc: plan.ambient_mc,
                    ambient_spread_mc: plan.ambient_spread_mc,
                    humidity_mpct: plan.humidity_mpct,
                    golden,
                };
                starts_ns = leg.ends_ns;
                leg
            })
            .collect();
        Self { legs }
    }

    /// The legs in order.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// Number of the leg that a package is on, so long after its start; `None` once it has arrived.
    pub fn leg_at(&self, offset_ns: u64) -> Option<usize> {
        let leg = self.legs.partition_point(|leg| leg.ends_ns <= offset_ns);
        (leg < self.legs.len()).then_some(leg)
    }

    /// How long it takes, ns.
    pub fn length_ns(&self) -> u64 {
        self.legs[self.legs.len() - 1].ends_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::sample;

    #[test]
    fn a_leg_begins_where_the_one_before_ends() {
        let journey = Journey::new(&sample::plan().fleet.legs);
        let hour = 3_600_000_000_000;
        assert_eq!(journey.leg_at(0), Some(0));
        assert_eq!(journey.leg_at(hour - 1), Some(0));
        assert_eq!(journey.leg_at(hour), Some(1));
        assert_eq!(journey.leg_at(4 * hour - 1), Some(3));
        assert_eq!(journey.leg_at(4 * hour), None, "it has arrived");
        assert_eq!(journey.length_ns(), 4 * hour);
    }

    #[test]
    fn a_leg_without_a_row_of_its_own_keeps_the_golden_values_of_the_one_before() {
        let journey = Journey::new(&sample::plan().fleet.legs);
        let golden: Vec<_> = journey.legs().iter().map(|leg| leg.golden).collect();
        assert_eq!(golden, [(80, 600), (80, 600), (90, 640), (110, 660)]);
    }
}
