//! The charter: the federation's constitution, and the rules by which one version may follow another.
//!
//! A [`Charter`] keeps every rule that can be judged on one version alone, signatures aside: who had to sign it depends
//! on the version before. [`CharterHistory`](crate::history::CharterHistory) judges that, and holds only what passed.

mod head;
mod healing;
mod succession;
mod wire;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use sundbro_proto::ledger::v1;

pub(crate) use self::head::digest_of;
pub use self::head::{
    CertificateAuthority, CharterHead, CharterLimits, Environment, HeadError, LogBranch,
    MAX_AUTHORITIES, MAX_BRANCHES, MAX_CERTIFICATE_LEN, MAX_HEAD_LEN, MAX_STEWARDS,
    MAX_SUBJECT_EPOCHS, Steward, SubjectEpoch,
};
pub(crate) use self::healing::{ForkedHead, signed_twice};
pub use self::succession::SuccessionError;
pub(crate) use self::succession::{
    check_head_succession, check_member, check_member_succession, check_signers, verify_signatures,
};
use crate::canonical::strictly_ascending;
use crate::fields::field;
use crate::ids::{CharterDigest, MemberName, RootHash};
use crate::member::{MemberEntry, MemberError};
use crate::merkle::{Frontier, leaf_hash};
use crate::signing::Signature;

/// Longest charter in bytes, head, signatures and members together: one fits into a frame of 1 MiB with room for what
/// stands around it.
pub const MAX_CHARTER_LEN: usize = (1 << 20) - 4096;

/// Most signatures on one head: the stewards of the version before and those whom it adds.
pub const MAX_SIGNATURES: usize = 2 * MAX_STEWARDS;

/// One steward's signature over a head, purpose `charter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StewardSignature {
    /// The steward.
    pub ordinal: u32,
    /// Not judged yet.
    pub signature: Signature,
}

/// How many other members must answer, with the defaults of the charter filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    /// Before a restarted gateway signs.
    pub recovery: u32,
    /// Before an entry counts as witnessed.
    pub witness: u32,
}

/// One charter version as it travels: a head, signatures that nothing has judged yet, and the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charter {
    head: CharterHead,
    head_bytes: Bytes,
    digest: CharterDigest,
    signatures: Vec<StewardSignature>,
    members: BTreeMap<MemberName, MemberEntry>,
}

/// Why a message is not a charter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CharterError {
    /// It would not fit into a frame.
    #[error("the charter has {len} bytes, the limit is 1,044,480")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The head breaks a rule.
    #[error("the charter head breaks a rule")]
    Head(#[from] HeadError),
    /// A signature is not 64 bytes, out of order, there twice, or one too many.
    #[error("the signatures must ascend by ordinal, none twice, each 64 bytes, at most 128")]
    Signatures,
    /// A member entry breaks a rule.
    #[error("member {place} of the charter breaks a rule")]
    Member {
        /// Its place in the list, from 0.
        place: usize,
        /// Which rule.
        source: Box<MemberError>,
    },
    /// Member entries are out of order or there twice.
    #[error("the members must ascend by name, none twice")]
    MemberOrder,
    /// The entries are not those that the head commits to.
    #[error("the member entries do not hash to the count and root of the charter head")]
    MembersRoot,
    /// An authority may certify somebody whom the charter does not list.
    #[error("a certificate authority may certify {name}, which is no member: add the member first")]
    UnknownCertifiedMember {
        /// The name.
        name: MemberName,
    },
    /// Quorums that could let a restarted gateway miss what was witnessed.
    #[error(
        "the quorums are recovery {recovery} and witness {witness} of {others} other active members: leave both \
         at 0, or let both lie between 1 and {others} and add up to more than {others}"
    )]
    Quorums {
        /// As written.
        recovery: u32,
        /// As written.
        witness: u32,
        /// Active members less one.
        others: u32,
    },
}

impl Charter {
    /// Reads a charter and checks every rule that holds for one version alone. Its signatures are judged by
    /// [`CharterHistory`](crate::history::CharterHistory), which knows who had to sign.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn from_wire(wire: &v1::Charter) -> Result<Self, CharterError> {
        let len = wire.encoded_len();
        if len > MAX_CHARTER_LEN {
            return Err(CharterError::TooLong { len });
        }
        let head = CharterHead::parse(&wire.head)?;
        let signatures = signatures_from_wire(&wire.signatures).ok_or(CharterError::Signatures)?;
        let members = parse_members(&wire.members)?;
        if members_root(&wire.members) != (head.members_count, head.members_root) {
            return Err(CharterError::MembersRoot);
        }
        let digest = digest_of(&wire.head);
        let charter = Self { head, head_bytes: wire.head.clone(), digest, signatures, members };
        charter.validate()?;
        Ok(charter)
    }

    /// As [`from_wire`](Self::from_wire), for a head and signatures that were read, and judged, before. The root comes
    /// first, so that no key is looked at that the head does not commit to.
    pub(crate) fn from_signed_head(
        head: CharterHead,
        signatures: Vec<StewardSignature>,
        wire: &v1::Charter,
    ) -> Result<Self, CharterError> {
        if members_root(&wire.members) != (head.members_count, head.members_root) {
            return Err(CharterError::MembersRoot);
        }
        let members = parse_members(&wire.members)?;
        let digest = digest_of(&wire.head);
        let charter = Self { head, head_bytes: wire.head.clone(), digest, signatures, members };
        charter.validate()?;
        Ok(charter)
    }

    /// As it travels.
    pub fn to_wire(&self) -> v1::Charter {
        v1::Charter {
            head: self.head_bytes.clone(),
            signatures: signatures_to_wire(&self.signatures),
            members: self.members.values().map(MemberEntry::to_bytes).collect(),
        }
    }

    /// The head.
    pub fn head(&self) -> &CharterHead {
        &self.head
    }

    /// The head's canonical bytes: what stewards signed.
    pub fn head_bytes(&self) -> &Bytes {
        &self.head_bytes
    }

    /// SHA-256 of the head's bytes.
    pub fn digest(&self) -> CharterDigest {
        self.digest
    }

    /// From 1.
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// Ascending by ordinal.
    pub fn signatures(&self) -> &[StewardSignature] {
        &self.signatures
    }

    /// All members, whatever their state.
    pub fn members(&self) -> &BTreeMap<MemberName, MemberEntry> {
        &self.members
    }

    /// The entry of one member.
    pub fn member(&self, name: &MemberName) -> Option<&MemberEntry> {
        self.members.get(name)
    }

    /// The members that take part, in order of name.
    pub fn active_members(&self) -> impl Iterator<Item = &MemberEntry> {
        self.members.values().filter(|member| member.is_active())
    }

    /// Whether the charter lets this CA certify this member for TLS.
    pub fn may_certify(&self, certificate_sha256: &[u8; 32], member: &MemberName) -> bool {
        let authorities = &self.head.authorities;
        let place =
            authorities.binary_search_by_key(certificate_sha256, |one| one.certificate_sha256);
        let authority = place.ok().and_then(|place| authorities.get(place));
        authority.is_some_and(|authority| authority.members.binary_search(member).is_ok())
    }

    /// The quorums in force. With N = active members less one the defaults are witness ⌊N/2⌋+1 and recovery
    /// N − witness + 1, or both 0 where N = 0: so every recovery meets a member that witnessed.
    pub fn quorums(&self) -> Quorums {
        let CharterHead { recovery_quorum: recovery, witness_quorum: witness, .. } = self.head;
        let others = self.other_active_members();
        match (recovery, witness, others) {
            (0, 0, 0) => Quorums { recovery: 0, witness: 0 },
            (0, 0, others) => {
                let witness = others / 2 + 1;
                Quorums { recovery: others - witness + 1, witness }
            }
            (recovery, witness, _) => Quorums { recovery, witness },
        }
    }

    /// Adds signatures of the same head by other stewards. Of two signatures of one steward the smaller stays, so that the
    /// order in which they came leaves no trace. Returns whether anything changed.
    pub(crate) fn take_signatures(&mut self, others: Vec<StewardSignature>) -> bool {
        let mut changed = false;
        for theirs in others {
            match self.signatures.binary_search_by_key(&theirs.ordinal, |one| one.ordinal) {
                Ok(place) => {
                    let ours = &mut self.signatures[place];
                    if theirs.signature.as_bytes() < ours.signature.as_bytes() {
                        *ours = theirs;
                        changed = true;
                    }
                }
                Err(place) => {
                    self.signatures.insert(place, theirs);
                    changed = true;
                }
            }
        }
        changed
    }

    pub(crate) fn into_signatures(self) -> Vec<StewardSignature> {
        self.signatures
    }

    fn other_active_members(&self) -> u32 {
        let active = u32::try_from(self.active_members().count()).unwrap_or(u32::MAX);
        active.saturating_sub(1)
    }

    fn validate(&self) -> Result<(), CharterError> {
        let certified = self.head.authorities.iter().flat_map(|authority| &authority.members);
        for name in certified {
            if !self.members.contains_key(name) {
                return Err(CharterError::UnknownCertifiedMember { name: name.clone() });
            }
        }
        let CharterHead { recovery_quorum: recovery, witness_quorum: witness, .. } = self.head;
        let others = self.other_active_members();
        let fits = |quorum: u32| (1..=others).contains(&quorum);
        let meet = u64::from(recovery) + u64::from(witness) > u64::from(others);
        if (recovery, witness) != (0, 0) && !(fits(recovery) && fits(witness) && meet) {
            return Err(CharterError::Quorums { recovery, witness, others });
        }
        Ok(())
    }
}

/// Count and RFC 6962 root over canonical member entries in order of name: what a head commits to.
pub fn members_root(entries: &[Bytes]) -> (u64, RootHash) {
    let mut frontier = Frontier::new();
    for entry in entries {
        frontier.append(leaf_hash(entry));
    }
    (frontier.size(), frontier.root())
}

fn parse_members(entries: &[Bytes]) -> Result<BTreeMap<MemberName, MemberEntry>, CharterError> {
    let mut members: BTreeMap<MemberName, MemberEntry> = BTreeMap::new();
    for (place, bytes) in entries.iter().enumerate() {
        let member = MemberEntry::parse(bytes)
            .map_err(|source| CharterError::Member { place, source: Box::new(source) })?;
        if members.last_key_value().is_some_and(|(last, _)| *last >= member.name) {
            return Err(CharterError::MemberOrder);
        }
        members.insert(member.name.clone(), member);
    }
    Ok(members)
}

pub(crate) fn signatures_from_wire(wire: &[v1::StewardSignature]) -> Option<Vec<StewardSignature>> {
    if wire.len() > MAX_SIGNATURES || !strictly_ascending(wire.iter().map(|one| one.ordinal)) {
        return None;
    }
    let typed = |one: &v1::StewardSignature| {
        let signature = Signature::try_from(&one.signature[..]).ok()?;
        Some(StewardSignature { ordinal: one.ordinal, signature })
    };
    wire.iter().map(typed).collect()
}

pub(crate) fn signatures_to_wire(signatures: &[StewardSignature]) -> Vec<v1::StewardSignature> {
    let wire = |one: &StewardSignature| v1::StewardSignature {
        ordinal: one.ordinal,
        signature: field(one.signature.as_bytes()),
    };
    signatures.iter().map(wire).collect()
}
