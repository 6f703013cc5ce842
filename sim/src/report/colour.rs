//! Colours for terminals, laid over the finished text: labels bold, good words green, bad ones red.

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// From one of these words on, the rest of a line is bad news.
const BAD: [&str; 6] = [
    "VIOLATED",
    "OUT OF COMPLIANCE",
    "UNDETECTED",
    "FORK",
    "EXECUTED",
    "NOT SURVIVED",
];

/// The same text with colours.
pub(super) fn paint(text: &str) -> String {
    text.lines().map(|line| paint_line(line) + "\n").collect()
}

fn paint_line(line: &str) -> String {
    if let Some(verdicts) = line.strip_prefix("VERDICT") {
        let words = verdicts.split("  ").map(|word| match word.trim() {
            "SAFE" | "LIVE" => format!("{GREEN}{word}{PLAIN}"),
            "UNSAFE" | "NOT LIVE" => format!("{RED}{word}{PLAIN}"),
            _ => word.to_owned(),
        });
        return format!(
            "{BOLD}VERDICT{PLAIN}{}",
            words.collect::<Vec<_>>().join("  ")
        );
    }
    if let Some(place) = BAD.iter().filter_map(|word| line.find(word)).min() {
        let (before, bad) = line.split_at(place);
        return format!("{before}{RED}{bad}{PLAIN}");
    }
    let label = line.find("  ").unwrap_or(line.len());
    let is_label = label > 0
        && line[..label]
            .chars()
            .all(|c| c.is_ascii_uppercase() || c == ' ');
    if is_label {
        format!("{BOLD}{}{PLAIN}{}", &line[..label], &line[label..])
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_letter() {
        let text = "VERDICT     SAFE  NOT LIVE  12/13\nLOAD        busiest\n Store  OUT OF COMPLIANCE: 11 > 10\n";
        let painted = paint(text);
        let plain = [BOLD, GREEN, RED, PLAIN]
            .iter()
            .fold(painted.clone(), |text, code| text.replace(code, ""));
        assert_eq!(plain, text);
        assert!(painted.contains("\x1b[32m") && painted.contains("\x1b[31mOUT OF"));
    }
}
