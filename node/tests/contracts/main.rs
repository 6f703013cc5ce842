//! Contracts: the shipment's rules, Workbench's roles, and how calls are executed.

mod application;
mod consortium;
mod execution;
mod refrigerated_transportation;
mod voyage;
