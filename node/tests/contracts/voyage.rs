//! The parties of a voyage and a shipment between them.

use consortium_node::{
    contracts::refrigerated_transportation::{RefrigeratedTransportation, Revert, Terms},
    types::PartyId,
};

/// Creates shipments: the milk producer.
pub(crate) const OWNER: PartyId = PartyId(0);
/// The sealed sensor.
pub(crate) const DEVICE: PartyId = PartyId(1);
/// Takes over first.
pub(crate) const CARRIER: PartyId = PartyId(2);
/// Takes over second.
pub(crate) const STORE: PartyId = PartyId(3);
/// The supply chain's owner: the food processor.
pub(crate) const PROCESSOR: PartyId = PartyId(4);
/// The supply chain's observer.
pub(crate) const OBSERVER: PartyId = PartyId(5);

pub(crate) const TERMS: Terms = Terms {
    device: Some(DEVICE),
    supply_chain_owner: Some(PROCESSOR),
    supply_chain_observer: Some(OBSERVER),
    min_humidity: 300,
    max_humidity: 650,
    min_temperature: 20,
    max_temperature: 100,
};

/// A call of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Humidity, temperature, timestamp.
    Ingest(PartyId, i64, i64, i64),
    Transfer(PartyId, Option<PartyId>),
    Complete(PartyId),
}

impl Act {
    pub(crate) fn on(self, shipment: &mut RefrigeratedTransportation) -> Result<(), Revert> {
        match self {
            Self::Ingest(caller, humidity, temperature, timestamp) => {
                shipment.ingest_telemetry(caller, humidity, temperature, timestamp)
            }
            Self::Transfer(caller, to) => shipment.transfer_responsibility(caller, to),
            Self::Complete(caller) => shipment.complete(caller),
        }
    }
}

/// A shipment after these acts, which must all succeed.
pub(crate) fn after(acts: &[Act]) -> RefrigeratedTransportation {
    let mut shipment = RefrigeratedTransportation::new(OWNER, TERMS);
    for act in acts {
        act.on(&mut shipment)
            .unwrap_or_else(|revert| panic!("{act:?}: {revert}"));
    }
    shipment
}
