//! Application roles of Workbench: what its gateway checks before it signs and submits anything.
//!
//! A contract on the chain cannot see application roles; the gateway's configuration can, and says
//! who may call what in which state. Both checks exist, and they differ: whoever submits a transaction
//! without the gateway meets only the contract. Source: the sample's JSON configuration, its
//! `Initiators`, `AllowedRoles` and `AllowedInstanceRoles`.

use std::collections::BTreeSet;

use super::refrigerated_transportation::{
    COMPLETE, INGEST_TELEMETRY, RefrigeratedTransportation, StateType, TEMPLATE,
    TRANSFER_RESPONSIBILITY,
};
use crate::types::PartyId;

/// The first party that stores or transports.
pub const INITIATING_COUNTERPARTY: &str = "InitiatingCounterparty";
/// A party that stores or transports.
pub const COUNTERPARTY: &str = "Counterparty";
/// Reports readings.
pub const DEVICE: &str = "Device";
/// Owns shipments or supply chains.
pub const OWNER: &str = "Owner";
/// Looks, and calls nothing.
pub const OBSERVER: &str = "Observer";
/// Name under which the constructor is asked for.
pub const CONSTRUCTOR: &str = "constructor";

/// Why the gateway would not submit a call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RoleRefusal {
    /// No application of that name is configured.
    #[error("no application {0:?} is configured")]
    UnknownTemplate(String),
    /// The application has no such function.
    #[error("{template:?} has no function {function:?}")]
    UnknownFunction {
        /// The application.
        template: String,
        /// The function.
        function: String,
    },
    /// The caller has none of the roles that may call it.
    #[error("{function:?} is for {}", .needed.join(" or "))]
    MissingRole {
        /// The function.
        function: String,
        /// The roles that may call it.
        needed: Vec<&'static str>,
    },
}

/// The property of a shipment that holds the one party that a transition is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstanceRole {
    /// The property InitiatingCounterparty.
    InitiatingCounterparty,
    /// The property Counterparty.
    Counterparty,
    /// The property Device.
    Device,
    /// The property Owner: who created the shipment.
    Owner,
}

impl InstanceRole {
    /// The application role that the property is of.
    pub const fn role(self) -> &'static str {
        match self {
            Self::InitiatingCounterparty => INITIATING_COUNTERPARTY,
            Self::Counterparty => COUNTERPARTY,
            Self::Device => DEVICE,
            Self::Owner => OWNER,
        }
    }

    fn holder(self, shipment: &RefrigeratedTransportation) -> Option<PartyId> {
        match self {
            Self::InitiatingCounterparty => Some(shipment.initiating_counterparty),
            Self::Counterparty => shipment.counterparty,
            Self::Device => shipment.device,
            Self::Owner => Some(shipment.owner),
        }
    }
}

/// A row of the configuration: in this state, this property's holder may call this function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The state before.
    pub state: StateType,
    /// The function.
    pub function: &'static str,
    /// Whose call it is.
    pub caller: InstanceRole,
    /// The states that may follow.
    pub next: &'static [StateType],
}

/// The configured transitions of RefrigeratedTransportation. `AllowedRoles` is empty in all of them;
/// what has no row is not offered. The ended states have none.
pub const RULES: &[Rule] = &[
    Rule {
        state: StateType::Created,
        function: TRANSFER_RESPONSIBILITY,
        caller: InstanceRole::InitiatingCounterparty,
        next: &[StateType::InTransit],
    },
    Rule {
        state: StateType::Created,
        function: INGEST_TELEMETRY,
        caller: InstanceRole::Device,
        next: &[StateType::OutOfCompliance, StateType::Created],
    },
    Rule {
        state: StateType::InTransit,
        function: TRANSFER_RESPONSIBILITY,
        caller: InstanceRole::Counterparty,
        next: &[StateType::InTransit],
    },
    Rule {
        state: StateType::InTransit,
        function: INGEST_TELEMETRY,
        caller: InstanceRole::Device,
        next: &[StateType::OutOfCompliance, StateType::InTransit],
    },
    Rule {
        state: StateType::InTransit,
        function: COMPLETE,
        caller: InstanceRole::Owner,
        next: &[StateType::Completed],
    },
];

/// Who may create a shipment.
const INITIATORS: &[&str] = &[OWNER];

/// Whether someone with these application roles may ever call this function. The gateway asks this
/// before it submits; [`offers`] asks about one shipment as it stands.
pub fn permits(
    template: &str,
    function: &str,
    roles: &BTreeSet<String>,
) -> Result<(), RoleRefusal> {
    if template != TEMPLATE {
        return Err(RoleRefusal::UnknownTemplate(template.to_owned()));
    }
    let needed: Vec<&'static str> = if function == CONSTRUCTOR {
        INITIATORS.to_vec()
    } else {
        let of_function = RULES.iter().filter(|rule| rule.function == function);
        let callers: BTreeSet<_> = of_function.map(|rule| rule.caller.role()).collect();
        callers.into_iter().collect()
    };
    if needed.is_empty() {
        return Err(RoleRefusal::UnknownFunction {
            template: template.to_owned(),
            function: function.to_owned(),
        });
    }
    if needed.iter().any(|role| roles.contains(*role)) {
        Ok(())
    } else {
        Err(RoleRefusal::MissingRole {
            function: function.to_owned(),
            needed,
        })
    }
}

/// Whether Workbench offers this caller this function on this shipment as it stands: the row that
/// says so.
pub fn offers(
    shipment: &RefrigeratedTransportation,
    caller: PartyId,
    function: &str,
) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        rule.state == shipment.state
            && rule.function == function
            && rule.caller.holder(shipment) == Some(caller)
    })
}
