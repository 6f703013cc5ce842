//! The table of the slides, read from the committed transactions of one member's ledger and nothing
//! else: the sample contract keeps no compliant values in its state, so that they live in history.

use std::{fmt, sync::Arc};

use consortium_node::{
    ledger::Entry,
    transaction::{Call, ContractId, Outcome, Receipt, Transaction, Value},
    types::{Height, PartyId, TxId},
};
use serde::{Deserialize, Serialize};

use super::units;
use crate::{
    cast::Cast,
    scenario::plan::{LegPlan, Plan},
};

/// The golden package's journey as a ledger tells it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SharedLedger {
    /// Name of the package.
    pub package: String,
    /// The terms that its contract was made with.
    pub terms: Terms,
    /// One row for each stage whose custodian is a member with a node.
    pub rows: Vec<LedgerRow>,
}

/// Bounds that a contract was made with; inclusive, in tenths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// Lowest humidity.
    pub min_humidity_dpct: i64,
    /// Highest humidity.
    pub max_humidity_dpct: i64,
    /// Lowest temperature.
    pub min_temperature_dc: i64,
    /// Highest temperature.
    pub max_temperature_dc: i64,
}

/// A stage's last executed reading.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The stage.
    pub stage: String,
    /// What was measured, tenths of a degree.
    pub temperature_dc: i64,
    /// What was measured, tenths of a per cent.
    pub humidity_dpct: i64,
    /// Who was responsible at that point of the chain.
    pub custodian: String,
    /// Height of the block that holds it.
    pub height: u64,
    /// What the terms say to it.
    pub compliance: Compliance,
}

/// What the terms say to a reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compliance {
    /// Within the bounds.
    Ok,
    /// Outside them. Humidity is judged first and masks temperature, as in the sample contract.
    Out {
        /// What was out of range.
        sensor: Sensor,
        /// The reading, in tenths.
        reading: i64,
        /// The bound that it passed, in tenths.
        limit: i64,
    },
}

/// What a sensor measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensor {
    /// Relative humidity.
    Humidity,
    /// Temperature.
    Temperature,
}

impl Terms {
    /// Judges a reading as the sample contract does.
    pub fn judge(&self, temperature_dc: i64, humidity_dpct: i64) -> Compliance {
        let outside = |sensor, reading: i64, min: i64, max: i64| {
            (reading < min || reading > max).then_some(Compliance::Out {
                sensor,
                reading,
                limit: if reading > max { max } else { min },
            })
        };
        let humidity = outside(
            Sensor::Humidity,
            humidity_dpct,
            self.min_humidity_dpct,
            self.max_humidity_dpct,
        );
        let temperature = outside(
            Sensor::Temperature,
            temperature_dc,
            self.min_temperature_dc,
            self.max_temperature_dc,
        );
        humidity.or(temperature).unwrap_or(Compliance::Ok)
    }
}

impl fmt::Display for Compliance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Out {
            sensor,
            reading,
            limit,
        } = self
        else {
            return f.write_str("ok");
        };
        let sign = if reading > limit { '>' } else { '<' };
        let (reading, limit) = (units::tenths(*reading), units::tenths(*limit));
        match sensor {
            Sensor::Temperature => write!(f, "OUT OF COMPLIANCE: {reading} {sign} {limit}"),
            Sensor::Humidity => write!(f, "OUT OF COMPLIANCE: humidity {reading} {sign} {limit}"),
        }
    }
}

/// An executed reading of the golden package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExecutedReading {
    /// The transaction.
    pub tx: TxId,
    /// Height of its block.
    pub height: Height,
    /// The leg of the plan, by the custodian at that point of the chain.
    pub leg: Option<usize>,
    /// Who was responsible.
    pub custodian: PartyId,
    /// Tenths of a degree.
    pub temperature_dc: i64,
    /// Tenths of a per cent.
    pub humidity_dpct: i64,
}

/// The golden package's contract and its executed readings, in the ledger's order.
#[derive(Clone, Debug)]
pub struct Journey {
    /// The contract.
    pub contract: ContractId,
    /// The terms that it was made with.
    pub terms: Terms,
    /// What was executed.
    pub readings: Vec<ExecutedReading>,
    leg: Option<usize>,
}

impl Journey {
    /// Reads it from a ledger; `None` if no golden package travels or its contract was not made.
    pub fn read<'a>(
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        plan: &Plan,
        cast: &Cast,
    ) -> Option<Self> {
        plan.fleet.golden.as_ref()?;
        let device = cast.device(0);
        let mut journey: Option<Self> = None;
        for entry in entries {
            let height = entry.block.header().height;
            for (transaction, receipt) in entry.block.transactions().iter().zip(&**entry.receipts) {
                if receipt.outcome != Outcome::Ok {
                    continue;
                }
                match &mut journey {
                    Some(journey) => journey.follow(transaction, receipt, height, plan, cast),
                    None => journey = Self::begin(transaction, receipt, device, plan, cast),
                }
            }
        }
        journey
    }

    /// The contract whose device is the golden package's.
    fn begin(
        transaction: &Transaction,
        receipt: &Receipt,
        device: PartyId,
        plan: &Plan,
        cast: &Cast,
    ) -> Option<Self> {
        let Call::Create { arguments, .. } = transaction.call() else {
            return None;
        };
        // The sample's constructor: device, owner, observer, then the four bounds.
        let [
            Value::Party(first),
            _,
            _,
            Value::Int(min_humidity_dpct),
            Value::Int(max_humidity_dpct),
            Value::Int(min_temperature_dc),
            Value::Int(max_temperature_dc),
        ] = arguments.as_slice()
        else {
            return None;
        };
        let custodian = receipt.transition.as_ref()?.custodian_after?;
        (*first == device).then(|| Self {
            contract: ContractId(transaction.id()),
            terms: Terms {
                min_humidity_dpct: *min_humidity_dpct,
                max_humidity_dpct: *max_humidity_dpct,
                min_temperature_dc: *min_temperature_dc,
                max_temperature_dc: *max_temperature_dc,
            },
            readings: Vec::new(),
            leg: leg_of(custodian, 0, plan, cast),
        })
    }

    fn follow(
        &mut self,
        transaction: &Transaction,
        receipt: &Receipt,
        height: Height,
        plan: &Plan,
        cast: &Cast,
    ) {
        let (
            Call::Invoke {
                contract,
                arguments,
                ..
            },
            Some(turn),
        ) = (transaction.call(), &receipt.transition)
        else {
            return;
        };
        if *contract != self.contract {
            return;
        }
        match (turn.function.as_str(), arguments.as_slice()) {
            ("IngestTelemetry", [Value::Int(humidity_dpct), Value::Int(temperature_dc), ..]) => {
                let Some(custodian) = turn.custodian_before else {
                    return;
                };
                self.readings.push(ExecutedReading {
                    tx: transaction.id(),
                    height,
                    leg: self.leg,
                    custodian,
                    temperature_dc: *temperature_dc,
                    humidity_dpct: *humidity_dpct,
                });
            }
            _ if turn.custodian_after != turn.custodian_before => {
                let next = self.leg.map_or(0, |leg| leg + 1);
                self.leg = turn
                    .custodian_after
                    .and_then(|custodian| leg_of(custodian, next, plan, cast))
                    .or(self.leg);
            }
            _ => {}
        }
    }
}

/// The first leg from `from` on that this party is responsible for.
fn leg_of(custodian: PartyId, from: usize, plan: &Plan, cast: &Cast) -> Option<usize> {
    (from..plan.fleet.legs.len())
        .find(|leg| cast.party(plan.fleet.legs[*leg].custodian) == custodian)
}

/// The table of the slides from a correct member's ledger: for each stage the last executed reading.
/// Stages whose custodian runs no node have no row. `None` if no golden package travels or its
/// contract is not on this ledger.
pub fn ledger_table<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    plan: &Plan,
    cast: &Cast,
) -> Option<SharedLedger> {
    let journey = Journey::read(entries, plan, cast)?;
    let row = |(number, leg): (usize, &LegPlan)| {
        let custodian = cast.party(leg.custodian);
        let last = journey
            .readings
            .iter()
            .rfind(|reading| reading.leg == Some(number) && reading.custodian == custodian)?;
        let has_node = leg.custodian < plan.members.len();
        has_node.then(|| LedgerRow {
            stage: leg.stage.clone(),
            temperature_dc: last.temperature_dc,
            humidity_dpct: last.humidity_dpct,
            custodian: cast.party_name(custodian).to_owned(),
            height: last.height.0,
            compliance: journey.terms.judge(last.temperature_dc, last.humidity_dpct),
        })
    };
    Some(SharedLedger {
        package: plan.fleet.golden.clone()?,
        terms: journey.terms,
        rows: plan.fleet.legs.iter().enumerate().filter_map(row).collect(),
    })
}
