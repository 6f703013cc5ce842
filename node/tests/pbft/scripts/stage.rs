//! What a script can do: a network whose messages wait until the script delivers them.

use std::{cell::RefCell, collections::BTreeMap, mem, rc::Rc, sync::Arc, time::Duration};

use consortium_node::{
    block::Finality,
    engine::{Engine as _, Forks, Message as _, Recovery, Refusal},
    pbft::{CHECKPOINT, COMMIT, Config, PREPARE, PbftMessage},
    quorum::{Phase, Vote},
    types::{NodeId, Seq, View},
};

use super::words::{Names, list};
use crate::{Net, net_with, support::Sent};

type Flight = Vec<Sent<PbftMessage>>;

/// The slot that a certificate decided.
pub(crate) fn slot_of(proof: &Finality) -> Seq {
    match proof {
        Finality::Certificate(certificate) => certificate.vote().slot,
        _ => unreachable!("PBFT proves with certificates"),
    }
}

/// What happened during a command. Replicas to which the same happened share a line; what happened to
/// one replica keeps its order.
#[derive(Default)]
struct Lines {
    lines: Vec<(String, Vec<NodeId>)>,
    /// The line of each replica's last event.
    last: BTreeMap<NodeId, usize>,
}

impl Lines {
    fn add(&mut self, node: NodeId, text: String) {
        let from = self.last.get(&node).map_or(0, |last| last + 1);
        let shared = (from..self.lines.len()).find(|at| self.lines[*at].0 == text);
        let at = shared.unwrap_or(self.lines.len());
        if at == self.lines.len() {
            self.lines.push((text, Vec::new()));
        }
        self.lines[at].1.push(node);
        self.lines[at].1.sort_unstable();
        self.last.insert(node, at);
    }
}

/// What the network's watch and the stage share.
#[derive(Default)]
struct Seen {
    names: Names,
    lines: Lines,
    timers: bool,
    /// This replica stops before (or after) the effect that contains this text.
    trap: Option<(NodeId, bool, String)>,
}

impl Seen {
    /// Notes an effect; says whether its replica stops before it.
    fn effect(
        &mut self,
        node: NodeId,
        effect: &consortium_node::engine::Effect<consortium_node::pbft::Pbft>,
    ) -> bool {
        let (shown, text) = self.names.tell(effect, self.timers);
        match &mut self.trap {
            Some((victim, before, trigger)) if *victim == node && text.contains(&**trigger) => {
                if *before {
                    self.trap = None;
                    return true;
                }
                // It carries this one out and stops before the next.
                (*before, *trigger) = (true, String::new());
            }
            _ => {}
        }
        if shown {
            self.lines.add(node, text);
        }
        false
    }
}

/// Which messages a command is about: each list that is not empty must hold the message's.
#[derive(Clone, Debug, Default)]
struct Filter {
    from: Vec<NodeId>,
    to: Vec<NodeId>,
    kinds: Vec<String>,
    views: Vec<View>,
    seqs: Vec<Seq>,
}

impl Filter {
    fn parse(words: &[&str]) -> Self {
        let mut filter = Self::default();
        let mut receivers = false;
        for word in words {
            let number = || word[1..].parse().expect("a number after the letter");
            match word.chars().next() {
                _ if *word == "from" => receivers = false,
                _ if *word == "to" => receivers = true,
                Some('n') if receivers => filter.to.push(node(word)),
                Some('n') => filter.from.push(node(word)),
                Some('v') => filter.views.push(View(number())),
                Some('s') => filter.seqs.push(Seq(number())),
                Some('A'..='Z') => filter.kinds.push((*word).to_owned()),
                _ => panic!("`{word}` says nothing about messages"),
            }
        }
        filter
    }

    fn takes(&self, sent: &Sent<PbftMessage>) -> bool {
        fn named<T: PartialEq>(list: &[T], value: &T) -> bool {
            list.is_empty() || list.contains(value)
        }
        let slot = sent.message.slot();
        let kind = sent.message.kind().name.to_owned();
        named(&self.from, &sent.from)
            && named(&self.to, &sent.to)
            && named(&self.kinds, &kind)
            && named(&self.views, &slot.view)
            && named(&self.seqs, &slot.seq)
    }
}

fn node(word: &str) -> NodeId {
    let number = word
        .strip_prefix('n')
        .and_then(|number| number.parse().ok());
    NodeId(number.unwrap_or_else(|| panic!("`{word}` is no replica")))
}

fn nodes(words: &[&str]) -> Vec<NodeId> {
    words.iter().map(|word| node(word)).collect()
}

/// `500ms` or `2s`.
fn time(word: &str) -> Duration {
    let number = |digits: &str| digits.parse().expect("a number before the unit");
    match word.strip_suffix("ms") {
        Some(digits) => Duration::from_millis(number(digits)),
        None => Duration::from_secs(number(word.strip_suffix('s').expect("ms or s"))),
    }
}

/// A committee on a stage.
pub(crate) struct Stage {
    net: Net,
    flight: Rc<RefCell<Flight>>,
    seen: Rc<RefCell<Seen>>,
    /// Messages that stay in flight, and messages that never arrive.
    held: Vec<Filter>,
    lost: Vec<Filter>,
    /// The state of each replica as it was shown last.
    shown: Vec<String>,
    forks: Forks,
}

impl Stage {
    /// `committee 4 k 4 window 8 pipeline 2`.
    pub(crate) fn new(words: &[&str]) -> Self {
        let mut config = Config {
            checkpoint_interval: 4,
            window: 8,
            pipeline: 4,
            request_timeout: Duration::from_millis(500),
            request_deadline: Duration::from_secs(20),
            view_change_timeout: Duration::from_millis(500),
            status_interval: Duration::from_millis(200),
        };
        let n = words[0].parse().expect("how many replicas");
        for pair in words[1..].chunks(2) {
            let number = || pair[1].parse().expect("a number");
            match pair[0] {
                "k" => config.checkpoint_interval = number(),
                "window" => config.window = number(),
                "pipeline" => config.pipeline = number(),
                "status" => config.status_interval = time(pair[1]),
                other => panic!("`{other}` is no parameter"),
            }
        }
        let mut net = net_with(n, config);
        let flight: Rc<RefCell<Flight>> = Rc::default();
        let seen: Rc<RefCell<Seen>> = Rc::default();
        let (into, watching) = (Rc::clone(&flight), Rc::clone(&seen));
        net.tamper = Some(Box::new(move |sent| {
            into.borrow_mut().push(sent.clone());
            None
        }));
        net.watch = Some(Box::new(move |node, effect| {
            watching.borrow_mut().effect(node, effect)
        }));
        Self {
            net,
            flight,
            seen,
            held: Vec::new(),
            lost: Vec::new(),
            shown: vec![String::new(); n],
            forks: Forks::new(),
        }
    }

    /// Carries out a command; says what happened and whose state it changed, a line each.
    pub(crate) fn command(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let quiet = words[0] == "quietly";
        self.obey(if quiet { &words[1..] } else { &words });
        let happened = mem::take(&mut self.seen.borrow_mut().lines).lines;
        let happened = happened.into_iter().filter(|_| !quiet);
        let lines = happened.map(|(text, nodes)| format!("{} {text}", list(nodes)));
        let mut lines: Vec<_> = lines.collect();
        lines.extend(self.changes());
        lines
    }

    fn obey(&mut self, words: &[&str]) {
        let rest = &words[1..];
        match words[0] {
            "committee" => {}
            "times" => {
                let times = rest[0].parse().expect("how many times");
                (0..times).for_each(|_| {
                    let commands = rest[1..].split(|word| *word == "and");
                    commands.for_each(|command| self.obey(command));
                });
            }
            "submit" => self.submit(rest),
            "deliver" => self.deliver(&Filter::parse(rest)),
            "settle" => {
                let filter = Filter::parse(rest);
                let mut rounds = 0;
                while self
                    .flight
                    .borrow()
                    .iter()
                    .any(|sent| self.moves(&filter, sent))
                {
                    self.deliver(&filter);
                    rounds += 1;
                    assert!(rounds < 1_000, "the network never settles");
                }
            }
            "drop" => {
                let filter = Filter::parse(rest);
                let all = mem::take(&mut *self.flight.borrow_mut());
                let (dropped, kept) = all.into_iter().partition(|sent| filter.takes(sent));
                *self.flight.borrow_mut() = kept;
                self.tell_of(dropped, "was lost on the way to");
            }
            "hold" => self.held.push(Filter::parse(rest)),
            "release" => self.held.clear(),
            "lose" => self.lost.push(Filter::parse(rest)),
            "heal" => self.lost.clear(),
            "wait" => self.net.run(time(rest[0])),
            "timers" => self.seen.borrow_mut().timers = rest[0] == "shown",
            "crash" => self.crash(rest),
            "restart" => {
                let disk = match rest.get(1) {
                    None => Recovery::Clean,
                    Some(&"torn") => Recovery::Torn,
                    Some(&"lost") => Recovery::Lost,
                    Some(other) => panic!("a disk is not `{other}`"),
                };
                self.net.restart(node(rest[0]).0, disk);
            }
            "sync" => self.net.sync(node(rest[0]).0, node(rest[2]).0),
            "resend" => self.resend(&Filter::parse(rest)),
            "lie" => self.lie(&Filter::parse(rest)),
            "forge" => self.forge(rest),
            other => panic!("`{other}` is no command"),
        }
    }

    fn submit(&mut self, words: &[&str]) {
        match words.split_first() {
            None => {
                self.net.submit();
            }
            Some((to, some)) => {
                assert_eq!(*to, "to", "submit to whom");
                let transaction = self.net.transaction();
                for node in nodes(some) {
                    self.net.submit_to(node, &transaction);
                }
            }
        }
    }

    fn moves(&self, filter: &Filter, sent: &Sent<PbftMessage>) -> bool {
        filter.takes(sent) && !self.held.iter().any(|held| held.takes(sent))
    }

    /// Delivers what is in flight now, in the order in which it was sent; what is sent in return waits.
    fn deliver(&mut self, filter: &Filter) {
        let all = mem::take(&mut *self.flight.borrow_mut());
        let (due, kept): (Flight, Flight) =
            all.into_iter().partition(|sent| self.moves(filter, sent));
        *self.flight.borrow_mut() = kept;
        let mut lost = Vec::new();
        for sent in due {
            if self.lost.iter().any(|filter| filter.takes(&sent)) {
                lost.push(sent);
                continue;
            }
            let before = self.net.replica(sent.to.0).refusals.len();
            self.net.inject(sent.from, sent.to, &sent.message);
            let refusals = self.net.replica(sent.to.0).refusals[before..].to_vec();
            let mut seen = self.seen.borrow_mut();
            // What came too late, or again, is no news.
            for reason in refusals.into_iter().filter(|r| *r != Refusal::Stale) {
                let message = seen.names.say(&sent.message);
                let text = format!("refused {message} from {}: {reason:?}", sent.from);
                seen.lines.add(sent.to, text);
            }
        }
        self.tell_of(lost, "was lost on the way to");
    }

    /// A line for each message, with all whom it was meant for.
    fn tell_of(&mut self, messages: Flight, what: &str) {
        let mut grouped: Vec<(NodeId, String, Vec<NodeId>)> = Vec::new();
        let mut seen = self.seen.borrow_mut();
        for sent in messages {
            let message = seen.names.say(&sent.message);
            let known = |(from, said, _): &&mut (NodeId, String, Vec<NodeId>)| {
                *from == sent.from && *said == message
            };
            match grouped.iter_mut().find(known) {
                Some((_, _, to)) => to.push(sent.to),
                None => grouped.push((sent.from, message, vec![sent.to])),
            }
        }
        for (from, message, to) in grouped {
            seen.lines
                .add(from, format!("{message} {what} {}", list(to)));
        }
    }

    /// `crash n2`, `crash n2 before → all COMMIT`, `crash n2 after accepted`.
    fn crash(&mut self, words: &[&str]) {
        let victim = node(words[0]);
        match words.get(1) {
            None => self.net.crash(victim.0),
            Some(when) => {
                let before = *when == "before";
                assert!(before || *when == "after", "before or after which effect");
                self.seen.borrow_mut().trap = Some((victim, before, words[2..].join(" ")));
            }
        }
    }

    /// Replaces messages in flight by what contradicts them, signed by the same sender.
    fn lie(&mut self, filter: &Filter) {
        let mut changed = Vec::new();
        for sent in self.flight.borrow_mut().iter_mut() {
            let key = &self.net.keys[sent.from.index()];
            if filter.takes(sent)
                && let Some(lie) = sent.message.conflicting(key, sent.from, &mut self.forks)
            {
                sent.message = Arc::new(lie);
                changed.push(sent.clone());
            }
        }
        self.tell_of(changed, "was told to");
    }

    /// Somebody repeats what was sent, as it was sent.
    fn resend(&mut self, filter: &Filter) {
        let sent = self.net.trace.iter().filter(|sent| filter.takes(sent));
        let again: Vec<_> = sent.cloned().collect();
        self.flight.borrow_mut().extend(again.clone());
        self.tell_of(again, "was repeated to");
    }

    /// `forge n3 PREPARE v0 s1 a to n1`: a vote that the protocol would not have cast.
    fn forge(&mut self, words: &[&str]) {
        let (from, kind, name) = (node(words[0]), words[1], words[4]);
        let number = |word: &str| word[1..].parse().expect("a number after the letter");
        let phase = match kind {
            "PREPARE" => PREPARE,
            "COMMIT" => COMMIT,
            "CHECKPOINT" => CHECKPOINT,
            other => panic!("{other} is no vote"),
        };
        let digest = self.seen.borrow().names.digest(name);
        let vote = Vote {
            phase,
            view: View(number(words[2])),
            slot: Seq(number(words[3])),
            digest: digest.unwrap_or_else(|| panic!("nothing is called {name}")),
        };
        let signed = self.net.keys[from.index()].sign(from, vote);
        let message = Arc::new(of_phase(phase)(signed));
        let mut forged = Vec::new();
        for to in nodes(&words[6..]) {
            forged.push(Sent {
                at: consortium_node::types::Mono(self.net.now),
                from,
                to,
                message: Arc::clone(&message),
                records: 0,
            });
        }
        self.flight.borrow_mut().extend(forged.clone());
        self.tell_of(forged, "was told to");
    }

    /// The states that are not what was shown last; equal ones share a line.
    fn changes(&mut self) -> Vec<String> {
        let mut changed: Vec<(String, Vec<NodeId>)> = Vec::new();
        for node in self.net.nodes() {
            let state = self.state(node);
            if self.shown[node.index()] == state {
                continue;
            }
            self.shown[node.index()].clone_from(&state);
            match changed.iter_mut().find(|(known, _)| *known == state) {
                Some((_, nodes)) => nodes.push(node),
                None => changed.push((state, vec![node])),
            }
        }
        let line = |(state, nodes): (String, Vec<NodeId>)| format!("= {}: {state}", list(nodes));
        changed.into_iter().map(line).collect()
    }

    fn state(&self, node: NodeId) -> String {
        let replica = self.net.replica(node.0);
        if replica.crashed {
            return "crashed".to_owned();
        }
        let (status, executed) = (replica.engine.status(), replica.engine.executed());
        let (low, high) = replica.engine.watermarks();
        let mut seen = self.seen.borrow_mut();
        let chain = replica.host.chain[1..].iter();
        let chain: Vec<_> = chain.map(|block| seen.names.block(block.id())).collect();
        let chain = match &chain[..] {
            [] => "genesis".to_owned(),
            [first, .., last] if chain.len() > 6 => format!("{first} … {last}"),
            all => all.join(" "),
        };
        let (view, inactive) = (status.view.0, if status.active { "" } else { " inactive" });
        let window = format!("h s{} H s{}", low.0, high.0);
        format!(
            "v{view}{inactive}, executed s{}, {window}, chain {chain}",
            executed.0
        )
    }

    /// Agreement among all replicas, at the end of each script.
    pub(crate) fn check(&self) {
        self.net.check_agreement();
    }
}

type OfVote = fn(consortium_node::crypto::Signed<Vote>) -> PbftMessage;

fn of_phase(phase: Phase) -> OfVote {
    match phase {
        PREPARE => PbftMessage::Prepare,
        COMMIT => PbftMessage::Commit,
        _ => PbftMessage::Checkpoint,
    }
}
