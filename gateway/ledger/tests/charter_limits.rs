//! Every limit of a charter: what is exactly as large is read, one more is refused.

mod common;

use common::{FOUNDERS, Federation, key};
use prost::Message as _;
use sundbro_ledger::charter::{
    Charter, CharterError, CharterHead, CharterLimits, HeadError, MAX_AUTHORITIES, MAX_BRANCHES,
    MAX_CERTIFICATE_LEN, MAX_CHARTER_LEN, MAX_SIGNATURES, MAX_STEWARDS, MAX_SUBJECT_EPOCHS,
    Quorums,
};
use sundbro_ledger::history::ReadOfferError;
use sundbro_ledger::member::{
    Endpoint, MAX_IDENTIFIERS, MAX_KEYS, MAX_LOG_EPOCHS, MAX_ROLES, MemberEntry, MemberError,
};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

/// A head with this many of something, read; `None` when nothing is wrong with it.
fn head_with(count: usize, put: fn(&mut v1::CharterHead, usize)) -> Option<HeadError> {
    let federation = Federation::found();
    let bytes = federation.history.current().head_bytes().clone();
    let mut head = v1::CharterHead::decode(bytes).expect("a head");
    put(&mut head, count);
    CharterHead::parse(&head.encode_to_vec()).err()
}

/// A member entry with this many of something, read.
fn entry_with(count: usize, put: fn(&mut v1::MemberEntry, usize)) -> Option<MemberError> {
    let bytes = common::Member::new(HOSPITAL).entry.to_bytes();
    let mut entry = v1::MemberEntry::decode(bytes).expect("an entry");
    put(&mut entry, count);
    MemberEntry::parse(&entry.encode_to_vec()).err()
}

/// Ascending digests.
fn digests(count: usize) -> impl Iterator<Item = bytes::Bytes> {
    (0..count).map(|number| [&[0; 24], &(number as u64).to_be_bytes()[..]].concat().into())
}

fn previous(head: &mut v1::CharterHead, count: usize) {
    (head.version, head.previous) = (2, digests(count).collect());
}

fn branches(head: &mut v1::CharterHead, count: usize) {
    let branch = |log_id: bytes::Bytes| v1::LogBranch { root: log_id.clone(), log_id, size: 1 };
    head.branches = digests(count).map(branch).collect();
}

fn stewards(head: &mut v1::CharterHead, count: usize) {
    let steward = |ordinal: u32| v1::Steward {
        ordinal,
        name: "Office".into(),
        public_key: key(&ordinal.to_string()).public().as_bytes().to_vec().into(),
    };
    head.stewards = (1..=u32::try_from(count).expect("few")).map(steward).collect();
    head.threshold = u32::try_from(count).expect("few");
}

fn authorities(head: &mut v1::CharterHead, count: usize) {
    let authority = |number: usize| {
        use sha2::Digest as _;
        let certificate = vec![0x30; 64 + number];
        v1::CertificateAuthority {
            certificate_sha256: sha2::Sha256::digest(&certificate).to_vec().into(),
            certificate: certificate.into(),
            members: Vec::new(),
        }
    };
    head.authorities = (0..count).map(authority).collect();
    head.authorities.sort_by(|a, b| a.certificate_sha256.cmp(&b.certificate_sha256));
}

fn certificate(head: &mut v1::CharterHead, len: usize) {
    use sha2::Digest as _;
    let certificate = vec![0x30; len];
    head.authorities.truncate(1);
    head.authorities[0].certificate_sha256 = sha2::Sha256::digest(&certificate).to_vec().into();
    head.authorities[0].certificate = certificate.into();
}

fn subject_epochs(head: &mut v1::CharterHead, count: usize) {
    let like = head.subject_epochs[0].clone();
    let epochs = 1..=u32::try_from(count).expect("few");
    head.subject_epochs = epochs.map(|epoch| v1::SubjectEpoch { epoch, ..like.clone() }).collect();
}

#[test]
fn a_head_may_be_full_and_no_fuller() {
    type Put = fn(&mut v1::CharterHead, usize);
    let long = "has no certificate, or one longer than 8,192 bytes";
    let limits: [(&str, usize, Put, HeadError); 6] = [
        ("previous heads", MAX_BRANCHES, previous, HeadError::Previous),
        ("branches", MAX_BRANCHES, branches, HeadError::Branches),
        ("stewards", MAX_STEWARDS, stewards, HeadError::StewardOrder),
        ("authorities", MAX_AUTHORITIES, authorities, HeadError::AuthorityOrder),
        (
            "bytes of a certificate",
            MAX_CERTIFICATE_LEN,
            certificate,
            HeadError::Authority { place: 0, problem: long },
        ),
        ("subject epochs", MAX_SUBJECT_EPOCHS, subject_epochs, HeadError::SubjectEpochs),
    ];
    for (what, limit, put, over) in limits {
        assert_eq!(head_with(limit, put), None, "{limit} {what}");
        assert_eq!(head_with(limit + 1, put), Some(over.clone()), "{limit} {what} and one");
        assert_eq!(head_with(limit + 2, put), Some(over), "{limit} {what} and two");
    }
}

fn identifiers(entry: &mut v1::MemberEntry, count: usize) {
    let one = |number: usize| v1::RegisterIdentifier {
        system: format!("urn:system:{number:03}"),
        value: "1".into(),
    };
    entry.identifiers = (0..count).map(one).collect();
}

fn roles(entry: &mut v1::MemberEntry, count: usize) {
    entry.roles = (1..=i32::try_from(count).expect("few")).collect();
}

fn log_epochs(entry: &mut v1::MemberEntry, count: usize) {
    let end = v1::LogEnd { size: 1, root: vec![1; 32].into() };
    let epochs = 1..=u32::try_from(count).expect("few");
    let closed = |epoch| v1::LogEpoch { epoch, end: Some(end.clone()) };
    entry.log_epochs = epochs.map(closed).collect();
}

fn keys(entry: &mut v1::MemberEntry, count: usize) {
    let like = entry.keys[2].clone();
    let one = |key_id: u32| v1::MemberKey {
        key_id,
        public_key: key(&key_id.to_string()).public().as_bytes().to_vec().into(),
        ..like.clone()
    };
    entry.keys = (1..=u32::try_from(count).expect("few")).map(one).collect();
}

#[test]
fn a_member_entry_may_be_full_and_no_fuller() {
    type Put = fn(&mut v1::MemberEntry, usize);
    let limits: [(&str, usize, Put, MemberError); 4] = [
        ("identifiers", MAX_IDENTIFIERS, identifiers, MemberError::Identifiers),
        ("roles", MAX_ROLES, roles, MemberError::Roles),
        ("log epochs", MAX_LOG_EPOCHS, log_epochs, MemberError::LogEpochs),
        ("keys", MAX_KEYS, keys, MemberError::TooManyKeys),
    ];
    for (what, limit, put, over) in limits {
        assert_eq!(entry_with(limit, put), None, "{limit} {what}");
        assert_eq!(entry_with(limit + 1, put), Some(over.clone()), "{limit} {what} and one");
        assert_eq!(entry_with(limit + 2, put), Some(over), "{limit} {what} and two");
    }
}

#[test]
fn a_host_may_have_253_bytes_and_no_more() {
    let endpoint = |len: usize| {
        let host = format!("{}{}", "a.".repeat(120), "b".repeat(len - 240));
        Endpoint::new(&format!("{host}:1")).map(|endpoint| endpoint.to_string())
    };
    assert!(endpoint(253).is_ok_and(|text| text.len() == 255));
    assert!(endpoint(254).is_err() && endpoint(255).is_err());
}

/// A charter that is padded to a length: whatever else is wrong with it, its length is looked at first.
fn padded(len: usize) -> v1::Charter {
    let mut wire = Federation::found().history.current().to_wire();
    let before = wire.encoded_len();
    // Tag, and a length of three bytes.
    wire.members.push(vec![0; len - before - 4].into());
    assert_eq!(wire.encoded_len(), len);
    wire
}

#[test]
fn a_charter_may_fill_its_frame_and_no_more() {
    let too_long = |len| CharterError::TooLong { len };
    let history = Federation::found().history;
    let at_limit = padded(MAX_CHARTER_LEN);
    assert!(matches!(Charter::from_wire(&at_limit), Err(CharterError::Member { place: 5, .. })));
    assert!(history.read_offer(&at_limit).is_ok(), "its head is known");
    for len in [MAX_CHARTER_LEN + 1, MAX_CHARTER_LEN + 2] {
        let wire = padded(len);
        assert_eq!(Charter::from_wire(&wire), Err(too_long(len)));
        assert_eq!(history.read_offer(&wire), Err(ReadOfferError::Charter(too_long(len))));
    }
}

#[test]
fn a_charter_may_have_128_signatures_and_no_more() {
    let with = |count: usize| {
        let mut wire = Federation::found().history.current().to_wire();
        let one = wire.signatures[0].clone();
        let ordinals = 1..=u32::try_from(count).expect("few");
        let signed = |ordinal| v1::StewardSignature { ordinal, ..one.clone() };
        wire.signatures = ordinals.map(signed).collect();
        Charter::from_wire(&wire).err()
    };
    assert_eq!(with(MAX_SIGNATURES), None);
    assert_eq!(with(MAX_SIGNATURES + 1), Some(CharterError::Signatures));
}

#[test]
fn limits_of_0_are_the_defaults() {
    let none = CharterLimits::default();
    assert_eq!((none.max_format(), none.max_log_bytes_per_day()), (1, 1 << 30));
    let written = CharterLimits { written_max_format: 3, written_max_log_bytes_per_day: 5 };
    assert_eq!((written.max_format(), written.max_log_bytes_per_day()), (3, 5));
}

#[test]
fn default_quorums_meet_however_many_are_active() {
    let federation = Federation::found();
    // N others: of N/2 + 1 witnesses and N - witnesses + 1 answers one is the same member.
    for (members, recovery, witness) in [(1, 0, 0), (2, 1, 1), (3, 1, 2), (4, 2, 2), (5, 2, 3)] {
        let charter = federation.successor(|next| {
            next.members = next.members.clone().into_iter().take(members).collect();
            next.head.authorities.clear();
        });
        let quorums = charter.expect("valid by itself").quorums();
        assert_eq!(quorums, Quorums { recovery, witness }, "{members} members");
    }
}
