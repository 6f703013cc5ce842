//! All protocols at several sizes, near and far: the data of `results/consensus.md`.
//!
//! For each [`Place`] and number of validators every protocol plays the same light load without faults;
//! with few validators it plays it again, and its leader crashes for good. One seed, so that the page can be
//! made again to the byte.

pub mod findings;
mod place;
pub mod setting;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use self::setting::Variant;
pub use self::{findings::Finding, place::Place};
use crate::{
    compare::{
        self, Broken, Contender, Row,
        run::{Outcome, play_all},
    },
    exit::ExitCode,
    scenario::{
        Problems, Source,
        plan::{Plan, Standing},
    },
};

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Numbers of validators, ascending.
    sizes: Vec<usize>,
    /// By distance.
    places: Vec<Place>,
}

impl Request {
    /// Each size and each place once, in order.
    pub fn new(sizes: &[usize], places: &[Place]) -> Self {
        let (mut sizes, mut places) = (sizes.to_vec(), places.to_vec());
        sizes.sort_unstable();
        sizes.dedup();
        places.sort_unstable();
        places.dedup();
        Self { sizes, places }
    }

    /// Numbers of validators, ascending.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Places, by distance.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The scenarios that are played: place by place, and by size.
    pub fn scenarios(&self) -> Vec<Source> {
        let places = self.places.iter();
        let all = places.flat_map(|place| self.sizes.iter().map(|n| setting::scenario(*place, *n)));
        all.collect()
    }
}

/// Every protocol at one place with so many validators.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// Where they stand.
    pub place: Place,
    /// How many there are.
    pub validators: usize,
    /// One a protocol or variant; it is named by [`Row::protocol`].
    pub rows: Vec<Row>,
}

impl Group {
    /// The row of this name.
    pub fn row(&self, label: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.protocol == label)
    }
}

/// Everything that a survey found.
#[derive(Clone, PartialEq, Debug)]
pub struct Survey {
    /// What was asked for.
    pub request: Request,
    /// Without faults.
    pub quiet: Vec<Group>,
    /// With a leader that crashes for good.
    pub crashed: Vec<Group>,
    /// What follows.
    pub findings: Vec<Finding>,
}

impl Survey {
    /// What the process says: whoever breaks a claim without faults, or parts histories at all, fails. A
    /// protocol that stands still after a crash is a result.
    pub fn exit(&self) -> ExitCode {
        let quiet = self
            .quiet
            .iter()
            .map(|group| compare::exit(&group.rows, &[]));
        let crashed = self.crashed.iter().flat_map(|group| &group.rows);
        let parted = crashed.filter(|row| row.standing == Standing::Forked);
        let parted = parted.filter(|row| row.breaches().next().is_some());
        ExitCode::worst(quiet.chain(parted.map(|_| ExitCode::Safety)))
    }
}

/// A group before it is played.
#[derive(Clone, Debug)]
struct Job {
    place: Place,
    validators: usize,
    crashes: bool,
    contenders: Vec<(Variant, Contender)>,
}

/// A survey that is ready to be played.
#[derive(Clone, Debug)]
pub struct Field {
    request: Request,
    jobs: Vec<Job>,
}

impl Field {
    /// Understands the scenarios for everyone.
    ///
    /// # Errors
    /// Everything that is wrong with a scenario for a protocol, such as too few validators.
    pub fn load(request: &Request) -> Result<Self, Problems> {
        let mut jobs = Vec::new();
        for crashes in [false, true] {
            for &place in &request.places {
                let sizes = request.sizes.iter();
                for &validators in sizes.filter(|n| !crashes || **n <= setting::CRASH_UP_TO) {
                    jobs.push(Job::load(place, validators, crashes)?);
                }
            }
        }
        Ok(Self {
            request: request.clone(),
            jobs,
        })
    }

    /// Virtual time of all runs together, drains not counted.
    pub fn length(&self) -> Duration {
        self.plans().iter().map(|plan| plan.duration).sum()
    }

    fn plans(&self) -> Vec<Arc<Plan>> {
        let contenders = self.jobs.iter().flat_map(|job| &job.contenders);
        let plans = contenders.flat_map(|(_, contender)| &contender.plans);
        plans.cloned().collect()
    }

    /// Plays everything. `done` grows by the virtual time of each run, ns.
    ///
    /// # Errors
    /// A run that broke down, which is a bug of ours.
    pub fn play(&self, done: &AtomicU64) -> Result<Survey, Broken> {
        let outcomes = play_all(&self.plans(), 1, done)?;
        let mut rest = outcomes.as_slice();
        let (mut quiet, mut crashed) = (Vec::new(), Vec::new());
        for job in &self.jobs {
            let (own, others) = rest.split_at(job.contenders.len());
            rest = others;
            let groups = if job.crashes {
                &mut crashed
            } else {
                &mut quiet
            };
            groups.push(job.group(own));
        }
        Ok(Survey {
            request: self.request.clone(),
            findings: findings::find(&quiet, &crashed),
            quiet,
            crashed,
        })
    }
}

impl Job {
    fn load(place: Place, validators: usize, crashes: bool) -> Result<Self, Problems> {
        let source = setting::scenario(place, validators);
        let variants = setting::variants().into_iter();
        let contenders = variants.map(|variant| {
            let contender = setting::contender(&source, variant, crashes)?;
            Ok((variant, contender))
        });
        Ok(Self {
            place,
            validators,
            crashes,
            contenders: contenders.collect::<Result<_, Problems>>()?,
        })
    }

    /// `outcomes` are one a contender.
    fn group(&self, outcomes: &[Outcome]) -> Group {
        let pairs = self.contenders.iter().zip(outcomes);
        let row = |((variant, contender), outcome): (&(Variant, Contender), &Outcome)| {
            let mut row = Row::of(contender, std::slice::from_ref(outcome));
            variant.label.clone_into(&mut row.protocol);
            row
        };
        Group {
            place: self.place,
            validators: self.validators,
            rows: pairs.map(row).collect(),
        }
    }
}
