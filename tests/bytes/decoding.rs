//! The cells that need no gateway: bytes in, a verdict out.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use prost_reflect::DescriptorPool;

use crate::cells::Cells;
use crate::damage::{self, Damage, Damaged};
use crate::table::{LEDGER, Rows};
use crate::whole::{self, Verdict, Whole};

/// Descriptors of everything.
pub(crate) fn pool() -> DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let read = || DescriptorPool::decode(sundbro_proto::DESCRIPTOR_SET);
    POOL.get_or_init(|| read().expect("descriptors are generated")).clone()
}

/// Tries every damage on every field of every message of the ledger.
pub(crate) fn run(cells: &mut Cells) {
    let pool = pool();
    let mut tried = BTreeSet::new();
    for whole in whole::all() {
        let kind = pool.get_message_by_name(&format!("sundbro.ledger.v1.{}", whole.name));
        let kind = kind.expect("a message of ours");
        cells.cell(whole.name, &Verdict::Taken, &(whole.read)(&whole.bytes));
        for damaged in damage::all(&kind, &whole.bytes) {
            let expected = expected(&whole, &damaged);
            let what = format!("{} {:?}", damaged.path, damaged.damage);
            cells.cell(&what, &expected, &(whole.read)(&damaged.bytes));
            tried.insert(damaged.at);
        }
    }
    every_field_was_tried(cells, ("sundbro.ledger.v1", LEDGER), &tried);
}

fn expected(whole: &Whole, damaged: &Damaged) -> Verdict {
    let Damaged { at: (message, field), damage, .. } = damaged;
    match damage {
        // The one thing that makes a log wait.
        Damage::Max if message == "TransactionHeader" && field == "format" => Verdict::Waits,
        damage if damage.is_no_protobuf() => Verdict::Refused,
        damage if damage.keeps_meaning() && whole.is_strict => Verdict::Refused,
        damage if damage.keeps_meaning() => Verdict::Taken,
        _ if survives(message, field, *damage) => Verdict::Taken,
        _ => Verdict::Refused,
    }
}

/// Whether the table says that a message is read in spite of what is wrong with a field.
fn survives(message: &str, field: &str, damage: Damage) -> bool {
    let name = format!("{damage:?}");
    row(LEDGER, message, field).is_some_and(|row| row.split(' ').any(|one| one == name))
}

/// What a table says of a field.
pub(crate) fn row(rows: Rows, message: &str, field: &str) -> Option<&'static str> {
    let (_, fields) = rows.iter().find(|(name, _)| *name == message)?;
    fields.iter().find(|(name, _)| *name == field).map(|(_, row)| *row)
}

/// A field that is in no message here, or in no row, is one that nobody thought about; a row of none is a mistake.
pub(crate) fn every_field_was_tried(
    cells: &mut Cells,
    (package, rows): (&str, Rows),
    tried: &BTreeSet<(String, String)>,
) {
    let mut fields = BTreeSet::new();
    for message in pool().all_messages().filter(|message| message.package_name() == package) {
        for field in message.fields() {
            fields.insert((message.name().to_owned(), field.name().to_owned()));
        }
    }
    for (message, field) in &fields {
        if !tried.contains(&(message.clone(), field.clone())) {
            cells.wrong_table(format!("{message}.{field} is in no message that is tried"));
        }
        if row(rows, message, field).is_none() {
            cells.wrong_table(format!("{message}.{field} has no row"));
        }
    }
    for (message, named) in rows {
        for (field, _) in *named {
            if !fields.contains(&((*message).to_owned(), (*field).to_owned())) {
                cells.wrong_table(format!("{message}.{field} has a row and is no field"));
            }
        }
    }
}
