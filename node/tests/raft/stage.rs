//! A stage for scripts: every message waits until the script says what becomes of it, every timer fires
//! when the script says so, and each member has a clock of its own.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    block::Block,
    crypto::{Keypair, SignatureMode},
    engine::{Effect, Engine as _, Input, Message as _, Outbox, Recovery, Tale, Tip},
    membership::Committee,
    raft::{
        Body, Change, Config, Configuration, Entry, Minting, Raft, RaftMessage, Reading, Record,
        Timer,
    },
    transaction::{Call, Transaction},
    types::{BlockId, Digest, LocalTime, Mono, NodeId, PartyId, Seq, View, Wall},
};

use crate::support::{CHAIN, EPOCH, host::Host};

/// A member with its host, its disk and its clock.
pub(crate) struct Actor {
    pub(crate) engine: Raft,
    pub(crate) host: Host,
    pub(crate) up: bool,
    pub(crate) tales: Vec<Tale>,
    log: Vec<Record>,
    clock: u64,
    shown: String,
}

/// A message that is under way.
struct Flight {
    from: u16,
    to: u16,
    message: Arc<RaftMessage>,
}

pub(crate) struct Stage {
    pub(crate) actors: Vec<Actor>,
    config: Config,
    founders: Arc<Committee>,
    genesis: Arc<Block>,
    keys: Vec<Arc<Keypair>>,
    party: Arc<Keypair>,
    nonces: u64,
    flights: Vec<Flight>,
    names: Vec<BlockId>,
    lines: Vec<String>,
    /// A member stops before this many more effects.
    dies: Option<(u16, usize)>,
    #[cfg(feature = "mutants")]
    planted: BTreeMap<u16, consortium_node::mutant::Mutant>,
}

/// Scripts say what rests and when.
pub(crate) const BARE: Config = Config {
    election: Duration::from_secs(1),
    heartbeat: Duration::from_millis(100),
    pre_vote: false,
    check_quorum: false,
    lease: false,
    minting: Minting::Piped { depth: 8 },
    eager_commit: true,
    inflight: 3,
    append_bytes: 1 << 20,
    compact_every: 4,
    keep: 2,
    change: Change::Single,
    learn_first: true,
    rest: false,
    seed: 1,
};

impl Stage {
    /// So many members, of which the first few decide.
    pub(crate) fn new(founders: u16, members: u16, config: Config) -> Self {
        let key = |seed: u8| Keypair::from_seed([seed; 32], CHAIN, SignatureMode::Lazy);
        let keys: Vec<_> = (0..members).map(|node| key(node as u8 + 1)).collect();
        let party = key(200);
        let genesis = Block::genesis(Digest::ZERO);
        let named = keys.iter().enumerate().take(usize::from(founders));
        let named = named.map(|(node, key)| (NodeId(node as u16), key.public()));
        let founders = Committee::new(CHAIN, named.collect());
        let actor = |node: u16| Actor {
            engine: Raft::new(config, NodeId(node), &founders, genesis.id()),
            host: Host::new(NodeId(node), &genesis, party.public()),
            up: true,
            tales: Vec::new(),
            log: Vec::new(),
            clock: 0,
            shown: String::new(),
        };
        let actors = (0..members).map(actor).collect();
        let mut stage = Self {
            actors,
            config,
            founders,
            genesis,
            keys,
            party,
            nonces: 0,
            flights: Vec::new(),
            names: Vec::new(),
            lines: Vec::new(),
            dies: None,
            #[cfg(feature = "mutants")]
            planted: BTreeMap::new(),
        };
        for node in 0..members {
            stage.input(node, Input::Start);
        }
        stage.changes();
        stage.lines.clear();
        stage
    }

    /// This member carries a bug from now on.
    #[cfg(feature = "mutants")]
    pub(crate) fn plant(&mut self, node: u16, bug: consortium_node::mutant::Mutant) {
        self.planted.insert(node, bug);
        let engine = self.fresh(node);
        self.actors[usize::from(node)].engine = engine;
        self.input(node, Input::Start);
        self.lines.clear();
    }

    fn fresh(&self, node: u16) -> Raft {
        let engine = Raft::new(self.config, NodeId(node), &self.founders, self.genesis.id());
        #[cfg(feature = "mutants")]
        if let Some(bug) = self.planted.get(&node) {
            return engine.planting(consortium_node::mutant::Planted::one(*bug));
        }
        engine
    }

    /// Several commands.
    pub(crate) fn play(&mut self, commands: &[&str]) {
        for command in commands {
            self.command(command);
        }
    }

    /// One command; what came of it.
    pub(crate) fn command(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let rest = &words[1..];
        match words[0] {
            "campaign" => {
                let node = node(rest[0]);
                self.pass(node, 2 * self.config.election);
                self.input(node, Input::Timer(Timer::Election));
            }
            "beat" => {
                let node = node(rest[0]);
                self.pass(node, self.config.heartbeat);
                self.input(node, Input::Timer(Timer::Heartbeat(self.term(node))));
            }
            "check" => {
                let node = node(rest[0]);
                self.input(node, Input::Timer(Timer::Quorum(self.term(node))));
            }
            "mint" => {
                let node = node(rest[0]);
                self.input(node, Input::Timer(Timer::Mint(self.term(node))));
            }
            "pass" => {
                let time = Duration::from_millis(rest[0].parse().expect("milliseconds"));
                let all = (0..self.actors.len() as u16).collect();
                let nodes: Vec<u16> = if rest.len() > 1 {
                    nodes(&rest[1..])
                } else {
                    all
                };
                for node in nodes {
                    self.pass(node, time);
                }
            }
            "submit" => {
                for node in nodes(rest) {
                    self.submit(node);
                }
            }
            "deliver" => self.deliver(&Filter::read(rest)),
            "settle" => self.settle_all(command, &Filter::read(rest)),
            "drop" => {
                let filter = Filter::read(rest);
                self.flights.retain(|flight| !filter.takes(flight));
            }
            "crash" => nodes(rest).into_iter().for_each(|node| {
                self.actors[usize::from(node)].up = false;
            }),
            "restart" => self.restart(node(rest[0]), rest.get(1) == Some(&"lost")),
            "sync" => self.sync(node(rest[0]), node(rest[2])),
            "tell" => self.tell(node(rest[0]), &nodes(&rest[1..])),
            "read" => {
                let message = RaftMessage::Read {
                    id: rest[2].parse().expect("a number"),
                };
                let from = NodeId(node(rest[1]));
                self.input(
                    node(rest[0]),
                    Input::Message {
                        from,
                        message: &message,
                    },
                );
            }
            other => panic!("{other} is no command"),
        }
        self.changes();
        std::mem::take(&mut self.lines)
    }

    /// Delivers until nothing is under way.
    fn settle_all(&mut self, command: &str, filter: &Filter) {
        let mut rounds = 0;
        while self.flights.iter().any(|flight| filter.takes(flight)) {
            self.deliver(filter);
            rounds += 1;
            let said = self.lines.iter().rev().take(9);
            assert!(rounds < 100, "{command}: {:#?}", said.collect::<Vec<_>>());
        }
    }

    fn pass(&mut self, node: u16, time: Duration) {
        self.actors[usize::from(node)].clock += time.as_nanos() as u64;
    }

    pub(crate) fn term(&self, node: u16) -> View {
        self.actors[usize::from(node)].engine.status().view
    }

    pub(crate) fn leads(&self, node: u16) -> bool {
        self.actors[usize::from(node)].engine.answers()
    }

    /// A member's chain, in letters.
    pub(crate) fn chain(&self, node: u16) -> String {
        let chain = &self.actors[usize::from(node)].host.chain[1..];
        let name = |block: &Arc<Block>| self.names.iter().position(|id| *id == block.id());
        let letters = chain.iter().map(|block| name(block).map_or('?', letter));
        letters.collect()
    }

    /// Whether one of the chains is the beginning of the other.
    pub(crate) fn agree(&self, one: u16, other: u16) -> bool {
        let chain = |node: u16| &self.actors[usize::from(node)].host.chain;
        chain(one).iter().zip(chain(other)).all(|(a, b)| a == b)
    }

    /// What a member's own reads gave.
    pub(crate) fn readings(&mut self, node: u16) -> Vec<Reading> {
        self.actors[usize::from(node)].engine.readings()
    }

    /// A read of a client of this member.
    pub(crate) fn read(&mut self, node: u16, id: u64) {
        let mut out = Outbox::default();
        let now = self.now(node);
        self.actors[usize::from(node)]
            .engine
            .read(now, id, &mut out);
        for effect in out.effects {
            self.carry_out(node, effect);
        }
    }

    /// A member stops before it carries out so many more effects.
    pub(crate) fn dies_after(&mut self, node: u16, effects: usize) {
        self.dies = Some((node, effects));
    }

    fn submit(&mut self, node: u16) {
        self.nonces += 1;
        let (template, arguments) = ("T".into(), Vec::new());
        let call = Call::Create {
            template,
            arguments,
        };
        let transaction = Transaction::sign(&self.party, PartyId(0), self.nonces, call);
        let actor = &mut self.actors[usize::from(node)];
        actor.host.submit(transaction, Mono(actor.clock));
        self.settle(node);
    }

    fn deliver(&mut self, filter: &Filter) {
        let flights = std::mem::take(&mut self.flights);
        let (now, later) = flights.into_iter().partition(|flight| filter.takes(flight));
        self.flights = later;
        let now: Vec<Flight> = now;
        for flight in now {
            let from = NodeId(flight.from);
            let message = &*flight.message;
            self.input(flight.to, Input::Message { from, message });
        }
    }

    fn restart(&mut self, node: u16, lost: bool) {
        let engine = self.fresh(node);
        let actor = &mut self.actors[usize::from(node)];
        actor.up = true;
        actor.engine = engine;
        if lost {
            actor.log.clear();
            actor.host.reset(&self.genesis);
        }
        actor.host.forget_waiting();
        let (log, block) = (actor.log.clone(), Arc::clone(actor.host.head()));
        let tip = Tip {
            block: &block,
            proof: None,
            results: actor.host.results,
            recent: &[],
            handed_over: None,
        };
        let disk = if lost {
            Recovery::Lost
        } else {
            Recovery::Clean
        };
        self.input(
            node,
            Input::Recovered {
                disk,
                records: &log,
                tip,
            },
        );
    }

    fn sync(&mut self, node: u16, from: u16) {
        let have = self.actors[usize::from(node)].host.chain.len();
        let missing = self.actors[usize::from(from)].host.chain[have..].to_vec();
        for block in missing {
            let results = self.actors[usize::from(node)].host.execute(&block);
            let proof = Arc::new(consortium_node::block::Finality::Trusted);
            self.input(
                node,
                Input::Synced {
                    block,
                    proof,
                    results,
                },
            );
        }
    }

    fn tell(&mut self, node: u16, members: &[u16]) {
        let key = |id: &u16| (NodeId(*id), self.keys[usize::from(*id)].public());
        let committee = Committee::new(CHAIN, members.iter().map(key).collect());
        let from = consortium_node::types::Height(0);
        self.input(node, Input::Committee { from, committee });
    }

    fn now(&self, node: u16) -> LocalTime {
        let clock = self.actors[usize::from(node)].clock;
        LocalTime {
            mono: Mono(clock),
            wall: Wall(EPOCH + clock),
        }
    }

    fn input(&mut self, node: u16, input: Input<'_, Raft>) {
        self.step(node, input);
        self.settle(node);
    }

    fn step(&mut self, node: u16, input: Input<'_, Raft>) {
        let mut answers = VecDeque::new();
        let mut next = Some(input);
        while let Some(input) = next.filter(|_| self.actors[usize::from(node)].up) {
            let mut out = Outbox::default();
            let now = self.now(node);
            let actor = &mut self.actors[usize::from(node)];
            actor.engine.step(now, input, &mut out);
            for refusal in out.refusals {
                self.lines.push(format!("n{node} refuses: {refusal:?}"));
            }
            for effect in out.effects {
                if let Some((_, left)) = self.dies.as_mut().filter(|(who, _)| *who == node) {
                    if *left == 0 {
                        self.actors[usize::from(node)].up = false;
                        self.dies = None;
                        return;
                    }
                    *left -= 1;
                }
                answers.extend(self.carry_out(node, effect));
            }
            next = answers.pop_front();
        }
    }

    fn carry_out(&mut self, node: u16, effect: Effect<Raft>) -> Option<Input<'static, Raft>> {
        let actor = &mut self.actors[usize::from(node)];
        match effect {
            Effect::Send { to, message } => {
                let said = self.describe(&message);
                self.lines.push(format!("n{node} → {to} {said}"));
                self.flights.push(Flight {
                    from: node,
                    to: to.0,
                    message,
                });
            }
            Effect::Persist(record) => actor.log.push(record),
            Effect::Truncate(records) => {
                actor.log = records;
                self.lines.push(format!("n{node} drops entries"));
            }
            Effect::Behind => self.lines.push(format!("n{node} is behind")),
            Effect::Want(want) => actor.host.want = Some(want),
            Effect::Unwant => actor.host.want = None,
            Effect::Final { block, .. } => {
                let (results, block) = (actor.host.execute(&block), block.id());
                return Some(Input::Executed { block, results });
            }
            Effect::Tell(tale) => {
                if matches!(tale, Tale::Muted | Tale::Unmuted(_)) {
                    self.lines.push(format!("n{node} {tale:?}"));
                }
                self.actors[usize::from(node)].tales.push(tale);
            }
            Effect::Arm { .. } | Effect::Disarm(_) => {}
            Effect::Broadcast(_) | Effect::Validate(_) | Effect::Head(_) => {
                panic!("Raft has no use for it")
            }
        }
        None
    }

    fn settle(&mut self, node: u16) {
        loop {
            let wall = self.now(node).wall;
            let actor = &mut self.actors[usize::from(node)];
            if !actor.up {
                return;
            }
            let (changed, oldest) = actor.host.news();
            let input = if changed {
                Input::Pending(oldest)
            } else if let Some((ticket, block)) = actor.host.payload(wall) {
                Input::Payload { ticket, block }
            } else {
                return;
            };
            self.step(node, input);
        }
    }

    /// The states that changed.
    fn changes(&mut self) {
        for node in 0..self.actors.len() as u16 {
            let state = self.state(node);
            let actor = &mut self.actors[usize::from(node)];
            if state != actor.shown {
                actor.shown.clone_from(&state);
                self.lines.push(state);
            }
        }
    }

    fn state(&mut self, node: u16) -> String {
        let actor = &self.actors[usize::from(node)];
        if !actor.up {
            return format!("= n{node} is down");
        }
        let (engine, status) = (&actor.engine, actor.engine.status());
        let role = match (engine.answers(), status.active) {
            (true, _) => "leads".to_owned(),
            (false, true) => format!("follows {}", status.leader),
            (false, false) => "waits".to_owned(),
        };
        let mut first = engine.last().index;
        while first > Seq(0) && engine.term_at(first.prev()).is_some() {
            first = first.prev();
        }
        let mut terms = String::new();
        for index in first.0..=engine.last().index.0 {
            let term = engine.term_at(Seq(index)).expect("in the log");
            write!(terms, " {index}@{term}").expect("strings take all");
        }
        let members = members(engine.configuration());
        let (term, commit) = (status.view, engine.committed());
        let chain = self.chain(node);
        format!("= n{node} t{term} {role}, log{terms}, commit {commit}, chain [{chain}], {members}")
    }

    fn describe(&mut self, message: &RaftMessage) -> String {
        let name = message.kind().name;
        match message {
            RaftMessage::RequestVote { term, last, .. } => {
                format!("{name} t{term} last {}@{}", last.index, last.term)
            }
            RaftMessage::Vote { term, granted, .. } => {
                format!("{name} t{term} {}", if *granted { "yes" } else { "no" })
            }
            RaftMessage::Append {
                term,
                prev,
                entries,
                commit,
            } => {
                let entries: Vec<_> = entries.iter().map(|entry| self.entry(entry)).collect();
                let entries = entries.join(" ");
                format!(
                    "{name} t{term} after {}@{} [{entries}] commit {commit}",
                    prev.index, prev.term
                )
            }
            RaftMessage::Appended {
                term,
                index,
                hint,
                mute,
            } => {
                let mute = if *mute { " (mute)" } else { "" };
                match hint {
                    Some(at) => format!(
                        "{name} t{term} not {index}, try {}@{}{mute}",
                        at.index, at.term
                    ),
                    None => format!("{name} t{term} up to {index}{mute}"),
                }
            }
            RaftMessage::Heartbeat {
                term,
                commit,
                round,
                rest,
            } => {
                let rest = if *rest { ", rest" } else { "" };
                format!("{name} t{term} commit {commit} round {round}{rest}")
            }
            RaftMessage::Heard { term, round } => format!("{name} t{term} round {round}"),
            RaftMessage::Snapshot { term, base } => {
                let (at, height) = (base.at, base.height);
                format!("{name} t{term} of {}@{} height {height}", at.index, at.term)
            }
            RaftMessage::Rejoin { term, .. } => format!("{name} t{term}"),
            RaftMessage::Welcome { term, index, .. } => format!("{name} t{term} at {index}"),
            RaftMessage::Read { id } => format!("{name} {id}"),
            RaftMessage::ReadIndex { id, index } => match index {
                Some(index) => format!("{name} {id} at {index}"),
                None => format!("{name} {id} refused"),
            },
        }
    }

    fn entry(&mut self, entry: &Entry) -> String {
        match &entry.body {
            Body::Nothing => "-".to_owned(),
            Body::Configuration(configuration) => members(configuration),
            Body::Block(block) => {
                let known = self.names.iter().position(|id| *id == block.id());
                let number = known.unwrap_or_else(|| {
                    self.names.push(block.id());
                    self.names.len() - 1
                });
                letter(number).to_string()
            }
        }
    }

    /// Who holds two votes of one term, or told of two leaders of one.
    pub(crate) fn election_faults(&self) -> BTreeSet<View> {
        let mut leaders = BTreeMap::new();
        let mut faults = BTreeSet::new();
        for actor in &self.actors {
            let mut votes = BTreeMap::new();
            for tale in &actor.tales {
                match tale {
                    Tale::Entered { view, leader }
                        if *leaders.entry(*view).or_insert(*leader) != *leader =>
                    {
                        faults.insert(*view);
                    }
                    Tale::Voted(vote)
                        if *votes.entry(vote.view).or_insert(vote.digest) != vote.digest =>
                    {
                        faults.insert(vote.view);
                    }
                    _ => {}
                }
            }
        }
        faults
    }
}

fn letter(number: usize) -> char {
    char::from(b'a' + (number % 26) as u8)
}

fn members(configuration: &Configuration) -> String {
    let list = |nodes: &[NodeId]| {
        let nodes: Vec<_> = nodes.iter().map(|node| node.0.to_string()).collect();
        nodes.join(" ")
    };
    let mut text = list(&configuration.voters);
    if !configuration.outgoing.is_empty() {
        write!(text, " & {}", list(&configuration.outgoing)).expect("strings take all");
    }
    if !configuration.learners.is_empty() {
        write!(text, " + {}", list(&configuration.learners)).expect("strings take all");
    }
    format!("{{{text}}}")
}

fn node(word: &str) -> u16 {
    let number = word
        .strip_prefix('n')
        .and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{word} is no member"))
}

fn nodes(words: &[&str]) -> Vec<u16> {
    words.iter().map(|word| node(word)).collect()
}

/// Which messages are meant.
#[derive(Default)]
struct Filter {
    from: Vec<u16>,
    to: Vec<u16>,
    kinds: Vec<String>,
}

impl Filter {
    fn read(words: &[&str]) -> Self {
        let mut filter = Self::default();
        let mut from = false;
        for word in words {
            match *word {
                "from" => from = true,
                "to" => from = false,
                word if word.starts_with('n') && from => filter.from.push(node(word)),
                word if word.starts_with('n') => filter.to.push(node(word)),
                kind => filter.kinds.push(kind.to_owned()),
            }
        }
        filter
    }

    fn takes(&self, flight: &Flight) -> bool {
        let any = |list: &[u16], node: u16| list.is_empty() || list.contains(&node);
        let kind = flight.message.kind().name;
        let kinds = self.kinds.is_empty() || self.kinds.iter().any(|name| name == kind);
        any(&self.from, flight.from) && any(&self.to, flight.to) && kinds
    }
}
