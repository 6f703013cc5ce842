//! Execute-order-validate, rule by rule: what an endorser signs, what an orderer does not look at, what a
//! peer makes of it.

mod consortium;
mod endorsing;
mod network;
mod ordering;
mod peers;
mod validation;
mod versions;
