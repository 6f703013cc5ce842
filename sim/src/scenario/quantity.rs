//! Quantities with units, read exactly: no float on the way, nothing rounded.

use std::{fmt::Write as _, time::Duration};

const NANOS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const BITS: [(&str, u128); 4] = [
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
];
const BYTES: [(&str, u128); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A duration such as "250ms", "1h30m" or "2.25ms": units from the largest to the smallest, each once.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let mut nanos = 0;
    let mut smallest = u128::MAX;
    let mut rest = text;
    while !rest.is_empty() || smallest == u128::MAX {
        let (part, after) = split_part(rest);
        let (amount, unit) = measure(part, &NANOS, "250ms")?;
        if unit >= smallest {
            return Err(
                "units go from the largest to the smallest, each once: \"1h30m\"".to_owned(),
            );
        }
        smallest = unit;
        nanos += amount;
        rest = after;
    }
    match u64::try_from(nanos) {
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err("this is longer than 584 years".to_owned()),
    }
}

/// A rate such as "100Mbit/s", in bits a second.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    whole(text, &BITS, "100Mbit/s")
}

/// How often something happens, such as "200/s" or "0.5/s", in millionths a second.
pub(crate) fn frequency(text: &str) -> Result<u64, String> {
    let example = "200/s";
    let Some(number) = text.strip_suffix("/s") else {
        return Err(format!(
            "write a number and \"/s\", for instance \"{example}\""
        ));
    };
    match scaled(number.trim_end(), 1_000_000) {
        Ok(amount) => u64::try_from(amount).map_err(|_| "this is far out of range".to_owned()),
        Err(Unfit::NoNumber) => Err(format!("write a plain number before \"/s\": \"{example}\"")),
        Err(Unfit::TooFine) => Err("no more than 6 digits after the point".to_owned()),
        Err(Unfit::TooLarge) => Err("this is far out of range".to_owned()),
    }
}

/// A size such as "256kB", in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    whole(text, &BYTES, "256kB")
}

/// A decimal number such as "-0.5", times ten to the power of `places`. More decimals than that are
/// refused rather than rounded.
pub(crate) fn decimal(text: &str, places: u32) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let amount = scaled(digits, 10_u128.pow(places)).map_err(|error| match error {
        Unfit::NoNumber => "write a plain decimal number".to_owned(),
        Unfit::TooFine => format!("no more than {places} digits after the point"),
        Unfit::TooLarge => "this is far out of range".to_owned(),
    })?;
    let amount = i64::try_from(amount).map_err(|_| "this is far out of range".to_owned())?;
    Ok(if negative { -amount } else { amount })
}

fn whole(text: &str, units: &[(&str, u128)], example: &str) -> Result<u64, String> {
    let (amount, _) = measure(text, units, example)?;
    u64::try_from(amount).map_err(|_| "this is far out of range".to_owned())
}

/// A number and its unit in the smallest unit, and how large the unit is.
fn measure(text: &str, units: &[(&str, u128)], example: &str) -> Result<(u128, u128), String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let names = || {
        units
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if number.is_empty() {
        return Err(format!("write a number and a unit: \"{example}\""));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("this has no unit, write for instance \"{example}\""),
            _ => format!("the units are {}", names()),
        });
    };
    match scaled(number, *scale) {
        Ok(amount) => Ok((amount, *scale)),
        Err(Unfit::NoNumber) => Err(format!("write a number and a unit: \"{example}\"")),
        Err(Unfit::TooFine) => Err(format!("this is finer than one {}", units[0].0)),
        Err(Unfit::TooLarge) => Err("this is far out of range".to_owned()),
    }
}

/// Why digits make no whole number of units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unfit {
    NoNumber,
    TooFine,
    TooLarge,
}

/// `digits[.digits]` times `scale`, exactly.
fn scaled(digits: &str, scale: u128) -> Result<u128, Unfit> {
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(Unfit::NoNumber),
        None => (digits, "0"),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(Unfit::NoNumber);
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    // 10^18 units of a day are below 2^128, so nothing overflows.
    if whole.len() > 18 {
        return Err(Unfit::TooLarge);
    }
    if fraction.len() > 18 {
        return Err(Unfit::TooFine);
    }
    let parse = |part: &str| part.parse::<u128>().unwrap_or(0);
    let denominator = 10_u128.pow(fraction.len() as u32);
    let numerator = parse(fraction) * scale;
    if !numerator.is_multiple_of(denominator) {
        return Err(Unfit::TooFine);
    }
    Ok(parse(whole) * scale + numerator / denominator)
}

/// The first number with its unit, and what follows.
fn split_part(text: &str) -> (&str, &str) {
    let unit = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let next = text[unit..]
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .map_or(text.len(), |next| unit + next);
    text.split_at(next)
}

/// A duration as it would be typed, for messages.
pub(crate) fn spell(span: Duration) -> String {
    let mut rest = span.as_nanos();
    let mut out = String::new();
    // Hours are the largest unit: "24h" is how a day is typed.
    for (name, scale) in NANOS[..6].iter().rev() {
        if rest >= *scale {
            write!(out, "{}{name}", rest / scale).expect("a string takes any text");
            rest %= scale;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_to_the_nanosecond() {
        let good = [
            ("250ms", 250_000_000),
            ("24h", 86_400_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("2.25ms", 2_250_000),
            ("0s", 0),
            ("1d0.5s", 86_400_500_000_000),
            ("0.000000001s", 1),
            ("007ns", 7),
        ];
        for (text, nanos) in good {
            assert_eq!(duration(text).map(|d| d.as_nanos()), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_advice() {
        let bad = [
            ("", "write a number and a unit"),
            ("5", "no unit"),
            ("-5s", "write a number and a unit"),
            ("1e400s", "the units are"),
            ("30m1h", "largest to the smallest"),
            ("1s1s", "largest to the smallest"),
            ("0.1ns", "finer than one ns"),
            ("5 fortnights", "the units are"),
            ("1..5s", "write a number and a unit"),
            ("1.s", "write a number and a unit"),
            ("999999999999999999d", "longer than 584 years"),
            ("9999999999999999999999999999s", "far out of range"),
            ("١s", "write a number and a unit"),
        ];
        for (text, advice) in bad {
            let error = duration(text);
            let advised = error.as_ref().is_err_and(|error| error.contains(advice));
            assert!(advised, "{text:?}: {error:?}");
        }
    }

    #[test]
    fn rates_and_sizes_have_decimal_units_unless_they_say_otherwise() {
        assert_eq!(rate("100Mbit/s"), Ok(100_000_000));
        assert_eq!(rate("2.5Gbit/s"), Ok(2_500_000_000));
        assert_eq!(size("256kB"), Ok(256_000));
        assert_eq!(size("1KiB"), Ok(1024));
        assert!(rate("100Mbps").is_err_and(|error| error.contains("Mbit/s")));
        assert!(size("1.5B").is_err_and(|error| error.contains("finer than one B")));
    }

    #[test]
    fn frequencies_are_exact_to_the_millionth() {
        let good = [("200/s", 200_000_000), ("0.5 /s", 500_000), ("0/s", 0)];
        for (text, millionths) in good {
            assert_eq!(frequency(text), Ok(millionths), "{text}");
        }
        let bad = [
            ("200", "a number and"),
            ("200/m", "a number and"),
            ("/s", "plain number"),
            ("-1/s", "plain number"),
            ("0.0000001/s", "6 digits"),
            ("99999999999999999999/s", "out of range"),
        ];
        for (text, advice) in bad {
            let error = frequency(text);
            let advised = error.as_ref().is_err_and(|error| error.contains(advice));
            assert!(advised, "{text:?}: {error:?}");
        }
    }

    #[test]
    fn decimals_are_refused_rather_than_rounded() {
        assert_eq!(decimal("10.4", 1), Ok(104));
        assert_eq!(decimal("-0.5", 1), Ok(-5));
        assert_eq!(decimal("8.50", 1), Ok(85));
        assert_eq!(decimal("-0.0", 1), Ok(0));
        for bad in [
            "10.45",
            "nan",
            "inf",
            "1e1",
            "",
            ".",
            "99999999999999999999",
        ] {
            assert!(decimal(bad, 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_spelt_duration_reads_back() {
        for nanos in [0, 1, 999, 5_400_000_000_000, 86_400_500_000_007] {
            let span = Duration::from_nanos(nanos);
            assert_eq!(duration(&spell(span)), Ok(span));
        }
    }
}
