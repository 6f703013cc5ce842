//! RefrigeratedTransportation: the sample of Azure Blockchain Workbench, exactly.
//!
//! Source: `Azure-Samples/blockchain`, `RefrigeratedTransportation.sol` and its JSON (MIT). A shipment
//! has limits of humidity and temperature; a device reports readings; responsibility passes from
//! counterparty to counterparty; the owner completes it. One reading out of bounds ends it for good.
//!
//! What the sample does not check is not checked here either: limits may be crossed, addresses may be
//! nobody's, timestamps may repeat or go back, and a party may take responsibility from itself. Blame
//! therefore follows the order of the ledger, not the time of the sensor. Solidity reverts without a
//! reason; [`Revert`] gives one.
//!
//! Integers are `i64` where Solidity has 256 bits. There are no decimals: callers scale, to tenths of
//! a degree and of a percent here.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Contract, Rejection, Standing, arguments};
use crate::{
    ledger::State,
    transaction::{ContractId, Value},
    types::PartyId,
};

/// Name of the template.
pub const TEMPLATE: &str = "RefrigeratedTransportation";
/// Name of the function that takes a reading.
pub const INGEST_TELEMETRY: &str = "IngestTelemetry";
/// Name of the function that passes responsibility on.
pub const TRANSFER_RESPONSIBILITY: &str = "TransferResponsibility";
/// Name of the function that ends a shipment well.
pub const COMPLETE: &str = "Complete";

/// Where a shipment stands. Numbers are those of the sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum StateType {
    /// Registered, with its first counterparty.
    Created = 0,
    /// Handed over at least once.
    InTransit = 1,
    /// Ended well; nothing more happens.
    Completed = 2,
    /// A reading was out of bounds; nothing more happens.
    OutOfCompliance = 3,
}

/// Which reading was out of bounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SensorType {
    /// None so far.
    None = 0,
    /// Humidity; it is looked at first and hides a temperature that is also out of bounds.
    Humidity = 1,
    /// Temperature.
    Temperature = 2,
}

/// The property ComplianceDetail; [`fmt::Display`] gives the sample's text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
pub enum ComplianceDetail {
    /// No reading was out of bounds.
    NotApplicable,
    /// Humidity was.
    Humidity,
    /// Temperature was.
    Temperature,
}

impl fmt::Display for ComplianceDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplicable => "N/A",
            Self::Humidity => "Humidity value out of range.",
            Self::Temperature => "Temperature value out of range.",
        })
    }
}

/// Why a call was reverted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Revert {
    /// Nothing happens to a completed shipment.
    #[error("the shipment is completed")]
    Completed,
    /// Nothing happens to a shipment that is out of compliance.
    #[error("the shipment is out of compliance")]
    OutOfCompliance,
    /// Only the shipment's device reports readings.
    #[error("the caller is not the device")]
    NotDevice,
    /// Only the first and the present counterparty pass responsibility on.
    #[error("the caller is neither the initiating nor the present counterparty")]
    NotCounterparty,
    /// A device cannot be responsible.
    #[error("the device cannot be the counterparty")]
    DeviceAsCounterparty,
    /// Only the owner and the supply chain's owner complete a shipment.
    #[error("the caller is neither the owner nor the supply chain's owner")]
    NotOwner,
}

impl From<Revert> for Rejection {
    fn from(revert: Revert) -> Self {
        Self::Reverted(revert.to_string())
    }
}

/// Parameters of the constructor, in its order. `None` is address zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Whose readings count.
    pub device: Option<PartyId>,
    /// Who may complete the shipment besides its creator.
    pub supply_chain_owner: Option<PartyId>,
    /// Who may look.
    pub supply_chain_observer: Option<PartyId>,
    /// Least compliant humidity.
    pub min_humidity: i64,
    /// Greatest compliant humidity.
    pub max_humidity: i64,
    /// Least compliant temperature.
    pub min_temperature: i64,
    /// Greatest compliant temperature.
    pub max_temperature: i64,
}

impl Terms {
    /// As arguments of a [`crate::transaction::Call::Create`].
    pub fn to_arguments(&self) -> Vec<Value> {
        let address = |party: Option<PartyId>| party.map_or(Value::Nobody, Value::Party);
        vec![
            address(self.device),
            address(self.supply_chain_owner),
            address(self.supply_chain_observer),
            Value::Int(self.min_humidity),
            Value::Int(self.max_humidity),
            Value::Int(self.min_temperature),
            Value::Int(self.max_temperature),
        ]
    }

    fn from_arguments(values: &[Value]) -> Result<Self, arguments::ArgumentFault> {
        let values = arguments::exactly::<7>(values)?;
        Ok(Self {
            device: arguments::address(values, 0)?,
            supply_chain_owner: arguments::address(values, 1)?,
            supply_chain_observer: arguments::address(values, 2)?,
            min_humidity: arguments::int(values, 3)?,
            max_humidity: arguments::int(values, 4)?,
            min_temperature: arguments::int(values, 5)?,
            max_temperature: arguments::int(values, 6)?,
        })
    }
}

/// A shipment: the sample's 17 properties. `None` is address zero.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct RefrigeratedTransportation {
    /// Where it stands.
    pub state: StateType,
    /// Who created it.
    pub owner: PartyId,
    /// The first to be responsible: who created it.
    pub initiating_counterparty: PartyId,
    /// Who is responsible.
    pub counterparty: Option<PartyId>,
    /// Who was responsible before.
    pub previous_counterparty: Option<PartyId>,
    /// Whose readings count.
    pub device: Option<PartyId>,
    /// Who may complete it besides the owner.
    pub supply_chain_owner: Option<PartyId>,
    /// Who may look.
    pub supply_chain_observer: Option<PartyId>,
    /// Least compliant humidity.
    pub min_humidity: i64,
    /// Greatest compliant humidity.
    pub max_humidity: i64,
    /// Least compliant temperature.
    pub min_temperature: i64,
    /// Greatest compliant temperature.
    pub max_temperature: i64,
    /// Which reading was out of bounds.
    pub compliance_sensor_type: SensorType,
    /// The reading that was out of bounds; −1 if none was.
    pub compliance_sensor_reading: i64,
    /// Whether all readings were within bounds.
    pub compliance_status: bool,
    /// The same for people.
    pub compliance_detail: ComplianceDetail,
    /// The timestamp of the newest reading in the order of the ledger, as the device gave it.
    pub last_sensor_update_timestamp: i64,
}

impl RefrigeratedTransportation {
    /// The constructor.
    pub fn new(caller: PartyId, terms: Terms) -> Self {
        Self {
            state: StateType::Created,
            owner: caller,
            initiating_counterparty: caller,
            counterparty: Some(caller),
            previous_counterparty: None,
            device: terms.device,
            supply_chain_owner: terms.supply_chain_owner,
            supply_chain_observer: terms.supply_chain_observer,
            min_humidity: terms.min_humidity,
            max_humidity: terms.max_humidity,
            min_temperature: terms.min_temperature,
            max_temperature: terms.max_temperature,
            compliance_sensor_type: SensorType::None,
            compliance_sensor_reading: -1,
            compliance_status: true,
            compliance_detail: ComplianceDetail::NotApplicable,
            last_sensor_update_timestamp: 0,
        }
    }

    /// The device reports. Bounds are inclusive; a compliant reading leaves only its timestamp.
    pub fn ingest_telemetry(
        &mut self,
        caller: PartyId,
        humidity: i64,
        temperature: i64,
        timestamp: i64,
    ) -> Result<(), Revert> {
        self.is_open()?;
        if Some(caller) != self.device {
            return Err(Revert::NotDevice);
        }
        self.last_sensor_update_timestamp = timestamp;
        if humidity > self.max_humidity || humidity < self.min_humidity {
            self.compliance_sensor_type = SensorType::Humidity;
            self.compliance_sensor_reading = humidity;
            self.compliance_detail = ComplianceDetail::Humidity;
            self.compliance_status = false;
        } else if temperature > self.max_temperature || temperature < self.min_temperature {
            self.compliance_sensor_type = SensorType::Temperature;
            self.compliance_sensor_reading = temperature;
            self.compliance_detail = ComplianceDetail::Temperature;
            self.compliance_status = false;
        }
        if !self.compliance_status {
            self.state = StateType::OutOfCompliance;
        }
        Ok(())
    }

    /// The first or the present counterparty makes another party responsible.
    pub fn transfer_responsibility(
        &mut self,
        caller: PartyId,
        new_counterparty: Option<PartyId>,
    ) -> Result<(), Revert> {
        self.is_open()?;
        if caller != self.initiating_counterparty && Some(caller) != self.counterparty {
            return Err(Revert::NotCounterparty);
        }
        if new_counterparty == self.device {
            return Err(Revert::DeviceAsCounterparty);
        }
        if self.state == StateType::Created {
            self.state = StateType::InTransit;
        }
        self.previous_counterparty = self.counterparty;
        self.counterparty = new_counterparty;
        Ok(())
    }

    /// An owner ends the shipment well.
    pub fn complete(&mut self, caller: PartyId) -> Result<(), Revert> {
        self.is_open()?;
        if caller != self.owner && Some(caller) != self.supply_chain_owner {
            return Err(Revert::NotOwner);
        }
        self.state = StateType::Completed;
        self.previous_counterparty = self.counterparty;
        self.counterparty = None;
        Ok(())
    }

    /// Every function begins with this.
    fn is_open(&self) -> Result<(), Revert> {
        match self.state {
            StateType::Created | StateType::InTransit => Ok(()),
            StateType::Completed => Err(Revert::Completed),
            StateType::OutOfCompliance => Err(Revert::OutOfCompliance),
        }
    }
}

impl Contract for RefrigeratedTransportation {
    const TEMPLATE: &'static str = TEMPLATE;

    fn create(caller: PartyId, arguments: &[Value]) -> Result<Self, Rejection> {
        Ok(Self::new(caller, Terms::from_arguments(arguments)?))
    }

    fn invoke(
        &mut self,
        caller: PartyId,
        function: &str,
        values: &[Value],
    ) -> Result<(), Rejection> {
        match function {
            INGEST_TELEMETRY => {
                let values = arguments::exactly::<3>(values)?;
                let humidity = arguments::int(values, 0)?;
                let temperature = arguments::int(values, 1)?;
                let timestamp = arguments::int(values, 2)?;
                self.ingest_telemetry(caller, humidity, temperature, timestamp)?;
            }
            TRANSFER_RESPONSIBILITY => {
                let values = arguments::exactly::<1>(values)?;
                self.transfer_responsibility(caller, arguments::address(values, 0)?)?;
            }
            COMPLETE => {
                arguments::exactly::<0>(values)?;
                self.complete(caller)?;
            }
            _ => return Err(Rejection::UnknownFunction(function.to_owned())),
        }
        Ok(())
    }

    fn standing(&self) -> Standing {
        Standing {
            state: self.state as u8,
            custodian: self.counterparty,
        }
    }
}

/// Reads a shipment; `None` if there is no such contract, or it is of another kind.
pub fn read(state: &State, contract: ContractId) -> Option<RefrigeratedTransportation> {
    super::read(state, contract)
}
