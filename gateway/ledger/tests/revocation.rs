//! A key that a later charter ends: who had its entries before, and who comes later, stop at the same one.

mod common;

use common::{FOUNDERS, Federation, TRANSACTION, name};
use proptest::prelude::*;
use sundbro_ledger::drafting::Draft as CharterDraft;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::ids::Commitment;
use sundbro_ledger::log::LogHead;
use sundbro_ledger::transaction::{Audience, Draft, SignedTransaction};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

/// Charter version 2 with three open TRANSACTION keys, and a log whose entries are signed by them in turn.
fn signed(counts: [u8; 3]) -> (Federation, [u32; 3], Vec<SignedTransaction>) {
    let mut federation = Federation::found();
    let id = federation.id();
    let hospital = federation.member_mut(HOSPITAL);
    let keys = [
        TRANSACTION,
        hospital.add_key_like(TRANSACTION, 0, None),
        hospital.add_key_like(TRANSACTION, 0, None),
    ];
    let card = hospital.card(&id);
    let mut draft = CharterDraft::next(&federation.history).expect("no fork");
    draft.replace_member(&card).expect("a card");
    federation.publish(draft);
    let mut head = LogHead::new(federation.log(HOSPITAL));
    let mut entries = Vec::new();
    for (key_id, count) in keys.into_iter().zip(counts) {
        for _ in 0..count {
            let draft = Draft {
                charter_version: 2,
                key_id,
                incarnation: 1,
                recorded_hour: 500_000,
                payload_commitment: Commitment::new([7; 32]),
                payload_size: 64,
                audience: Audience::Federation,
            };
            let entry = head.sign_next(draft, &federation.member(HOSPITAL).keys[&key_id], &id);
            let verified = head.verify(entry.clone(), &federation.history).expect("valid");
            head.append(&verified).expect("next");
            entries.push(entry);
        }
    }
    (federation, keys, entries)
}

/// Where somebody who follows this charter from the start stops, and why.
fn stops_at(
    federation: &Federation,
    entries: &[SignedTransaction],
    history: &CharterHistory,
) -> Option<(u64, &'static str)> {
    let mut head = LogHead::new(federation.log(HOSPITAL));
    for entry in entries {
        match head.verify(entry.clone(), history) {
            Ok(verified) => head.append(&verified).expect("next"),
            Err(refusal) => return Some((refusal.position(), refusal.code())),
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn who_had_the_entries_stops_where_who_comes_later_does(
        counts in [0_u8..6, 0..6, 0..6],
        ends in [prop::option::of(0_u64..18), prop::option::of(0_u64..18), prop::option::of(0_u64..18)],
        epoch_end in prop::option::weighted(0.2, 0_u64..18),
    ) {
        let (mut federation, keys, entries) = signed(counts);
        prop_assert_eq!(stops_at(&federation, &entries, &federation.history), None);
        let next = federation.successor(|next| {
            let member = next.member(HOSPITAL);
            for (key_id, to) in keys.into_iter().zip(ends) {
                let key = member.keys.iter_mut().find(|key| key.key_id == key_id).expect("listed");
                key.to = to;
            }
            member.log_epochs[0].end =
                epoch_end.map(|size| v1::LogEnd { size, root: vec![1; 32].into() });
        });
        // A few of these break a rule of charters, such as an end of size 0 with a root.
        let Ok(next) = next else { return Ok(()) };
        let Ok(offered) = federation.history.offer(next) else { return Ok(()) };
        prop_assert_eq!(offered, Offered::Accepted);
        let history = &federation.history;
        let size = entries.len() as u64;
        let mut asked = 0_u32;
        let found = history.first_revoked(&federation.log(HOSPITAL), size, |position| {
            asked += 1;
            let place = usize::try_from(position).expect("small");
            entries.get(place).map(|entry| entry.header().key_id).ok_or("past the end")
        });
        let found = found.expect("nothing past the end is asked for");
        let found = found.map(|revoked| (revoked.position, revoked.reason.code()));
        prop_assert_eq!(found, stops_at(&federation, &entries, history));
        prop_assert!(asked <= 3 * 2 * 5, "{} positions for three keys", asked);
    }
}

#[test]
fn routine_closing_takes_nothing_back_and_an_unknown_log_has_nothing() {
    let (mut federation, [first, second, _], entries) = signed([4, 3, 0]);
    let mut draft = CharterDraft::next(&federation.history).expect("no fork");
    // `to` of the old key is the first position that the newer key signed.
    draft.close_key(&name(HOSPITAL), first, 4).expect("a key");
    draft.close_key(&name(HOSPITAL), second, 7).expect("a key");
    federation.publish(draft);
    let key_id_at = |position: u64| {
        Ok::<_, &str>(entries[usize::try_from(position).expect("small")].header().key_id)
    };
    let history = &federation.history;
    assert_eq!(history.first_revoked(&federation.log(HOSPITAL), 7, key_id_at), Ok(None));
    let nobodys = sundbro_ledger::ids::LogId::new([9; 32]);
    assert_eq!(history.first_revoked(&nobodys, 7, key_id_at), Ok(None));
}
