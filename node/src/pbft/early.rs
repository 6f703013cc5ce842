//! Messages that came too early: for a view that has not begun here (R26), or just above the high
//! watermark (R16). Bounded for each sender, so that liars fill their own share only (R37).

use crate::{
    crypto::Signed,
    membership::Committee,
    quorum::{Phase, Vote},
    types::{NodeId, Seq, View},
};

use super::{Config, message::PrePrepare};

/// A message that waits for its time.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// A proposal with its block.
    Proposal(PrePrepare),
    /// A PREPARE or a COMMIT.
    Vote(Phase, Signed<Vote>),
}

impl Held {
    /// Who signed it.
    pub(super) fn signer(&self) -> NodeId {
        match self {
            Self::Proposal(message) => message.claim.signer(),
            Self::Vote(_, vote) => vote.signer(),
        }
    }

    /// Whether a member of this committee signed it.
    pub(super) fn is_signed(&self, committee: &Committee) -> bool {
        match self {
            Self::Proposal(message) => committee.verify(&message.claim),
            Self::Vote(_, vote) => committee.verify(vote),
        }
    }

    /// What it is about.
    pub(super) fn slot(&self) -> (View, Seq) {
        match self {
            Self::Proposal(message) => {
                let claim = message.claim.body();
                (claim.view, claim.seq)
            }
            Self::Vote(_, vote) => (vote.body().view, vote.body().slot),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Share {
    proposals: Vec<PrePrepare>,
    votes: Vec<(Phase, Signed<Vote>)>,
}

/// The buffer.
#[derive(Debug)]
pub(super) struct Early {
    /// By position in the committee.
    shares: Vec<Share>,
    /// Proposals (they carry blocks) that one sender may have here.
    proposals_each: usize,
    /// Votes that one sender may have here.
    votes_each: usize,
    /// Messages here.
    held: usize,
}

impl Early {
    /// A buffer for `n` senders with room for `proposals_each` and `votes_each` of each of them.
    pub(super) fn new(n: usize, proposals_each: usize, votes_each: usize) -> Self {
        Self {
            shares: vec![Share::default(); n],
            proposals_each,
            votes_each,
            held: 0,
        }
    }

    /// A buffer for the `n` members of an epoch: two pipelines of proposals each, two windows of votes.
    pub(super) fn for_epoch(n: usize, config: &Config) -> Self {
        let window = config.window as usize;
        let pipeline = config.pipeline.min(config.window) as usize;
        Self::new(n, pipeline.saturating_mul(2), window.saturating_mul(2))
    }

    /// How many members have something here.
    pub(super) fn senders(&self) -> usize {
        if self.held == 0 {
            return 0;
        }
        let waiting = |share: &&Share| !share.proposals.is_empty() || !share.votes.is_empty();
        self.shares.iter().filter(waiting).count()
    }

    /// Keeps a message whose signature was checked; says whether there was room.
    pub(super) fn hold(&mut self, position: usize, held: Held) -> bool {
        let share = &mut self.shares[position];
        if let Held::Vote(_, vote) = &held
            && share
                .votes
                .iter()
                .any(|(_, kept)| kept.body() == vote.body())
        {
            // Anyone may repeat a signed vote: it must not fill its signer's share.
            return true;
        }
        if let Held::Proposal(message) = &held
            && let Some(kept) = share.proposals.iter_mut().find(|kept| {
                // The primary signs the header alone: who repeats it may have changed the body.
                kept.claim.body() == message.claim.body()
            })
        {
            if !kept.block.as_ref().is_some_and(|block| block.is_whole()) {
                *kept = message.clone();
            }
            return true;
        }
        match held {
            Held::Proposal(message) if share.proposals.len() < self.proposals_each => {
                share.proposals.push(message);
                self.held += 1;
                true
            }
            Held::Vote(phase, vote) if share.votes.len() < self.votes_each => {
                share.votes.push((phase, vote));
                self.held += 1;
                true
            }
            Held::Proposal(_) | Held::Vote(..) => false,
        }
    }

    /// Takes out what its time has come for: the slots of `view` up to `high`, proposals first.
    /// Forgets what is over: older views, and slots up to `low`.
    pub(super) fn release(&mut self, view: View, active: bool, low: Seq, high: Seq) -> Vec<Held> {
        let mut due = Vec::new();
        if self.held == 0 {
            return due;
        }
        self.held = 0;
        for share in &mut self.shares {
            let proposals = share.proposals.drain(..).map(Held::Proposal);
            let votes = share
                .votes
                .drain(..)
                .map(|(phase, vote)| Held::Vote(phase, vote));
            let (mut kept_proposals, mut kept_votes) = (Vec::new(), Vec::new());
            for held in proposals.chain(votes) {
                let (of_view, seq) = held.slot();
                if of_view < view || seq <= low {
                    continue;
                }
                if of_view == view && active && seq <= high {
                    due.push(held);
                    continue;
                }
                match held {
                    Held::Proposal(message) => kept_proposals.push(message),
                    Held::Vote(phase, vote) => kept_votes.push((phase, vote)),
                }
            }
            self.held += kept_proposals.len() + kept_votes.len();
            share.proposals = kept_proposals;
            share.votes = kept_votes;
        }
        due.sort_by_key(|held| matches!(held, Held::Vote(..)));
        due
    }
}
