//! What the benches share: a toy node for the bare pump, and the hand-written event loop that everything is
//! compared with.

pub mod toy;
pub mod yardstick;
