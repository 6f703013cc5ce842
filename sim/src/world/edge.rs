//! The edge of the network: gateways, and the sensors behind them.

use super::{Event, World};
use crate::{
    fact::Fact,
    workload::{
        fleet::Fired,
        gateway::{Gateway, GatewayOutput},
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
        for (submission, transaction) in fired.submissions {
            let gateway = submission.gateway.index() - self.hosts.len();
            let now = self.now;
            self.gateway(gateway, |gateway, out| {
                gateway.submit(now, submission, transaction, out);
            });
        }
    }
}
