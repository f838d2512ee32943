//! Which charter version may follow which: what may change, and who must have signed it.
//!
//! As TUF does with its root: version n+1 is signed by a threshold of the stewards of version n. What a receipt can
//! check, with heads and without member lists, stands in functions of its own.

use std::collections::BTreeMap;

use super::healing::{ForkedHead, check_healers, check_names};
use super::{CharterHead, Environment, LogBranch, Steward, StewardSignature};
use crate::ids::{CharterDigest, FederationId, LogId, MemberName};
use crate::member::{LogEpoch, MemberEntry, MemberKey, MemberState};
use crate::signing::Purpose;

/// Why a charter version does not follow the one before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// `previous` names another head than the one we have.
    #[error("version {version} follows another head than our version before it")]
    OtherPrevious {
        /// The version offered.
        version: u64,
    },
    /// `previous` names several heads, and the version before stands once.
    #[error(
        "version {version} heals a fork of the version before it, of which only one head is here"
    )]
    HealsNothing {
        /// The version offered.
        version: u64,
    },
    /// `previous` names one head, and the version before stands more than once.
    #[error(
        "version {version} follows one head of a version that stands twice: it has to name all of them"
    )]
    Unhealed {
        /// The version offered.
        version: u64,
    },
    /// Too few of those who did not sign two heads of the version before signed the one that heals.
    #[error(
        "{signed} of the {needed} stewards needed have signed, {excluded} who signed two heads of the version before \
         not counted: collect the other signatures"
    )]
    TooFewHealers {
        /// How many of those who may heal did.
        signed: usize,
        /// How many must.
        needed: usize,
        /// How many stewards signed two heads, and do not count.
        excluded: usize,
    },
    /// A signature of somebody who is a steward neither of the version before nor of this one.
    #[error("steward {ordinal} is none: only stewards of the version before and added ones sign")]
    UnknownSteward {
        /// The ordinal.
        ordinal: u32,
    },
    /// A signature does not verify.
    #[error("the signature of steward {ordinal} is wrong")]
    BadSignature {
        /// The ordinal.
        ordinal: u32,
    },
    /// Too few stewards of the version before signed.
    #[error(
        "{signed} of the {threshold} stewards needed have signed: collect the other signatures"
    )]
    TooFewSignatures {
        /// How many did.
        signed: usize,
        /// How many must.
        threshold: u32,
    },
    /// Whoever becomes a steward says so with a signature.
    #[error("steward {ordinal} is added but has not signed")]
    AddedStewardNotSigned {
        /// The ordinal.
        ordinal: u32,
    },
    /// An ordinal that another key had, or has.
    #[error(
        "steward ordinal {ordinal} belonged to another key: take an ordinal that was never used"
    )]
    StewardOrdinalReused {
        /// The ordinal.
        ordinal: u32,
    },
    /// PRODUCTION is for ever.
    #[error("a production charter never becomes a test charter again")]
    BackToTest,
    /// A subject epoch was taken away or changed.
    #[error("subject epochs are only ever added")]
    SubjectEpochsChanged,
    /// A branch that was named is named no more, or another one in its place.
    #[error(
        "the branch of log {log} that goes on was named before: it stays named, and only grows"
    )]
    BranchTakenBack {
        /// The log.
        log: LogId,
    },
    /// Somebody who knows the newest key is out, and it is still the newest.
    #[error("{name} is suspended or leaves: add a subject epoch with a new key")]
    NoNewSubjectEpoch {
        /// The member.
        name: MemberName,
    },
    /// A member was taken off the list.
    #[error("{name} is missing: a member that leaves stays listed as LEFT")]
    MemberMissing {
        /// The member.
        name: MemberName,
    },
    /// A key was taken off the list, or something else than its `to` changed, or that was raised or taken away.
    #[error("key {key_id} of {name} must stay as it was: only its `to` may be set or lowered")]
    KeyChanged {
        /// The member.
        name: MemberName,
        /// The key.
        key_id: u32,
    },
    /// A new key with an id below one that was listed before: a log would take it for an older key.
    #[error("key {key_id} of {name} is new: give it an id above {last}, the last one listed")]
    NewKeyIdNotAbove {
        /// The member.
        name: MemberName,
        /// The key.
        key_id: u32,
        /// The largest id of the version before.
        last: u32,
    },
    /// A new key whose range holds nothing.
    #[error("key {key_id} of {name} ends before it starts")]
    NewKeyCoversNothing {
        /// The member.
        name: MemberName,
        /// The key.
        key_id: u32,
    },
    /// A log epoch was taken off the list, or its end changed.
    #[error("log epoch {epoch} of {name} must stay as it was: only an open one may end")]
    LogEpochChanged {
        /// The member.
        name: MemberName,
        /// The epoch.
        epoch: u32,
    },
}

/// Checks what can be judged with heads alone: that `head` follows the last of `before`, which are the versions in force
/// from 1 on. Where the version just before it stands more than once, `forked` are its heads, and `head` must heal it.
///
/// With `before` empty `head` is version 1, and only its signatures remain to be judged.
pub(crate) fn check_head_succession<'a>(
    before: impl DoubleEndedIterator<Item = (&'a CharterHead, CharterDigest)>,
    forked: &[ForkedHead<'_>],
    head: &CharterHead,
) -> Result<(), SuccessionError> {
    let mut before = before.rev().peekable();
    let version = head.version;
    let Some(&(last, last_digest)) = before.peek() else {
        return if version == 1 { Ok(()) } else { Err(SuccessionError::OtherPrevious { version }) };
    };
    let before_it = forked.first().map_or(last.version, |one| one.head.version);
    if before_it.checked_add(1) != Some(version) {
        return Err(SuccessionError::OtherPrevious { version });
    }
    match forked {
        [] if head.previous.len() > 1 => return Err(SuccessionError::HealsNothing { version }),
        [] if head.previous != [last_digest] => {
            return Err(SuccessionError::OtherPrevious { version });
        }
        [] => {}
        forked => check_names(head, forked)?,
    }
    if (last.environment, head.environment) == (Environment::Production, Environment::Test) {
        return Err(SuccessionError::BackToTest);
    }
    if !head.subject_epochs.starts_with(&last.subject_epochs) {
        return Err(SuccessionError::SubjectEpochsChanged);
    }
    check_branches(last, head)?;
    let kept = |steward: &Steward| {
        last.steward(steward.ordinal).is_some_and(|before| before.key == steward.key)
    };
    let added: Vec<u32> =
        head.stewards.iter().filter(|one| !kept(one)).map(|one| one.ordinal).collect();
    if added.is_empty() {
        return Ok(());
    }
    for (earlier, _) in before {
        if let Some(&ordinal) = added.iter().find(|ordinal| earlier.steward(**ordinal).is_some()) {
            return Err(SuccessionError::StewardOrdinalReused { ordinal });
        }
    }
    Ok(())
}

/// Checks that every branch named before is still named, at the same size with the same root or at a larger one. So the
/// newest version says all, and entries that a branch left out stay out.
fn check_branches(last: &CharterHead, head: &CharterHead) -> Result<(), SuccessionError> {
    for before in &last.branches {
        let now = head.branches.iter().find(|now| now.log_id == before.log_id);
        let goes_on = |now: &LogBranch| now == before || now.size > before.size;
        if !now.is_some_and(goes_on) {
            return Err(SuccessionError::BranchTakenBack { log: before.log_id });
        }
    }
    Ok(())
}

/// Checks every signature that is there, be it enough or not. Version 1 has no `last`.
pub(crate) fn verify_signatures(
    last: Option<&CharterHead>,
    head: &CharterHead,
    head_bytes: &[u8],
    signatures: &[StewardSignature],
    federation: &FederationId,
) -> Result<(), SuccessionError> {
    // What is signed names the federation; version 1 is what gives it its name.
    let federation = if last.is_some() { federation } else { &FederationId::FOUNDING };
    for StewardSignature { ordinal, signature } in signatures {
        let ordinal = *ordinal;
        let steward = last
            .and_then(|last| last.steward(ordinal))
            .or_else(|| head.steward(ordinal))
            .ok_or(SuccessionError::UnknownSteward { ordinal })?;
        steward
            .key
            .verify(Purpose::Charter, federation, head_bytes, signature)
            .map_err(|_| SuccessionError::BadSignature { ordinal })?;
    }
    Ok(())
}

/// Checks that enough stewards signed: a threshold of those of the last version in force, or of a version that heals
/// more than half of those who may heal, and every one that this version adds. Version 1 (`last` is `None`) adds all of
/// its own.
pub(crate) fn check_signers(
    last: Option<&CharterHead>,
    forked: &[ForkedHead<'_>],
    head: &CharterHead,
    signatures: &[StewardSignature],
) -> Result<(), SuccessionError> {
    let before = |ordinal: u32| last.and_then(|last| last.steward(ordinal));
    let of_last = signatures.iter().filter(|one| before(one.ordinal).is_some()).count();
    match last {
        Some(last) if !forked.is_empty() => check_healers(last, head, signatures, forked)?,
        Some(last) if of_last < last.threshold as usize => {
            let threshold = last.threshold;
            return Err(SuccessionError::TooFewSignatures { signed: of_last, threshold });
        }
        _ => {}
    }
    let signed = |ordinal: u32| signatures.iter().any(|one| one.ordinal == ordinal);
    let silent = |one: &&Steward| before(one.ordinal).is_none() && !signed(one.ordinal);
    match head.stewards.iter().find(silent) {
        Some(steward) => Err(SuccessionError::AddedStewardNotSigned { ordinal: steward.ordinal }),
        None => Ok(()),
    }
}

/// Checks what one version may change in the member list. Version 1 has no `last`.
pub(crate) fn check_member_succession(
    last: Option<(&CharterHead, &BTreeMap<MemberName, MemberEntry>)>,
    (head, members): (&CharterHead, &BTreeMap<MemberName, MemberEntry>),
) -> Result<(), SuccessionError> {
    for now in members.values() {
        check_new_keys(last.and_then(|(_, before)| before.get(&now.name)), now)?;
    }
    let Some((last, members_before)) = last else { return Ok(()) };
    let new_subject_epoch = head.newest_subject_epoch() > last.newest_subject_epoch();
    for (name, before) in members_before {
        let now = members
            .get(name)
            .ok_or_else(|| SuccessionError::MemberMissing { name: name.clone() })?;
        check_member(before, now)?;
        if before.state != now.state && now.state != MemberState::Active && !new_subject_epoch {
            return Err(SuccessionError::NoNewSubjectEpoch { name: name.clone() });
        }
    }
    Ok(())
}

/// Checks what may change between two entries of one member, be they of neighbouring versions or not.
pub(crate) fn check_member(before: &MemberEntry, now: &MemberEntry) -> Result<(), SuccessionError> {
    for key in &before.keys {
        if !now.key(key.key_id).is_some_and(|later| later.continues(key)) {
            let (name, key_id) = (now.name.clone(), key.key_id);
            return Err(SuccessionError::KeyChanged { name, key_id });
        }
    }
    // A log goes back to no lower id, so the order of ids has to be the order in which keys were listed.
    let last = before.keys.last().map_or(0, |key| key.key_id);
    let below = |key: &&MemberKey| key.key_id < last && before.key(key.key_id).is_none();
    if let Some(key) = now.keys.iter().find(below) {
        let (name, key_id) = (now.name.clone(), key.key_id);
        return Err(SuccessionError::NewKeyIdNotAbove { name, key_id, last });
    }
    for LogEpoch { epoch, end } in &before.log_epochs {
        let same = match now.log_epoch(*epoch) {
            None => false,
            Some(later) => end.is_none() || later.end == *end,
        };
        if !same {
            let (name, epoch) = (now.name.clone(), *epoch);
            return Err(SuccessionError::LogEpochChanged { name, epoch });
        }
    }
    Ok(())
}

/// A key may be revoked back to before its start, so an empty range is fine later, but a key that enters with one is a
/// mistake.
fn check_new_keys(before: Option<&MemberEntry>, now: &MemberEntry) -> Result<(), SuccessionError> {
    let listed = |key_id| before.is_some_and(|before| before.key(key_id).is_some());
    let empty =
        now.keys.iter().find(|key| !listed(key.key_id) && key.to.is_some_and(|to| to <= key.from));
    match empty {
        Some(key) => {
            Err(SuccessionError::NewKeyCoversNothing { name: now.name.clone(), key_id: key.key_id })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charter::CharterLimits;
    use crate::ids::RootHash;

    fn head(version: u64, previous: &[u8]) -> CharterHead {
        CharterHead {
            version,
            previous: previous.iter().map(|&byte| CharterDigest::new([byte; 32])).collect(),
            branches: Vec::new(),
            environment: Environment::Test,
            stewards: Vec::new(),
            threshold: 0,
            authorities: Vec::new(),
            recovery_quorum: 0,
            witness_quorum: 0,
            limits: CharterLimits::default(),
            subject_epochs: Vec::new(),
            members_count: 0,
            members_root: RootHash::new([0; 32]),
        }
    }

    // A history sorts out by place what does not follow; a receipt brings heads that nobody has sorted.
    #[test]
    fn a_head_follows_the_one_version_before_it() {
        let first = head(1, &[]);
        let check = |next: &CharterHead| {
            let before = [(&first, CharterDigest::new([7; 32]))].into_iter();
            check_head_succession(before, &[], next)
        };
        let other = |version| Err(SuccessionError::OtherPrevious { version });
        assert_eq!(check(&head(2, &[7])), Ok(()));
        assert_eq!(check(&head(2, &[8])), other(2), "the version, but another head before it");
        assert_eq!(check(&head(3, &[7])), other(3), "the head before it, but another version");
        let heals = check(&head(2, &[7, 8]));
        assert_eq!(heals, Err(SuccessionError::HealsNothing { version: 2 }));
    }
}
