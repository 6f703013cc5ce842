//! Members that lie: wrappers around a whole node.
//!
//! A liar runs the honest code and changes what leaves it. It holds its own key and those of its
//! coalition, and no others: forging somebody else's word is impossible by construction, and that is the
//! model. One deviation a file.

mod equivocator;
mod rewriter;
mod silent;
mod twins;

use std::{cell::Cell, cell::RefCell, rc::Rc};

use consortium_node::{engine::Forks, node::Node};

pub(crate) use self::{equivocator::Equivocator, rewriter::Rewriter, silent::Silent, twins::Twins};

/// What a coalition shares: whether its cheat is on, and the lies agreed on.
#[derive(Debug, Default)]
pub(crate) struct Script {
    on: Cell<bool>,
    deeds: Cell<u64>,
    forks: RefCell<Forks>,
}

impl Script {
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Switches the cheat on or off.
    pub(crate) fn switch(&self, on: bool) {
        self.on.set(on);
    }

    fn is_on(&self) -> bool {
        self.on.get()
    }

    fn did_something(&self) {
        self.deeds.set(self.deeds.get() + 1);
    }

    /// Deeds since the last call.
    pub(crate) fn take_deeds(&self) -> u64 {
        self.deeds.take()
    }
}

/// A node that may lie, with the script that it follows.
pub(crate) struct Liar {
    pub(crate) node: Box<dyn Node>,
    pub(crate) script: Rc<Script>,
}
