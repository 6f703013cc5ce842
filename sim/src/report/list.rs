//! The scenarios that are there, a line each.

use serde::Serialize;

use crate::cli::Listed;

/// For people: name and title in two columns.
pub fn table(scenarios: &[Listed]) -> String {
    let width = scenarios
        .iter()
        .map(|listed| listed.name.chars().count())
        .max()
        .unwrap_or(0);
    let line = |listed: &Listed| format!("{:width$}  {}\n", listed.name, listed.title);
    scenarios.iter().map(line).collect()
}

/// For programs.
pub fn json(scenarios: &[Listed]) -> String {
    let rows: Vec<_> = scenarios.iter().map(Row::of).collect();
    super::json::render(&rows)
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    title: &'a str,
    path: String,
}

impl<'a> Row<'a> {
    fn of(listed: &'a Listed) -> Self {
        Self {
            name: &listed.name,
            title: &listed.title,
            path: listed.path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_titles_stand_in_columns() {
        let listed = |name: &str, title: &str| Listed {
            name: name.into(),
            title: title.into(),
            path: format!("scenarios/{name}.toml").into(),
        };
        let scenarios = [listed("a", "One"), listed("long-name", "Two")];
        assert_eq!(table(&scenarios), "a          One\nlong-name  Two\n");
        assert!(json(&scenarios).contains("\"path\": \"scenarios/a.toml\""));
    }
}
