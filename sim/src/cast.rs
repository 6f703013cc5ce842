//! Who plays: the plan's members, parties, packages and machines with their numbers and keys.
//!
//! Validators have the lowest node numbers, in the members' order; then one gateway a member. Parties
//! keep the plan's order; devices follow, one a package, the golden package's first; then the sources of
//! the load, if there is one.

use std::{collections::BTreeSet, sync::Arc};

use consortium_node::{
    crypto::{Keypair, SignatureMode},
    execute_order_validate::{Channel, ONE_WORD, Policy},
    membership::{Committee, NodeRecord, NodeRole, Party, Permission, Registry},
    pbft,
    types::{ChainId, MemberId, NodeId, PartyId},
};

use crate::{
    protocols::{Endorsers, Ordering},
    rng::Seed,
    scenario::plan::{CheatKind, MemberIndex, PartyIndex, Plan},
};

/// Everyone with their keys.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The known identities.
    pub registry: Arc<Registry>,
    /// The validators that decide from the beginning.
    pub committee: Arc<Committee>,
    /// Who orders, endorses and keeps the ledger, where these are not the same.
    pub channel: Option<Arc<Channel>>,
    /// Keys of all nodes, by [`NodeId`].
    pub node_keys: Vec<Arc<Keypair>>,
    /// Keys of all parties, by [`PartyId`].
    pub party_keys: Vec<Arc<Keypair>>,
    /// Whether a validator follows the protocol throughout, by [`NodeId`] of validators.
    pub honest: Vec<bool>,
    validators: usize,
    parties: usize,
}

impl Cast {
    /// Gives everyone a number and a key.
    pub fn new(plan: &Plan) -> Self {
        let chain = ChainId(Seed(plan.seed).number("chain", 0));
        let mode = if plan.host.eager_signatures {
            SignatureMode::Eager
        } else {
            SignatureMode::Lazy
        };
        let keys = |name: &str, count: usize| -> Vec<Arc<Keypair>> {
            (0..count as u64)
                .map(|i| Keypair::from_seed(Seed(plan.seed).bytes(name, i), chain, mode))
                .collect()
        };
        let validators = plan.validators();
        let node_keys = keys("node key", validators + plan.members.len());
        let devices = plan.fleet.packages + usize::from(plan.fleet.golden.is_some());
        let sources = plan.load.as_ref().map_or(0, |load| load.sources);
        let party_keys = keys("party key", plan.parties.len() + devices + sources);
        let nodes = node_records(plan, &node_keys);
        let committee = nodes[..validators]
            .iter()
            .filter(|node| plan.is_founder(node.member.index()))
            .map(|node| (node.id, node.key))
            .collect();
        let liars = liars(plan);
        let registry = Arc::new(Registry {
            chain,
            members: plan
                .members
                .iter()
                .map(|member| member.name.clone())
                .collect(),
            parties: party_records(plan, &party_keys),
            nodes,
        });
        let nodes = &registry.nodes;
        Self {
            committee: Committee::new(chain, committee),
            channel: channel(plan, &registry),
            honest: nodes[..validators]
                .iter()
                .map(|n| !liars.contains(&n.member.index()))
                .collect(),
            registry,
            node_keys,
            party_keys,
            validators,
            parties: plan.parties.len(),
        }
    }

    /// Who decides on blocks from the beginning: the orderers, or else the founders' validators.
    pub fn deciders(&self) -> &Arc<Committee> {
        self.channel
            .as_ref()
            .map_or(&self.committee, |channel| &channel.orderers)
    }

    /// All validators, in the order of their numbers: those that decide, and those that joined later or
    /// left.
    pub fn validators(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.validators as u16).map(NodeId)
    }

    /// Number of nodes of all kinds.
    pub fn nodes(&self) -> usize {
        self.node_keys.len()
    }

    /// Whether it is a validator.
    pub fn is_validator(&self, node: NodeId) -> bool {
        node.index() < self.validators
    }

    /// A member's gateway.
    pub fn gateway(&self, member: MemberIndex) -> NodeId {
        NodeId((self.validators + member) as u16)
    }

    /// A member's first validator, if it runs one.
    pub fn validator_of(&self, member: MemberIndex) -> Option<NodeId> {
        self.validators()
            .find(|node| self.member_of(*node) == member)
    }

    /// Who runs a node.
    pub fn member_of(&self, node: NodeId) -> MemberIndex {
        self.registry.nodes[node.index()].member.index()
    }

    /// Name of the member that runs a node.
    pub fn name_of(&self, node: NodeId) -> &str {
        &self.registry.members[self.member_of(node)]
    }

    /// A party of the plan as the chain knows it.
    pub fn party(&self, party: PartyIndex) -> PartyId {
        PartyId(party as u32)
    }

    /// The device on a package; those of the load come after the fleet's.
    pub fn device(&self, package: usize) -> PartyId {
        PartyId((self.parties + package) as u32)
    }

    /// A party's name.
    pub fn party_name(&self, party: PartyId) -> &str {
        &self.registry.parties[party.index()].name
    }

    /// Whether a validator follows the protocol throughout.
    pub fn is_honest(&self, node: NodeId) -> bool {
        self.honest.get(node.index()).copied().unwrap_or(true)
    }
}

/// Members whose validators deviate from the protocol at some time. Rewriting one's own copy, or
/// submitting bad readings, is a fraud that leaves the protocol alone.
fn liars(plan: &Plan) -> BTreeSet<MemberIndex> {
    let cheaters = plan.cheats.iter().flat_map(|cheat| match &cheat.kind {
        CheatKind::SilentPrimary(member)
        | CheatKind::EquivocatingPrimary(member)
        | CheatKind::Twins(member) => {
            vec![*member]
        }
        CheatKind::Colluders(members) => members.clone(),
        CheatKind::ForgedReading(_)
        | CheatKind::ReplayedReading(_)
        | CheatKind::RewritesCopy { .. } => Vec::new(),
    });
    cheaters.chain(plan.rewriters()).collect()
}

/// The roles of execute-order-validate.
fn channel(plan: &Plan, registry: &Arc<Registry>) -> Option<Arc<Channel>> {
    let roles = plan.consensus.protocol.roles()?;
    let among = |wanted: NodeRole| {
        let nodes = registry.nodes.iter();
        let nodes = nodes.filter(move |node| node.roles.contains(&wanted));
        nodes.map(|node| (node.id, node.key))
    };
    let committee = |role| Committee::new(registry.chain, among(role).collect());
    Some(Arc::new(Channel {
        registry: Arc::clone(registry),
        orderers: committee(NodeRole::Orderer),
        policy: Policy::new(committee(NodeRole::Endorser), roles.policy),
        peers: among(NodeRole::Peer).map(|(id, _)| id).collect(),
        ordered: match roles.ordering {
            Ordering::Single(_) => ONE_WORD,
            Ordering::Pbft(_) => pbft::FINALITY,
        },
    }))
}

/// What the validator of this number does, the first (or not) of this member.
fn roles(plan: &Plan, number: usize, member: MemberIndex, first: bool) -> BTreeSet<NodeRole> {
    let Some(eov) = plan.consensus.protocol.roles() else {
        return BTreeSet::from([NodeRole::Validator]);
    };
    let orders = match &eov.ordering {
        Ordering::Single(None) => number == 0,
        Ordering::Single(Some(orderer)) => first && member == *orderer,
        Ordering::Pbft(_) => true,
    };
    let signs = match &eov.endorsers {
        Endorsers::First(count) => number < *count,
        Endorsers::Members(members) => first && members.contains(&member),
    };
    let orderer = orders.then_some(NodeRole::Orderer);
    let endorser = signs.then_some(NodeRole::Endorser);
    let roles = [Some(NodeRole::Peer), orderer, endorser];
    roles.into_iter().flatten().collect()
}

fn node_records(plan: &Plan, keys: &[Arc<Keypair>]) -> Vec<NodeRecord> {
    let members = plan.members.iter().enumerate();
    let validators = members
        .flat_map(|(m, member)| (0..member.validators).map(move |place| (m, place == 0)))
        .enumerate()
        .map(|(number, (m, first))| (m, roles(plan, number, m, first)));
    let gateways = (0..plan.members.len()).map(|m| (m, BTreeSet::from([NodeRole::Gateway])));
    validators
        .chain(gateways)
        .zip(keys)
        .enumerate()
        .map(|(id, ((member, roles), key))| NodeRecord {
            id: NodeId(id as u16),
            member: MemberId(member as u16),
            roles,
            key: key.public(),
        })
        .collect()
}

fn party_records(plan: &Plan, keys: &[Arc<Keypair>]) -> Vec<Party> {
    let roles = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let people = plan.parties.iter().enumerate().map(|(p, party)| {
        let roles = match p {
            p if p == plan.cold_chain.owner => {
                roles(&["Owner", "InitiatingCounterparty", "Counterparty"])
            }
            p if p == plan.cold_chain.observer => roles(&["Observer"]),
            _ => roles(&["Counterparty"]),
        };
        let member = (p < plan.members.len()).then_some(MemberId(p as u16));
        (party.name.clone(), member, party.may_write, roles)
    });
    let golden = plan.fleet.golden.iter().cloned();
    let others = (1..=plan.fleet.packages).map(|number| format!("PKG-{number}"));
    let devices = golden.chain(others).map(|package| {
        (
            format!("sensor of {package}"),
            None,
            true,
            roles(&["Device"]),
        )
    });
    // A source of load owns what it reports about: it registers the terms itself.
    let sources = (1..=plan.load.as_ref().map_or(0, |load| load.sources)).map(|number| {
        let name = format!("load sensor {number}");
        (name, None, true, roles(&["Device", "Owner"]))
    });
    people
        .chain(devices)
        .chain(sources)
        .zip(keys)
        .enumerate()
        .map(|(id, ((name, member, may_write, roles), key))| Party {
            id: PartyId(id as u32),
            name,
            member,
            key: key.public(),
            permission: if may_write {
                Permission::Write
            } else {
                Permission::Read
            },
            roles,
        })
        .collect()
}
