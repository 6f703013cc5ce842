//! The weather of a seed, as a scenario.

use std::fmt::Write as _;

use consortium_sim::rng::{Seed, draw};

use super::{SIZES, STORM_MS, Subject};

/// Draws of one seed, one after another.
pub(super) struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        draw(self.seed, self.drawn, 0) % bound
    }

    pub(super) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Tables of a scenario, written one after another.
struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("memory");
    }
}

/// The scenario of a seed.
pub(super) fn weather(subject: &Subject, seed: u64) -> String {
    let mut draws = Draws {
        seed: Seed(seed).number("two-phase", 0),
        drawn: 0,
    };
    let n = SIZES[(seed % 5) as usize];
    let mut text = Text(String::new());
    let skew = draws.below(20);
    let loss = draws.below(30);
    let transport = draws.one(&["in-order", "datagram"]);
    text.line(format_args!(
        "# A storm, then calm\nseed = {seed}\nduration = \"60s\"\ndrain = \"{}\"\nclock_skew = \"{skew}ms\"",
        subject.drain
    ));
    text.line(format_args!(
        "[network]\nmatrix = \"uniform\"\nlatency = \"{}ms\"\nloss = {}\ntransport = \"{transport}\"",
        5 + draws.below(60),
        loss as f64 / 1000.0,
    ));
    let parameters = (subject.parameters)(&mut draws);
    text.line(format_args!(
        "[consensus]\nprotocol = \"{}\"\n{parameters}",
        subject.protocol
    ));
    text.line(format_args!(
        "[fleet]\npackages = {}\nreading_every = \"{}ms\"",
        1 + draws.below(4),
        500 + draws.below(2_500)
    ));
    for member in 0..n {
        text.line(format_args!(
            "[[member]]\nname = \"M{member}\"\nregion = \"here\""
        ));
    }
    text.line(format_args!(
        "[cold_chain]\nowner = \"M0\"\nobserver = \"M1\"\nmin_temperature_c = 0\nmax_temperature_c = 12\n\
         [[leg]]\nstage = \"Farm\"\ncustodian = \"M0\"\nduration = \"20s\"\nambient_c = 5\n\
         [[leg]]\nstage = \"Road\"\ncustodian = \"M2\"\nduration = \"20s\"\nambient_c = 7"
    ));
    // Faults of one kind come one after another, those of different kinds as they like.
    let mut free = [1_000; 10];
    match draws.below(5) {
        0 => {}
        1 if subject.bears_liars => cheat(&mut draws, "silent-primary", n, &mut text),
        // As good as one that lies, until it takes part again (R40).
        2 => {
            lost_disk(&mut draws, n as u64, &mut text);
            free[..2].fill(9_000);
        }
        _ if subject.bears_liars => cheat(&mut draws, "equivocating-primary", n, &mut text),
        _ => {}
    }
    for _ in 0..=draws.below(5) {
        fault(&mut draws, n as u64, &mut free, &mut text);
    }
    if subject.changes_committee && n > 4 && draws.below(3) == 0 {
        change(&mut draws, n, &mut text);
    }
    text.0
}

/// One fault, which ends before the calm.
fn fault(draws: &mut Draws, n: u64, free: &mut [u64; 10], text: &mut Text) {
    let kind = draws.below(10) as usize;
    let at = free[kind] + draws.below(STORM_MS / 3);
    let lasts = 200 + draws.below(10_000);
    if at + lasts > STORM_MS {
        return;
    }
    // The last of several that start again one after another starts ten seconds later at most.
    free[kind & !1..=kind | 1].fill(at + lasts + 10_000);
    let (a, b) = (draws.below(n), draws.below(n - 1));
    let b = if b >= a { b + 1 } else { b };
    let when = format!("at = \"{at}ms\"\nfor = \"{lasts}ms\"");
    match kind {
        0..=1 => {
            let disk = draws.one(&["torn", "kept"]);
            let target = draws.one(&["primary", "member"]);
            let target = if target == "primary" {
                target.to_owned()
            } else {
                format!("M{a}")
            };
            text.line(format_args!(
                "[[fault]]\nkind = \"crash\"\ntarget = \"{target}\"\ndisk = \"{disk}\"\n{when}"
            ));
        }
        2..=3 => {
            let disk = draws.one(&["torn", "kept"]);
            let stagger = draws.below(1_000);
            text.line(format_args!(
                "[[fault]]\nkind = \"crash\"\ntarget = \"all\"\ndisk = \"{disk}\"\nstagger = \"{stagger}ms\"\n{when}"
            ));
        }
        4..=5 => {
            let side: Vec<u64> = (0..n).filter(|_| draws.below(2) == 0).collect();
            let group = |there: bool| {
                let members = (0..n).filter(|m| side.contains(m) == there);
                let names: Vec<_> = members.map(|m| format!("\"M{m}\"")).collect();
                format!("[{}]", names.join(", "))
            };
            let groups = [group(true), group(false)];
            let groups: Vec<_> = groups.iter().filter(|g| g.len() > 2).cloned().collect();
            if groups.len() == 2 {
                text.line(format_args!(
                    "[[fault]]\nkind = \"partition\"\ngroups = [{}]\n{when}",
                    groups.join(", ")
                ));
            }
        }
        6 => text.line(format_args!(
            "[[fault]]\nkind = \"link-cut\"\nfrom = \"M{a}\"\nto = \"M{b}\"\n{when}"
        )),
        7 => text.line(format_args!(
            "[[fault]]\nkind = \"link-loss\"\nloss = 0.{}\n{when}",
            1 + draws.below(3)
        )),
        _ => text.line(format_args!(
            "[[fault]]\nkind = \"gateway-offline\"\nmember = \"M{a}\"\n{when}"
        )),
    }
}

fn cheat(draws: &mut Draws, kind: &str, n: usize, text: &mut Text) {
    let member = draws.below(n as u64);
    text.line(format_args!(
        "[[cheat]]\nkind = \"{kind}\"\nmember = \"M{member}\"\nat = \"1s\""
    ));
}

/// The last member joins in the middle of the storm, or leaves.
fn change(draws: &mut Draws, n: usize, text: &mut Text) {
    let kind = draws.one(&["joins", "leaves"]);
    let (at, last) = (3_000 + draws.below(STORM_MS / 2), n - 1);
    text.line(format_args!(
        "[[change]]\nkind = \"{kind}\"\nmember = \"M{last}\"\nat = \"{at}ms\""
    ));
}

/// A validator loses its disk; it lies beside no other faulty one.
fn lost_disk(draws: &mut Draws, n: u64, text: &mut Text) {
    let member = draws.below(n);
    let disk = draws.one(&["lost", "rolled-back", "rotten"]);
    let at = 3_000 + draws.below(4_000);
    text.line(format_args!(
        "[[fault]]\nkind = \"crash\"\ntarget = \"M{member}\"\ndisk = \"{disk}\"\nat = \"{at}ms\"\nfor = \"1s\""
    ));
}
