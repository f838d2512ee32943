//! A charter that somebody offers: judged as any other, and no key of a member looked at before stewards have signed.

mod common;

use common::{FOUNDERS, Federation, Unsigned, key};
use sundbro_ledger::charter::{Charter, CharterError, SuccessionError};
use sundbro_ledger::history::{CharterHistory, OfferError, OfferRead, Offered, ReadOfferError};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

/// Reads and takes an offer as a gateway does.
fn take(history: &mut CharterHistory, wire: &v1::Charter) -> Result<Offered, ReadOfferError> {
    match history.read_offer(wire)? {
        OfferRead::Settled(offered) => Ok(offered),
        OfferRead::Charter(charter) => Ok(history.offer(*charter)?),
    }
}

/// The same without reading the head first.
fn take_whole(history: &mut CharterHistory, wire: &v1::Charter) -> Result<Offered, ReadOfferError> {
    Ok(history.offer(Charter::from_wire(wire)?)?)
}

fn limited(after: &Charter, limit: u64) -> Unsigned {
    Federation::after(after, |next| {
        next.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: limit });
    })
}

fn signed_by(federation: &Federation, next: Unsigned, signers: &[u32]) -> v1::Charter {
    let signers = federation.stewards.iter().filter(|(ordinal, _)| signers.contains(ordinal));
    next.sign(&federation.id(), signers)
}

/// Offers of every kind, in an order that meets every verdict.
fn offers(federation: &Federation) -> Vec<v1::Charter> {
    let sign = |next, signers: &[u32]| signed_by(federation, next, signers);
    let first = federation.history.current();
    let read = |wire: &v1::Charter| Charter::from_wire(wire).expect("valid by itself");
    let a2 = sign(limited(first, 2), &[1, 2, 3]);
    let a3 = sign(limited(&read(&a2), 3), &[1, 2, 4]);
    let b2 = sign(limited(first, 22), &[2, 3, 5]);
    let mut wrong = sign(limited(first, 9), &[1, 2, 3]);
    wrong.signatures[1].signature = wrong.signatures[0].signature.clone();
    let elsewhere = Federation::found_by(" elsewhere");
    let mut unknown_signer = federation.stewards.clone();
    unknown_signer.insert(9, key("stranger"));
    vec![
        first.to_wire(),
        a3.clone(),
        sign(limited(first, 9), &[1, 2]),
        sign(limited(first, 9), &[]),
        wrong,
        limited(first, 9).sign(&federation.id(), &unknown_signer),
        elsewhere.history.current().to_wire(),
        elsewhere.successor(|_| ()).expect("valid there").to_wire(),
        a2.clone(),
        a2.clone(),
        sign(limited(first, 2), &[3, 4, 5]),
        a3.clone(),
        sign(limited(&read(&b2), 33), &[1, 2, 3]),
        b2.clone(),
        b2,
        a3,
        a2,
    ]
}

#[test]
fn an_offer_that_is_read_ends_as_one_that_is_parsed_whole() {
    let federation = Federation::found();
    let (mut read, mut whole) = (federation.history.clone(), federation.history.clone());
    let mut verdicts = Vec::new();
    for (at, wire) in offers(&federation).iter().enumerate() {
        let verdict = take(&mut read, wire);
        assert_eq!(verdict, take_whole(&mut whole, wire), "offer {at}");
        assert_eq!(read, whole, "offer {at}");
        verdicts.push(match verdict {
            Ok(Offered::Accepted) => "accepted",
            Ok(Offered::Known) => "known",
            Ok(Offered::MoreSignatures) => "more",
            Ok(Offered::Gap { next: 2 }) => "gap",
            Ok(Offered::OtherBranch { .. }) => "branch",
            Ok(Offered::Fork(_)) => "fork",
            Ok(Offered::Unhealed { forked: 2 }) => "unhealed",
            Ok(other) => panic!("{other:?}"),
            Err(_) => "refused",
        });
    }
    let expected = "known gap refused refused refused refused refused branch accepted known more accepted \
                    branch fork known unhealed known";
    assert_eq!(verdicts.join(" "), expected);
}

#[test]
fn no_key_of_a_member_is_looked_at_before_enough_stewards_have_signed() {
    let federation = Federation::found();
    // No key that can be admitted, and its entry is what the head commits to.
    let bad_key = || {
        federation.next(|next| {
            let mut point = vec![0; 32];
            point[0] = 1;
            next.member(HOSPITAL).keys[0].public_key = point.into();
        })
    };
    let read = |signers: &[u32]| {
        federation.history.read_offer(&signed_by(&federation, bad_key(), signers)).err()
    };
    for signers in [&[][..], &[1], &[4, 5]] {
        let source = SuccessionError::TooFewSignatures { signed: signers.len(), threshold: 3 };
        let unsigned = OfferError::Succession { version: 2, source };
        assert_eq!(read(signers), Some(ReadOfferError::Offer(unsigned)));
    }
    assert!(matches!(
        read(&[1, 2, 3]),
        Some(ReadOfferError::Charter(CharterError::Member { place: 3, .. }))
    ));
    // Below a good head only the members that it commits to.
    let mut other = signed_by(&federation, limited(federation.history.current(), 7), &[1, 2, 3]);
    other.members.push(b"no member entry at all".to_vec().into());
    let read = federation.history.read_offer(&other);
    assert_eq!(read, Err(ReadOfferError::Charter(CharterError::MembersRoot)));
}

#[test]
fn where_a_head_settles_it_the_members_are_not_read() {
    let mut federation = Federation::found();
    let first = federation.history.current().clone();
    let second = signed_by(&federation, limited(&first, 2), &[1, 2, 3]);
    let wire = |next: Unsigned, signers: &[u32]| {
        let mut wire = signed_by(&federation, next, signers);
        wire.members = vec![b"no member entry at all".to_vec().into()];
        wire
    };
    let far = Federation::after(&first, |next| next.head.version = 9);
    let gap = federation.history.read_offer(&wire(far, &[]));
    assert_eq!(gap, Ok(OfferRead::Settled(Offered::Gap { next: 2 })));
    let (same, more) = (wire(limited(&first, 2), &[2]), wire(limited(&first, 2), &[2, 5]));
    assert_eq!(take(&mut federation.history, &second), Ok(Offered::Accepted));
    let known = Ok(OfferRead::Settled(Offered::Known));
    assert_eq!(federation.history.read_offer(&same), known, "of what we hold one signature");
    // One signature is new: it is taken, beside ours, for the members that we hold.
    assert_eq!(take(&mut federation.history, &more), Ok(Offered::MoreSignatures));
    let held = federation.history.held(&federation.history.current().digest()).expect("held");
    let signed: Vec<u32> = held.signatures().iter().map(|one| one.ordinal).collect();
    assert_eq!((signed, held.members().len()), (vec![1, 2, 3, 5], FOUNDERS.len()));
    let mut wrong = more.clone();
    wrong.signatures[0] = v1::StewardSignature { ordinal: 1, ..wrong.signatures[1].clone() };
    let source = SuccessionError::BadSignature { ordinal: 1 };
    let refused = ReadOfferError::Offer(OfferError::Succession { version: 2, source });
    assert_eq!(federation.history.read_offer(&wrong), Err(refused));
}
