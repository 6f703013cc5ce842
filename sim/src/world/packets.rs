//! Packets between nodes: over the wires, into the card, through the stateless stage.

use consortium_node::{node::Packet, types::NodeId};

use super::{Event, World, host::Input, schedule::Fate};

impl World<'_> {
    /// Carries a message over the wires, to whatever fate.
    pub(super) fn carry(&mut self, from: NodeId, to: NodeId, packet: &Packet, fate: &Fate) {
        let (kind, slot) = packet.label();
        let bytes = packet.wire_len();
        self.trace.packet(self.now, (from, to), kind, slot, bytes);
        let (name, count) = &mut self.packets[usize::from(kind.code)];
        *name = kind.name;
        count.messages += 1;
        count.bytes += self.net.wire_bytes(bytes);
        let deliveries = self.net.send(self.now, from, to, bytes);
        for at in deliveries.into_iter().flat_map(|at| fate.arrivals(at)) {
            let packet = packet.clone();
            self.queue.push(
                at,
                to,
                from,
                Event::Arrive {
                    from,
                    bytes: bytes as u32,
                    packet,
                },
            );
        }
    }

    pub(super) fn arrive(&mut self, to: NodeId, from: NodeId, bytes: u32, packet: Packet) {
        if self.net.is_cut(from, to) {
            return;
        }
        let in_card = self.net.receive(self.now, to, bytes as usize);
        if !self.cast.is_validator(to) {
            self.settle_cheat(&packet);
            let gateway = to.index() - self.hosts.len();
            return self.gateway(gateway, |gateway, out| {
                gateway.packet(in_card, from, &packet, out);
            });
        }
        let host = &mut self.hosts[to.index()];
        if !host.up {
            return;
        }
        let demand = packet.demand();
        let cost = self.prices.demand(demand);
        host.usage.checks += u64::from(demand.checks);
        host.usage.cores_busy_ns += cost;
        let released = host.cores.release(in_card, cost);
        let packet = if self.plan.host.eager_wire {
            let bytes = packet.encode();
            assert_eq!(
                bytes.len(),
                packet.wire_len(),
                "{:?} misstates its length",
                packet.label()
            );
            host.liar
                .node
                .decode(&bytes)
                .expect("what was encoded can be decoded")
        } else {
            packet
        };
        let input = Input::Packet { from, packet };
        if released > self.now {
            let life = host.life;
            self.queue
                .push(released, to, to, Event::Released { life, input });
        } else {
            self.serial(to, input);
        }
    }
}
