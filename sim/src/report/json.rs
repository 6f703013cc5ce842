//! The summary for programs.

use serde::Serialize;

/// Pretty JSON with a final newline: of a summary, or of an aggregate.
pub fn render<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("summaries have string keys only");
    text.push('\n');
    text
}
