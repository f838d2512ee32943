//! A charter version that stands more than once, and who may say how the federation goes on from there.
//!
//! Whoever signed two heads of one version broke the one rule that stewards have, so the version that names both is for
//! the others to sign: more than half of those stewards of the version before who did not. Their majority is counted
//! without the former, or a coalition that signs everything could keep a fork open for ever.

use std::collections::BTreeSet;

use super::succession::SuccessionError;
use super::{CharterHead, StewardSignature};
use crate::ids::CharterDigest;

/// One head of a version that stands more than once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForkedHead<'a> {
    pub(crate) head: &'a CharterHead,
    pub(crate) digest: CharterDigest,
    /// All that are known. The stewards in two of these lists signed twice.
    pub(crate) signatures: &'a [StewardSignature],
}

/// Checks that a head heals the version before it: that it names two of its heads at least, and none that is not here.
pub(crate) fn check_names(
    head: &CharterHead,
    forked: &[ForkedHead<'_>],
) -> Result<(), SuccessionError> {
    let version = head.version;
    let is_here = |named: &CharterDigest| forked.iter().any(|one| one.digest == *named);
    match head.previous.len() {
        0 | 1 => Err(SuccessionError::Unhealed { version }),
        _ if head.previous.iter().all(is_here) => Ok(()),
        _ => Err(SuccessionError::OtherPrevious { version }),
    }
}

/// The ordinals that signed more than one of the heads that this head names.
pub(crate) fn signed_twice(head: &CharterHead, forked: &[ForkedHead<'_>]) -> BTreeSet<u32> {
    let mut once = BTreeSet::new();
    let named = forked.iter().filter(|one| head.previous.contains(&one.digest));
    let ordinals = named.flat_map(|one| one.signatures.iter().map(|signature| signature.ordinal));
    ordinals.filter(|ordinal| !once.insert(*ordinal)).collect()
}

/// Checks that more than half of the stewards of the last version in force who did not sign two of the named heads signed
/// the one that heals.
pub(crate) fn check_healers(
    last: &CharterHead,
    head: &CharterHead,
    signatures: &[StewardSignature],
    forked: &[ForkedHead<'_>],
) -> Result<(), SuccessionError> {
    let excluded = signed_twice(head, forked);
    let may = |ordinal: u32| last.steward(ordinal).is_some() && !excluded.contains(&ordinal);
    let entitled = last.stewards.iter().filter(|one| may(one.ordinal)).count();
    let signed = signatures.iter().filter(|one| may(one.ordinal)).count();
    if signed * 2 > entitled {
        return Ok(());
    }
    let needed = entitled / 2 + 1;
    Err(SuccessionError::TooFewHealers { signed, needed, excluded: excluded.len() })
}
