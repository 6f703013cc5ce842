//! How effects and messages read in a script.

use std::collections::BTreeMap;

use consortium_node::{
    engine::{Effect, Tale},
    pbft::{Asks, Lacks, Pbft, PbftMessage, PrePrepare, Proposal, Record, Report, Timer},
    quorum::Vote,
    types::{Digest, NodeId, Seq},
};

/// Short names of digests, given in the order of their first appearance: `a`, `b`, … for blocks, `A`,
/// `B`, … for states.
#[derive(Default)]
pub(crate) struct Names {
    blocks: BTreeMap<Digest, String>,
    states: BTreeMap<Digest, String>,
}

/// The number'th name: a … z, aa, ab, …
fn letters(number: usize, first: char) -> String {
    let digit = char::from(first as u8 + (number % 26) as u8);
    match number / 26 {
        0 => digit.to_string(),
        more => letters(more - 1, first) + &digit.to_string(),
    }
}

impl Names {
    pub(crate) fn block(&mut self, digest: Digest) -> String {
        if digest == Digest::ZERO {
            return "null".to_owned();
        }
        let next = letters(self.blocks.len(), 'a');
        self.blocks.entry(digest).or_insert(next).clone()
    }

    fn state(&mut self, digest: Digest) -> String {
        let next = letters(self.states.len(), 'A');
        self.states.entry(digest).or_insert(next).clone()
    }

    /// The digest of a name that appeared.
    pub(crate) fn digest(&self, name: &str) -> Option<Digest> {
        let all = self.blocks.iter().chain(&self.states);
        let null = (name == "null").then_some(Digest::ZERO);
        let mut named = all.filter(|(_, known)| *known == name);
        null.or_else(|| named.next().map(|(digest, _)| *digest))
    }

    /// What a message says.
    pub(crate) fn say(&mut self, message: &PbftMessage) -> String {
        match message {
            PbftMessage::PrePrepare(PrePrepare { claim, .. }) => {
                format!("PRE-PREPARE {}", self.proposal(claim.body()))
            }
            PbftMessage::Prepare(vote) => format!("PREPARE {}", self.vote(vote.body())),
            PbftMessage::Commit(vote) => format!("COMMIT {}", self.vote(vote.body())),
            PbftMessage::Checkpoint(vote) => format!("CHECKPOINT {}", self.checkpoint(vote.body())),
            PbftMessage::ViewChange(change) => {
                let change = change.body();
                let proofs = change.prepared.iter();
                let proofs = proofs.map(|proof| {
                    let Proposal { view, seq, digest } = *proof.claim.body();
                    format!("s{} {} of v{}", seq.0, self.block(digest), view.0)
                });
                let proofs: Vec<_> = proofs.collect();
                let (view, stable) = (change.view.0, change.stable.0);
                format!("VIEW-CHANGE v{view} h s{stable} P [{}]", proofs.join(", "))
            }
            PbftMessage::NewView(message) => {
                let message = message.body();
                let senders = message.changes.iter().map(|change| change.signer());
                let slots = message.proposals.iter().map(|proposal| {
                    let Proposal { seq, digest, .. } = *proposal.body();
                    format!("s{} {}", seq.0, self.block(digest))
                });
                let slots: Vec<_> = slots.collect();
                let (view, senders) = (message.view.0, list(senders));
                format!("NEW-VIEW v{view} V [{senders}] O [{}]", slots.join(", "))
            }
            PbftMessage::Status(report) => status(report.body()),
            PbftMessage::Fetch(fetch) => format!("FETCH {}", self.block(fetch.body().digest)),
            PbftMessage::Body(block) => format!("BODY {}", self.block(block.id())),
            PbftMessage::Decided(decided) => {
                let vote = decided.certificate.vote();
                format!("DECIDED {}", self.vote(vote))
            }
            PbftMessage::Stable(certificate) => {
                format!("STABLE {}", self.checkpoint(certificate.vote()))
            }
        }
    }

    fn proposal(&mut self, proposal: &Proposal) -> String {
        let Proposal { view, seq, digest } = *proposal;
        format!("v{} s{} {}", view.0, seq.0, self.block(digest))
    }

    fn vote(&mut self, vote: &Vote) -> String {
        let digest = self.block(vote.digest);
        format!("v{} s{} {digest}", vote.view.0, vote.slot.0)
    }

    fn checkpoint(&mut self, vote: &Vote) -> String {
        format!("s{} {}", vote.slot.0, self.state(vote.digest))
    }

    /// What an effect does, and whether scripts show it. Verbs are in the past tense, which is the same
    /// for one replica and for several.
    pub(crate) fn tell(&mut self, effect: &Effect<Pbft>, timers: bool) -> (bool, String) {
        let shown = |text: String| (true, text);
        let hidden = |text: String| (false, text);
        match effect {
            Effect::Send { to, message } => shown(format!("→ {to} {}", self.say(message))),
            Effect::Broadcast(message) => shown(format!("→ all {}", self.say(message))),
            Effect::Persist(record) => self.record(record),
            Effect::Truncate(keep) => shown(format!("cut the log to {} records", keep.len())),
            Effect::Behind => shown("asked the host for final blocks".to_owned()),
            Effect::Final { block, proof } => {
                let seq = super::stage::slot_of(proof);
                shown(format!("committed s{} {}", seq.0, self.block(block.id())))
            }
            Effect::Arm { timer, after } => {
                let text = format!("armed {} for {after:?}", timer_name(*timer));
                (timers && *timer != Timer::Status, text)
            }
            Effect::Disarm(timer) => (timers, format!("disarmed {}", timer_name(*timer))),
            Effect::Tell(tale) => self.tale(tale),
            Effect::Want(_) | Effect::Unwant | Effect::Validate(_) | Effect::Head(_) => {
                hidden(String::new())
            }
        }
    }

    fn record(&mut self, record: &Record) -> (bool, String) {
        match record {
            Record::Accepted(PrePrepare { claim, .. }) => {
                (true, format!("accepted {}", self.proposal(claim.body())))
            }
            Record::Prepared(proof) => {
                let proposal = *proof.claim.body();
                (true, format!("prepared {}", self.proposal(&proposal)))
            }
            Record::Committed(vote) => (false, format!("wrote COMMIT {}", self.vote(vote.body()))),
            Record::Checkpoint(_) => (false, "wrote CHECKPOINT".to_owned()),
            Record::ViewChange(_) => (false, "wrote VIEW-CHANGE".to_owned()),
            Record::NewView(_) => (false, "wrote NEW-VIEW".to_owned()),
            Record::Body(..) | Record::Stable(_) | Record::Mute => (false, "wrote".to_owned()),
        }
    }

    fn tale(&mut self, tale: &Tale) -> (bool, String) {
        let text = match tale {
            Tale::Suspected(view) => format!("left for v{}", view.0),
            Tale::Entered { view, leader } => format!("entered v{} of {leader}", view.0),
            Tale::Void(seq) => format!("passed s{}: void", seq.0),
            Tale::Stable { seq, digest } => {
                format!("moved h to s{} {}", seq.0, self.state(*digest))
            }
            Tale::Muted => "fell mute".to_owned(),
            Tale::Unmuted(seq) => format!("spoke again, from s{} on", seq.next().0),
            Tale::Equivocation { by, slot } => {
                let (view, seq) = (slot.view.0, slot.seq.0);
                format!("caught {by} saying two things about v{view} s{seq}")
            }
            // Votes and proposals show as messages.
            _ => return (false, String::new()),
        };
        (true, text)
    }
}

fn timer_name(timer: Timer) -> String {
    match timer {
        Timer::Request(view) => format!("the request timer of v{}", view.0),
        Timer::NewView(view) => format!("the new-view timer of v{}", view.0),
        Timer::Status => "the status timer".to_owned(),
    }
}

/// Where the sender of a STATUS stands, and what it lacks.
fn status(report: &Report) -> String {
    let changing = if report.active { "" } else { " inactive" };
    let lacks = report.open.iter().zip(report.executed.next().0..);
    let lacks = lacks.map(|(lacks, seq)| {
        let what = match lacks {
            Lacks::Commits => "COMMITs",
            Lacks::Prepares => "PREPAREs",
            Lacks::Everything => "all",
        };
        format!("s{seq} {what}")
    });
    let lacks: Vec<_> = lacks.collect();
    let asks = match report.asks {
        Asks::Everyone => "",
        Asks::You => " asks you",
        Asks::InReturn => " in return",
    };
    let (view, Seq(executed), Seq(stable)) = (report.view.0, report.executed, report.stable);
    let lacks = lacks.join(", ");
    format!("STATUS v{view}{changing} executed s{executed} h s{stable} lacks [{lacks}]{asks}")
}

/// `n0 n1 n2`.
pub(crate) fn list(nodes: impl IntoIterator<Item = NodeId>) -> String {
    let nodes: Vec<_> = nodes.into_iter().map(|node| node.to_string()).collect();
    nodes.join(" ")
}
