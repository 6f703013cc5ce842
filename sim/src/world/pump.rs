//! The pump: steps the world on madsim and moves madsim's clock along. The only file that names madsim.
//!
//! madsim gives the runtime with its trapped clocks and entropy, and the life cycle of the nodes: each
//! validator is a madsim node whose `init` boots it and whose death is reported by a `Simulator` plugin.
//! Everything else is an entry of the world's own queue, because madsim picks ready tasks at random and
//! moves its clock at every poll: with a task a node, logical times would get out of order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use consortium_node::types::NodeId;
use madsim::{
    Config,
    plugin::{self, Simulator},
    rand::GlobalRng,
    runtime::{Handle, Runtime},
    task,
    time::{TimeHandle, sleep},
};

use super::{Command, World};
use crate::{cast::Cast, ending::Ending, fact::Reader, scenario::plan::Plan, time::Time};

/// A run that did not reach its end: a bug of ours.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the run of seed {seed} broke down: {why}")]
pub struct Breakdown {
    /// Reproduces it.
    pub seed: u64,
    /// What was said last.
    pub why: String,
}

/// Plays a plan from the first event to the last, on a thread of its own.
///
/// `readers` gets every fact and comes back with the ending; `reached` follows virtual time, ns.
pub fn run<R: Reader + Send + 'static>(
    plan: &Arc<Plan>,
    cast: &Arc<Cast>,
    readers: R,
    reached: Arc<AtomicU64>,
) -> Result<(Ending, R), Breakdown> {
    run_with(plan, cast, readers, reached, |plan, cast, readers| {
        World::new(plan, cast, readers)
    })
}

/// Plays a plan in a world that the caller builds.
pub fn run_with<R, B>(
    plan: &Arc<Plan>,
    cast: &Arc<Cast>,
    mut readers: R,
    reached: Arc<AtomicU64>,
    build: B,
) -> Result<(Ending, R), Breakdown>
where
    R: Reader + Send + 'static,
    B: for<'r> FnOnce(&Arc<Plan>, &Arc<Cast>, &'r mut dyn Reader) -> World<'r>,
    B: Send + 'static,
{
    let seed = plan.seed;
    let (plan, cast) = (Arc::clone(plan), Arc::clone(cast));
    #[expect(
        clippy::disallowed_methods,
        reason = "madsim wants a fresh thread for each runtime"
    )]
    let thread = std::thread::spawn(move || {
        let runtime = Runtime::with_seed_and_config(seed, Config::default());
        runtime.add_simulator::<LifeCycle>();
        let ending = runtime.block_on(async {
            let world = build(&plan, &cast, &mut readers);
            pump(world, &cast, &reached).await
        });
        (ending, readers)
    });
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let why = text
            .or(panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Breakdown {
            seed,
            why: why.to_owned(),
        }
    })
}

async fn pump(mut world: World<'_>, cast: &Cast, reached: &AtomicU64) -> Ending {
    let life_cycle = plugin::simulator::<LifeCycle>();
    let time = TimeHandle::current();
    let processes = start_processes(cast, &life_cycle).await;
    for node in life_cycle.take_booted() {
        world.boot(node);
    }
    world.set_the_stage();
    let mut now = Time::ZERO;
    while let Some(next) = world.next_time() {
        if next > now {
            time.advance(next.since(now));
            now = next;
            reached.store(now.0, Ordering::Relaxed);
        }
        world.step();
        while let Some(command) = world.take_command() {
            match command {
                Command::Kill(node) => {
                    Handle::current().kill(processes[&node]);
                    for stopped in life_cycle.take_stopped() {
                        world.stopped(stopped);
                    }
                }
                Command::Restart(node) => {
                    Handle::current().restart(processes[&node]);
                    world.boot(life_cycle.next_booted().await);
                }
            }
        }
    }
    let ending = world.end();
    for process in processes.into_values() {
        Handle::current().kill(process);
    }
    ending
}

/// One madsim node for each validator. Returns when all of them have booted.
async fn start_processes(
    cast: &Cast,
    life_cycle: &Arc<LifeCycle>,
) -> BTreeMap<NodeId, task::NodeId> {
    let handle = Handle::current();
    let mut processes = BTreeMap::new();
    for node in cast.validators() {
        let booting = Arc::clone(life_cycle);
        let process = handle
            .create_node()
            .name(format!("{} {node}", cast.name_of(node)))
            .init(move || {
                let booting = Arc::clone(&booting);
                async move { booting.booted(node) }
            })
            .build();
        life_cycle.know(process.id(), node);
        processes.insert(node, process.id());
    }
    // One turn of the executor, so that every `init` has run before the world's time begins.
    sleep(Duration::from_millis(1)).await;
    processes
}

/// Hears from madsim which processes come up and go down.
struct LifeCycle(Mutex<Lives>);

#[derive(Default)]
struct Lives {
    nodes: BTreeMap<task::NodeId, NodeId>,
    /// Kept in the order of the nodes' numbers: madsim starts tasks in a random order.
    booted: std::collections::BTreeSet<NodeId>,
    stopped: Vec<NodeId>,
}

impl LifeCycle {
    fn lives(&self) -> std::sync::MutexGuard<'_, Lives> {
        self.0.lock().expect("nobody panics with it")
    }

    fn know(&self, process: task::NodeId, node: NodeId) {
        self.lives().nodes.insert(process, node);
    }

    fn booted(&self, node: NodeId) {
        self.lives().booted.insert(node);
    }

    fn take_booted(&self) -> impl Iterator<Item = NodeId> + use<> {
        std::mem::take(&mut self.lives().booted).into_iter()
    }

    /// The next process that comes up. Its `init` is a task like any other: this one waits for it.
    async fn next_booted(&self) -> NodeId {
        loop {
            if let Some(node) = self.lives().booted.pop_first() {
                return node;
            }
            task::yield_now().await;
        }
    }

    fn take_stopped(&self) -> Vec<NodeId> {
        std::mem::take(&mut self.lives().stopped)
    }
}

impl Simulator for LifeCycle {
    fn new(_: &GlobalRng, _: &TimeHandle, _: &Config) -> Self {
        Self(Mutex::default())
    }

    fn reset_node(&self, process: task::NodeId) {
        let mut lives = self.lives();
        if let Some(node) = lives.nodes.get(&process).copied() {
            lives.stopped.push(node);
        }
    }
}
