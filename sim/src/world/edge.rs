//! The edge of the network: gateways, the sensors behind them, and what is laid on besides.

use std::sync::Arc;

use consortium_node::transaction::Transaction;

use super::{Event, World};
use crate::{
    fact::{Fact, Submission},
    workload::{
        fleet::Fired,
        gateway::{Gateway, GatewayOutput},
        load::{Came, Load},
    },
};

impl World<'_> {
    pub(super) fn gateway(
        &mut self,
        gateway: usize,
        event: impl FnOnce(&mut Gateway, &mut Vec<GatewayOutput>),
    ) {
        let mut outputs = std::mem::take(&mut self.gateway_outputs);
        event(&mut self.gateways[gateway], &mut outputs);
        let node = self.cast.gateway(gateway);
        for output in outputs.drain(..) {
            match output {
                GatewayOutput::Send { to, packet } => self.send(node, to, &packet),
                GatewayOutput::Arm { token, at } => {
                    self.queue.push(at, node, node, Event::GatewayTimer(token));
                }
                GatewayOutput::Fact(fact) => {
                    self.tell(&fact);
                    if let Fact::Final { tx, .. } | Fact::Rejected { tx, .. } = fact {
                        let fired = self.fleet.finished(&tx, self.now);
                        self.fired(fired);
                        let now = self.now;
                        self.load(|load| load.finished(&tx, now));
                    }
                }
            }
        }
        self.gateway_outputs = outputs;
    }

    pub(super) fn fired(&mut self, fired: Fired) {
        for fact in fired.truths {
            self.tell(&fact);
        }
        for (at, ticket) in fired.next {
            self.later(at, Event::Fleet(ticket));
        }
        self.submit(fired.submissions);
    }

    /// Lets something happen to the load, if there is one.
    pub(super) fn load(&mut self, event: impl FnOnce(&mut Load) -> Came) {
        let Some(load) = &mut self.load else {
            return;
        };
        let came = event(load);
        if let Some(at) = came.next {
            self.later(at, Event::Load);
        }
        self.submit(came.submissions);
    }

    fn submit(&mut self, submissions: Vec<(Submission, Arc<Transaction>)>) {
        for (submission, transaction) in submissions {
            let gateway = submission.gateway.index() - self.hosts.len();
            let now = self.now;
            self.gateway(gateway, |gateway, out| {
                gateway.submit(now, submission, transaction, out);
            });
        }
    }
}
