//! A charter version that stands twice and the one that heals it, and receipts that show them wrongly.

use prost::Message as _;
use serde_json::json;
use sundbro_ledger::charter::{Charter, CharterLimits};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::receipt::{assemble, verify_bytes};
use sundbro_proto::ledger::v1;

use crate::json::File;
use crate::receipt::all_parts;
use crate::retrieval::Retrieval;
use crate::world::key;

/// Version 3 stands twice, and steward 1 signed both heads; the others signed version 4, which heals it.
pub(crate) fn healed(start: &CharterHistory) -> CharterHistory {
    let mut history = forked(start);
    let draft = Draft::heal(&history).expect("version 3 stands twice");
    let healing = finished(draft, [0x12, 0x13]);
    assert!(matches!(history.offer(healing), Ok(Offered::Accepted)), "version 4 heals");
    history
}

/// Version 3 stands twice.
pub(crate) fn forked(start: &CharterHistory) -> CharterHistory {
    let heads = [(1 << 30, 0x12), (1 << 31, 0x13)].map(|(limit, signer)| {
        let mut draft = Draft::next(start).expect("no fork");
        let written_max_log_bytes_per_day = limit;
        draft.set_limits(CharterLimits { written_max_format: 1, written_max_log_bytes_per_day });
        finished(draft, [0x11, signer])
    });
    let mut history = start.clone();
    for head in heads {
        drop(history.offer(head).expect("valid by itself"));
    }
    assert_eq!(history.forked_version(), Some(3));
    history
}

fn finished(draft: Draft, stewards: [u8; 2]) -> Charter {
    let mut proposal = draft.propose().expect("keeps every rule");
    for byte in stewards {
        proposal.sign(&key(byte)).expect("a steward");
    }
    proposal.finish().expect("signed by enough")
}

/// One thing made wrong in the heads of versions 1, 2, 3, 3 and 4.
pub(crate) type HeadsChange = fn(&mut Vec<v1::ReceiptHead>);

pub(crate) const HEADS: [(&str, HeadsChange); 5] = [
    ("the heads of a version that stood twice in descending order", |heads| heads.swap(2, 3)),
    ("a head of a healed version left out", |heads| drop(heads.remove(2))),
    ("a head of a healed version twice", |heads| heads.insert(3, heads[2].clone())),
    ("the newest version stands twice", |heads| drop(heads.pop())),
    ("a healing version that too few signed", |heads| drop(heads[4].signatures.pop())),
];

/// Adds every receipt whose heads do not show a healed version as they must.
pub(crate) fn refuse_receipts(file: &mut File, world: &Retrieval) {
    let right = assemble(&healed(&world.history), &all_parts(world)).expect("a receipt");
    for (name, change) in HEADS {
        let mut receipt = right.clone();
        change(&mut receipt.heads);
        let bytes = receipt.encode_to_vec();
        assert!(verify_bytes(&bytes, Some(&world.federation())).is_err(), "{name}");
        let federation_id = hex::encode(world.federation().as_bytes());
        file.refuse(name, &bytes, json!({ "federation_id": federation_id, "step": 1 }));
    }
}
