//! What the process says when it ends.

use std::process;

/// Exit codes of `consortium`. Each number means one thing, so that CI can tell a bug in a protocol from a
/// typing error in a scenario.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// All expectations hold.
    Ok = 0,
    /// A bug in this program.
    Internal = 1,
    /// A bad command line or scenario.
    BadInput = 2,
    /// A safety invariant was violated that the scenario did not expect.
    Safety = 3,
    /// Not all pending work finished within the bound after the last fault healed.
    Liveness = 4,
    /// A performance expectation, a baseline or an expected violation was missed.
    Missed = 5,
    /// Two runs of one seed differed.
    Nondeterminism = 6,
}

impl ExitCode {
    /// Worst first: whoever cannot trust the program, the input or determinism cannot trust the verdicts
    /// that would come after.
    const PRECEDENCE: [Self; 7] = [
        Self::Internal,
        Self::BadInput,
        Self::Nondeterminism,
        Self::Safety,
        Self::Liveness,
        Self::Missed,
        Self::Ok,
    ];

    /// The one code to end with when several apply: the first of 1, 2, 6, 3, 4, 5; 0 if none does.
    pub fn worst(codes: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| Self::PRECEDENCE.iter().position(|other| other == code);
        codes.into_iter().min_by_key(rank).unwrap_or(Self::Ok)
    }

    /// The meaning of a number, if it has one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::PRECEDENCE
            .into_iter()
            .find(|known| known.code() == code)
    }

    /// As the shell sees it.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::{self, *};

    #[test]
    fn when_several_codes_apply_the_first_of_1_2_6_3_4_5_wins() {
        let order = [
            Internal,
            BadInput,
            Nondeterminism,
            Safety,
            Liveness,
            Missed,
            Ok,
        ];
        assert_eq!(order.map(ExitCode::code), [1, 2, 6, 3, 4, 5, 0]);
        for (i, first) in order.iter().enumerate() {
            for second in &order[i..] {
                assert_eq!(ExitCode::worst([*first, *second]), *first);
                assert_eq!(ExitCode::worst([*second, *first]), *first);
            }
        }
        assert_eq!(ExitCode::worst([]), Ok);
    }
}
