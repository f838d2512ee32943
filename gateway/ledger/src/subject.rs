//! Subject tags: how an identifier of a person becomes a pseudonym, and how the key to it is named.
//!
//! Nothing here keeps an identifier; it goes into the HMAC and is forgotten.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{FederationId, MemberName, SubjectTag};

/// Scheme 1: HMAC-SHA-256 under the key of the epoch.
pub const SCHEME_HMAC_SHA256: u32 = 1;
/// Length of a subject key in bytes.
pub const SUBJECT_KEY_LEN: usize = 32;

/// A part of the input that is too long for its length prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} is longer than 65,535 bytes")]
pub struct InputTooLong(pub(crate) &'static str);

/// The key of one subject epoch. Whoever has it can test guesses at who a tag is; zeroised when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SubjectKey([u8; SUBJECT_KEY_LEN]);

impl SubjectKey {
    /// From its 32 bytes. The caller draws them and zeroises its own copy.
    pub const fn new(bytes: [u8; SUBJECT_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes: to seal them to a member or to write the key file, nothing else.
    pub const fn expose(&self) -> &[u8; SUBJECT_KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

/// The value of a tag by scheme 1: HMAC-SHA-256(key, `"sundbro/v1/subject\n"` ‖ u16 BE length ‖ system ‖ u16 BE length ‖
/// value).
///
/// `value` is normalised by its profile before; `system` is part of the input, so equal numbers of two systems differ.
///
/// # Errors
/// Fails when a part is longer than 65,535 bytes.
pub fn tag_value(key: &SubjectKey, system: &str, value: &str) -> Result<[u8; 32], InputTooLong> {
    let mut mac = keyed(&key.0).chain_update(b"sundbro/v1/subject\n");
    update_prefixed(&mut mac, system.as_bytes(), "identifier system")?;
    update_prefixed(&mut mac, value.as_bytes(), "identifier")?;
    Ok(mac.finalize().into_bytes().into())
}

/// The tag of a person in one epoch, by scheme 1.
///
/// # Errors
/// As [`tag_value`].
pub fn subject_tag(
    epoch: u32,
    key: &SubjectKey,
    system: &str,
    value: &str,
) -> Result<SubjectTag, InputTooLong> {
    let value = tag_value(key, system, value)?;
    Ok(SubjectTag { scheme: SCHEME_HMAC_SHA256, epoch, value })
}

/// What the charter says of an epoch's key: SHA-256(`"sundbro/v1/subject-key-commitment\n"` ‖ epoch u32 BE ‖ key). The
/// key is random, so it needs no salt.
pub fn key_commitment(epoch: u32, key: &SubjectKey) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"sundbro/v1/subject-key-commitment\n")
        .chain_update(epoch.to_be_bytes())
        .chain_update(key.0)
        .finalize()
        .into()
}

/// `info` of the HPKE seal of a key grant: `"sundbro/v1/subject-key\n"` ‖ federation id ‖ epoch u32 BE ‖ recipient's
/// name. So a sealed key opens for one federation, epoch and member only.
pub fn key_grant_info(federation: &FederationId, epoch: u32, recipient: &MemberName) -> Vec<u8> {
    let purpose = b"sundbro/v1/subject-key\n";
    let epoch = epoch.to_be_bytes();
    [&purpose[..], federation.as_bytes(), &epoch, recipient.as_str().as_bytes()].concat()
}

/// HMAC-SHA-256 under a key of 32 bytes.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Adds a part with its length before it, so that no two lists of parts give the same bytes.
pub(crate) fn update_prefixed(
    mac: &mut Hmac<Sha256>,
    part: &[u8],
    name: &'static str,
) -> Result<(), InputTooLong> {
    let len = u16::try_from(part.len()).map_err(|_| InputTooLong(name))?;
    mac.update(&len.to_be_bytes());
    mac.update(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = "urn:oid:1.2.208.176.1.2";

    fn key() -> SubjectKey {
        SubjectKey::new([5; 32])
    }

    #[test]
    fn a_tag_is_the_hmac_of_the_named_bytes() {
        let input = [b"sundbro/v1/subject\n\x00\x17", SYSTEM.as_bytes(), b"\x00\x0aABCDEF1234"];
        let expected: [u8; 32] =
            keyed(&[5; 32]).chain_update(input.concat()).finalize().into_bytes().into();
        assert_eq!(tag_value(&key(), SYSTEM, "ABCDEF1234"), Ok(expected));
        let tag = subject_tag(3, &key(), SYSTEM, "ABCDEF1234");
        assert_eq!(tag, Ok(SubjectTag { scheme: 1, epoch: 3, value: expected }));
    }

    #[test]
    fn key_system_and_value_each_change_it_and_do_not_run_together() {
        let tag = |key: &SubjectKey, system, value| tag_value(key, system, value).expect("short");
        let all = [
            tag(&key(), "ab", "c"),
            tag(&key(), "a", "bc"),
            tag(&key(), "ab", "d"),
            tag(&SubjectKey::new([6; 32]), "ab", "c"),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
    }

    #[test]
    fn refuses_what_its_length_prefix_cannot_say() {
        let long = "x".repeat(65_536);
        assert_eq!(tag_value(&key(), &long, "1"), Err(InputTooLong("identifier system")));
        assert_eq!(tag_value(&key(), SYSTEM, &long), Err(InputTooLong("identifier")));
        assert!(tag_value(&key(), SYSTEM, &long[..65_535]).is_ok());
    }

    #[test]
    fn commitment_and_info_name_their_epoch() {
        let bytes = [&b"sundbro/v1/subject-key-commitment\n"[..], &[0, 0, 1, 2], &[5; 32]].concat();
        let expected: [u8; 32] = Sha256::digest(bytes).into();
        assert_eq!(key_commitment(258, &key()), expected);
        let member = MemberName::new("gp.example").expect("name");
        let info = key_grant_info(&FederationId::new([4; 32]), 258, &member);
        let parts = [&b"sundbro/v1/subject-key\n"[..], &[4; 32], &[0, 0, 1, 2], b"gp.example"];
        assert_eq!(info, parts.concat());
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", key()), "SubjectKey(…)");
    }
}
