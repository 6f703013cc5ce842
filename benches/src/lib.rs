//! What the benches share: plans for uniform networks, a toy node for the bare pump, the hand-written
//! event loop that everything is compared with, and the comparison itself.

pub mod compare;
pub mod plans;
pub mod play;
pub mod toy;
pub mod yardstick;
