//! How quantities are written for people.

/// 58244 as `58,244`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 block`, `2 blocks`. The noun must form its plural with an s.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// Tenths as a decimal number: 110 is `11`, 104 is `10.4`.
pub fn tenths(number: i64) -> String {
    let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    match size % 10 {
        0 => format!("{sign}{}", size / 10),
        tenth => format!("{sign}{}.{tenth}", size / 10),
    }
}

/// Nanoseconds in the unit that suits them: `24 h`, `60 min`, `4.2 s`, `212 ms`.
pub fn span(nanos: u64) -> String {
    const MS: u64 = 1_000_000;
    const S: u64 = 1000 * MS;
    let whole = |unit: u64, name: &str| format!("{} {name}", nanos / unit);
    match nanos {
        0 => "0 s".to_owned(),
        _ if nanos >= 3600 * S && nanos.is_multiple_of(3600 * S) => whole(3600 * S, "h"),
        _ if nanos >= 60 * S && nanos.is_multiple_of(60 * S) => whole(60 * S, "min"),
        _ if nanos >= 2 * 3600 * S => format!("{:.1} h", nanos as f64 / (3600 * S) as f64),
        _ if nanos >= 180 * S => format!("{:.1} min", nanos as f64 / (60 * S) as f64),
        _ if nanos >= S && nanos.is_multiple_of(S) => whole(S, "s"),
        _ if nanos >= S => format!("{:.1} s", nanos as f64 / S as f64),
        _ if nanos >= MS => whole(MS, "ms"),
        _ => format!("{} us", nanos / 1000),
    }
}

/// Milliseconds in the unit that suits them.
pub fn span_ms(ms: u64) -> String {
    span(ms.saturating_mul(1_000_000))
}

/// Microseconds as milliseconds with three significant digits: `0.42`, `4.25`, `4,300`.
pub fn us_as_ms(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.2}", us as f64 / 1000.0),
        10_000..100_000 => format!("{:.1}", us as f64 / 1000.0),
        _ => thousands((us + 500) / 1000),
    }
}

/// Bytes in decimal units: `41 GB`, `9.8 kB`.
pub fn bytes(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < units.len() {
        amount /= 1000.0;
        unit += 1;
    }
    if amount < 9.95 && unit > 0 {
        format!("{amount:.1} {}", units[unit])
    } else {
        format!("{amount:.0} {}", units[unit])
    }
}

/// A small amount with one digit behind the point below ten, and none above.
pub fn amount(amount: f64) -> String {
    if amount < 9.95 {
        format!("{amount:.1}")
    } else {
        thousands(amount.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_write_them() {
        assert_eq!(
            [0, 999, 1000, 58_244, 1_234_567].map(thousands),
            ["0", "999", "1,000", "58,244", "1,234,567"]
        );
        assert_eq!(
            [0, 1, 2000].map(|n| counted(n, "block")),
            ["0 blocks", "1 block", "2,000 blocks"]
        );
        assert_eq!([110, 104, -5, 0].map(tenths), ["11", "10.4", "-0.5", "0"]);
        assert_eq!(
            [86_400_000, 3_600_000, 90_000, 4200, 212, 240_900].map(span_ms),
            ["24 h", "1 h", "90 s", "4.2 s", "212 ms", "4.0 min"]
        );
        assert_eq!(
            [0, 420, 9999, 42_500, 4_300_400].map(us_as_ms),
            ["0.00", "0.42", "10.00", "42.5", "4,300"]
        );
        assert_eq!(
            [0.0, 9800.0, 41e9, 999.6].map(bytes),
            ["0 B", "9.8 kB", "41 GB", "1.0 kB"]
        );
        assert_eq!([3.44, 31.2, 1234.0].map(amount), ["3.4", "31", "1,234"]);
    }
}
