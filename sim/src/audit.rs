//! The Authority's audit of a member's own copy of the ledger, and the member that rewrote it before.
//!
//! A copy is a member's private property: no protocol can keep its owner from changing it. What a
//! protocol can do is let anyone who reads the copy see that it was changed.

use std::sync::Arc;

use consortium_node::{
    ledger::{
        Ledger,
        audit::{self, AuditFault, Auditor, Evidence, Page},
        handover,
    },
    node::Claims,
    transaction::{Call, Order, Outcome, Transaction, Value},
    types::TxId,
};

use crate::{
    cast::Cast,
    fact::Fact,
    scenario::plan::{CheatKind, Plan},
};

/// Audits the copies that the plan's cheats rewrote, and tells what the auditor found.
pub fn audit_rewritten_copies(
    plan: &Plan,
    cast: &Cast,
    claims: &Claims,
    ledgers: &[Ledger],
) -> Vec<Fact> {
    plan.cheats
        .iter()
        .filter_map(|cheat| match cheat.kind {
            CheatKind::RewritesCopy {
                member,
                from_dc,
                to_dc,
            } => {
                let ledger = &ledgers[cast.validator_of(member)?.index()];
                let copy = rewritten(cast, ledger, from_dc, to_dc);
                Some(Fact::Audited {
                    member,
                    findings: findings(claims, cast, ledger, &copy),
                })
            }
            _ => None,
        })
        .collect()
}

/// What an auditor finds in a copy of this ledger, in words. Empty for a copy that nobody touched.
pub fn findings(claims: &Claims, cast: &Cast, ledger: &Ledger, copy: &[Page]) -> Vec<String> {
    let committees;
    let evidence = match claims.finality {
        Some(rule) => {
            let founders = Arc::clone(cast.deciders());
            let links = ledger.hand_overs().iter().map(Arc::as_ref);
            match handover::follow(founders, links, rule) {
                Ok(followed) => committees = followed,
                Err((link, fault)) => return vec![format!("hand-over {}: {fault}", link + 1)],
            }
            Evidence::Certificates(&committees, rule)
        }
        // A database's word and depth are nothing that an outsider could check.
        None => Evidence::Nothing,
    };
    let genesis = ledger.genesis().block.id();
    let auditor = Auditor {
        genesis,
        registry: &cast.registry,
        evidence,
        replay: None,
    };
    auditor
        .audit(copy)
        .iter()
        .map(|finding| in_words(cast, finding))
        .collect()
}

fn in_words(cast: &Cast, finding: &audit::Finding) -> String {
    match &finding.fault {
        AuditFault::Signature { tx, party } => format!(
            "height {}: transaction {tx} is not signed by the {}, in whose name it stands",
            finding.height,
            cast.party_name(*party)
        ),
        _ => finding.to_string(),
    }
}

/// A member's copy in which the golden package's last executed reading of `from_dc` (tenths of a
/// degree) says `to_dc`, re-hashed so that the chain links again. Unchanged if there is no such reading.
pub fn rewritten(cast: &Cast, ledger: &Ledger, from_dc: i64, to_dc: i64) -> Vec<Page> {
    let victim = last_reading(cast, ledger, from_dc);
    let change = |transaction: &Transaction| {
        let is_victim = Some(transaction.id()) == victim;
        is_victim.then(|| with_temperature(transaction.signed().body(), to_dc))
    };
    audit::rewrite(&audit::copy(ledger), change)
}

fn last_reading(cast: &Cast, ledger: &Ledger, temperature_dc: i64) -> Option<TxId> {
    let sensor = cast.device(0);
    let executed = ledger.entries().flat_map(|entry| {
        let receipts = Arc::clone(&entry.receipts);
        let transactions = entry.block.transactions().iter().cloned();
        transactions.zip(0..).map(move |(transaction, place)| {
            let ok = receipts[place as usize].outcome == Outcome::Ok;
            (transaction, ok)
        })
    });
    executed
        .filter(|(transaction, ok)| {
            *ok && transaction.party() == sensor
                && temperature_of(transaction.call()) == Some(temperature_dc)
        })
        .last()
        .map(|(transaction, _)| transaction.id())
}

/// The temperature that a reading reports: its second argument.
fn temperature_of(call: &Call) -> Option<i64> {
    match call {
        Call::Invoke { arguments, .. } => match arguments.as_slice() {
            [Value::Int(_), Value::Int(temperature), Value::Int(_)] => Some(*temperature),
            _ => None,
        },
        Call::Create { .. } => None,
    }
}

fn with_temperature(order: &Order, temperature_dc: i64) -> Order {
    let mut order = order.clone();
    if let Call::Invoke { arguments, .. } = &mut order.call {
        arguments[1] = Value::Int(temperature_dc);
    }
    order
}
