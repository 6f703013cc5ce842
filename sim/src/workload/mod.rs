//! Where transactions come from: packages with sensors on a journey, and the gateways that carry what
//! they and the people around them sign.
//!
//! The fleet decides *what* is due and *when*, from the plan and its seed alone; nothing that the
//! network does changes it (but for the closed loop, which asks for that). A gateway takes it from
//! there. Beside the fleet, a scenario may lay a load on the network, to see how much it takes. All are
//! pure machines: the world owns the queue of events and calls them.

pub mod fleet;
pub mod gateway;
pub mod journey;
pub mod load;
pub mod physics;
#[cfg(test)]
pub(crate) mod sample;
mod signer;

use consortium_node::transaction::{Call, ContractId, Value};

use crate::time::Time;

/// The application that all of this is about: the sample contract of Azure Blockchain Workbench.
pub const TEMPLATE: &str = "RefrigeratedTransportation";
/// Under this name a gateway asks whether a party may create a contract.
pub const CONSTRUCTOR: &str = "constructor";
/// A device reports: humidity, temperature, timestamp.
pub const INGEST_TELEMETRY: &str = "IngestTelemetry";
/// A custodian hands over: the next counterparty.
pub const TRANSFER_RESPONSIBILITY: &str = "TransferResponsibility";
/// The owner ends the journey.
pub const COMPLETE: &str = "Complete";

fn ingest(contract: ContractId, humidity_dpct: i64, temperature_dc: i64, seconds: i64) -> Call {
    Call::Invoke {
        contract,
        function: INGEST_TELEMETRY.to_owned(),
        arguments: vec![
            Value::Int(humidity_dpct),
            Value::Int(temperature_dc),
            Value::Int(seconds),
        ],
    }
}

/// The timestamp of a reading: whole seconds since the start of the run.
fn seconds(now: Time) -> i64 {
    (now.0 / 1_000_000_000).cast_signed()
}
