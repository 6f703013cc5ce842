//! What one cell of a survey plays: a scenario for a place and a number of validators, and what each
//! protocol lays over it.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use super::Place;
use crate::{
    compare::Contender,
    protocols,
    scenario::{self, Problems, Source},
};

/// Everything random follows from it; the same in all runs.
pub const SEED: u64 = 7;
/// Readings that come due a second, whatever becomes of those before.
pub const RATE: u64 = 5;
/// The load begins so long after the start of a run, when most contracts are final.
pub const LOAD_FROM: Duration = Duration::from_secs(5);
/// Measuring begins so long after the start of a run, and later where answers come by the clock.
pub const WARM_UP: Duration = Duration::from_secs(10);
/// For so long it goes on.
pub const MEASURED: Duration = Duration::from_mins(1);
/// In the second runs, the leader crashes so long after measuring began.
pub const CRASH_AFTER: Duration = Duration::from_secs(20);
/// Up to this many validators, there is a second run.
pub const CRASH_UP_TO: usize = 7;
/// A batch waits so long for more.
pub const BATCH_AGE: Duration = Duration::from_millis(50);
/// Sensors that share the load; every gateway needs one at least.
pub const SOURCES: usize = 64;

/// A protocol, or a variant of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Variant {
    /// What it is called in tables.
    pub(super) label: &'static str,
    protocol: &'static str,
    setting: Option<&'static str>,
}

/// Protocols that are shown once for each of these settings.
const VARIANTS: [(&str, &[(&str, &str)]); 1] = [(
    "hotstuff",
    &[
        (
            "hotstuff three-chain",
            "consensus.hotstuff.variant=three-chain",
        ),
        ("jolteon", "consensus.hotstuff.variant=jolteon"),
        ("hotstuff-2", "consensus.hotstuff.variant=hotstuff-2"),
    ],
)];

/// All protocols that are registered, each with its variants.
pub(super) fn variants() -> Vec<Variant> {
    let of = |protocol: &'static str| {
        let own = VARIANTS.iter().find(|(name, _)| *name == protocol);
        let plain = Variant {
            label: protocol,
            protocol,
            setting: None,
        };
        own.map_or(vec![plain], |(_, settings)| {
            let settings = settings.iter();
            settings
                .map(|(label, setting)| Variant {
                    label,
                    protocol,
                    setting: Some(setting),
                })
                .collect()
        })
    };
    protocols::names().flat_map(of).collect()
}

/// The scenario of a place with so many validators, a member each.
pub fn scenario(place: Place, validators: usize) -> Source {
    let mut text = format!(
        "# {} validators {}: {RATE} readings a second\n\n\
         seed = {SEED}\nwarm_up = \"{}s\"\nduration = \"{}s\"\ndrain = \"10m\"\n\n\
         [consensus.batch]\nmax_age = \"{}ms\"\n\n\
         [load]\nkind = \"poisson\"\nrate = \"{RATE}/s\"\nstart = \"{}s\"\nsources = {}\n\n\
         [fleet]\npackages = 1\n\n\
         [cold_chain]\nowner = \"Member 1\"\nobserver = \"Member 1\"\n\
         min_temperature_c = 2\nmax_temperature_c = 10\n\n\
         [[leg]]\nstage = \"Road\"\ncustodian = \"Member 1\"\nduration = \"1h\"\nambient_c = 5\n",
        validators,
        place.within(),
        WARM_UP.as_secs(),
        (WARM_UP + MEASURED).as_secs(),
        BATCH_AGE.as_millis(),
        LOAD_FROM.as_secs(),
        SOURCES.max(validators),
    );
    for (member, region) in (1..=validators).zip(place.regions().iter().cycle()) {
        write!(
            text,
            "\n[[member]]\nname = \"Member {member}\"\nregion = \"{region}\"\n"
        )
        .expect("memory takes it");
    }
    Source::new(file_name(place, validators), text)
}

/// What the file of a scenario is called.
pub fn file_name(place: Place, validators: usize) -> String {
    format!("consensus-{}-{validators}.toml", place.name())
}

/// A variant as it plays a scenario, with or without a crash of the leader for good.
///
/// # Errors
/// Everything that is wrong with the scenario for this protocol.
pub(super) fn contender(
    source: &Source,
    variant: Variant,
    crashes: bool,
) -> Result<Contender, Problems> {
    let mut overrides = vec![format!("consensus.protocol={}", variant.protocol)];
    overrides.extend(variant.setting.map(str::to_owned));
    // Where answers take long by the clock, the first of them are waited for.
    let first = scenario::load(source, &overrides)?.plan;
    let warm_up = WARM_UP + first.consensus.protocol.patience();
    if warm_up > WARM_UP {
        let end = warm_up + MEASURED;
        overrides.push(format!("warm_up={}ms", warm_up.as_millis()));
        overrides.push(format!("duration={}ms", end.as_millis()));
    }
    if crashes {
        let at = (warm_up + CRASH_AFTER).as_millis();
        overrides.push(format!(
            "fault=[{{kind=\"crash\",target=\"primary\",at=\"{at}ms\"}}]"
        ));
    }
    let loaded = scenario::load(source, &overrides)?;
    Ok(Contender {
        tuned: Vec::new(),
        plans: vec![Arc::new(loaded.plan)],
        warnings: loaded.warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_there_and_hotstuff_in_three_variants() {
        let all = variants();
        for name in protocols::names() {
            assert!(all.iter().any(|variant| variant.protocol == name), "{name}");
        }
        let chained = all.iter().filter(|one| one.protocol == "hotstuff");
        assert_eq!(chained.count(), 3);
        for (name, _) in VARIANTS {
            assert!(protocols::names().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn every_place_takes_64_validators_and_every_variant_understands_its_scenario() {
        for place in Place::ALL {
            let source = scenario(place, 64);
            for variant in variants() {
                let contender = contender(&source, variant, true).expect(variant.label);
                let plan = &contender.plans[0];
                assert_eq!(plan.validators(), 64);
                assert_eq!(plan.duration, plan.warm_up + MEASURED, "{}", variant.label);
                assert_eq!(plan.faults.len(), 1);
            }
        }
    }

    #[test]
    fn who_answers_by_the_clock_is_given_longer_to_settle() {
        let source = scenario(Place::Region, 4);
        let warm_up = |label: &str| {
            let mut all = variants().into_iter();
            let variant = all.find(|variant| variant.label == label).expect("known");
            contender(&source, variant, false).expect("it loads").plans[0].warm_up
        };
        assert_eq!(warm_up("pbft"), WARM_UP);
        assert!(warm_up("clique") > WARM_UP);
    }
}
