//! The wires between nodes.

pub mod matrix;
