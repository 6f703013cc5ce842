//! Starting again with the blocks that the log holds.

use super::{ALLOWANCE, Clique, intake::Candidate, tree::BATCH};
use crate::{
    engine::{Effect, Outbox, Recovery},
    sealed::SealedBlock,
    types::{BlockId, LocalTime, Wall},
};

impl Clique {
    /// Inserts again what was inserted before; then goes on as after a pause.
    pub(super) fn recover(
        &mut self,
        now: LocalTime,
        disk: Recovery,
        records: &[SealedBlock],
        out: &mut Outbox<Self>,
    ) {
        self.heard = now.mono;
        if disk == Recovery::Lost {
            let bound = now.wall.0.saturating_add(ALLOWANCE.as_nanos() as u64);
            self.seals_after = Some(Wall(bound));
        }
        let headers = records.iter().map(|sealed| sealed.block().header());
        let ours = headers.filter(|header| header.proposer == self.me);
        self.sealed_on = ours.map(|header| header.parent).collect();
        let logged = records.iter().cloned().map(Candidate::Logged);
        self.queue.extend(logged);
        self.arm_beat(out);
        self.pump(now, out);
        self.want(now, out);
    }

    /// Whether this node did not seal on this head in an earlier life. Its own blocks are in the tree as a
    /// rule; but one that its clock finds early now is not, and with a lost disk none is.
    pub(super) fn trusts_itself(&self, head: &BlockId) -> bool {
        if self.sealed_on.contains(head) {
            return false;
        }
        let Some(bound) = self.seals_after else {
            return true;
        };
        self.tree.timestamp(head).is_some_and(|at| at > bound)
    }

    /// While many blocks are worked through, the host follows from time to time: so it need not look far
    /// back to judge the next one.
    pub(super) fn announce_some(&mut self, out: &mut Outbox<Self>) {
        let head = self.tree.head();
        let told = self.tree.status(&self.announced);
        let behind = told.map_or(u64::MAX, |told| head.height.0.saturating_sub(told.height.0));
        if behind >= BATCH as u64 {
            self.announced = head.head;
            out.push(Effect::Head(head.head));
        }
    }
}
