//! What someone probably meant.

/// Longer words are no typing errors.
const LONGEST: usize = 60;
/// A list of more names than this is no help.
const LISTED: usize = 12;

/// The known name nearest to what was typed, if any is near.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if typed.chars().count() > LONGEST {
        return None;
    }
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&typed, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// A hint: the nearest name, or else all of them if they are few.
pub(crate) fn hint<'a, I>(typed: &str, what: &str, known: I) -> String
where
    I: IntoIterator<Item = &'a str> + Clone,
{
    if let Some(name) = nearest(typed, known.clone()) {
        return format!("did you mean \"{name}\"?");
    }
    let names: Vec<_> = known.into_iter().collect();
    match names.len() {
        0 => format!("there are no {what}"),
        count if count > LISTED => format!("there are {count} {what}, see sim/docs/scenarios.md"),
        _ => format!("{what}: {}", names.join(", ")),
    }
}

/// What was typed, fit for a message: quoted, escaped, and not too long.
pub(crate) fn quote(typed: &str) -> String {
    let mut short: String = typed.chars().take(LONGEST).collect();
    if short.len() < typed.len() {
        short.push('…');
    }
    format!("{short:?}")
}
