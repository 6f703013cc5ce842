//! Where transactions come from: packages with sensors on a journey, and the gateways that carry what
//! they and the people around them sign.
//!
//! The fleet decides *what* is due and *when*, from the plan and its seed alone; nothing that the
//! network does changes it (but for the closed loop, which asks for that). A gateway takes it from
//! there. Both are pure machines: the world owns the queue of events and calls them.

pub mod fleet;
pub mod gateway;
pub mod journey;
pub mod physics;
#[cfg(test)]
pub(crate) mod sample;

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
