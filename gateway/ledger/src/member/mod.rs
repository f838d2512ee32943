//! One member as the charter lists it: who it is, where its gateway listens, and every key it ever had.
//!
//! A [`MemberEntry`] that came from bytes keeps every rule that can be judged on one entry alone. What one charter
//! version may change in it is in [`charter`](crate::charter).

mod endpoint;
mod key;

use std::collections::BTreeSet;

use bytes::Bytes;
use sundbro_proto::ledger::v1;

pub use self::endpoint::{Endpoint, EndpointError, MAX_ENDPOINT_LEN};
pub use self::key::{KeyPurpose, MemberKey, PublicKey};
use crate::canonical::{self, CanonicalError, strictly_ascending};
use crate::fields::{array, closed_enum, field, fits_and_says, open_enum};
use crate::ids::{IdError, MemberName, RootHash};

/// Longest member entry in bytes. With [`MAX_KEYS`] keys of at most 64 bytes there is room to spare.
pub const MAX_ENTRY_LEN: usize = 65_536;

/// Most keys of one member: every key it ever had, so five purposes changed monthly for eight years.
pub const MAX_KEYS: usize = 512;

/// Most log epochs of one member. An epoch ends only after a disaster.
pub const MAX_LOG_EPOCHS: usize = 64;

/// Most register identifiers of one member.
pub const MAX_IDENTIFIERS: usize = 16;

/// Most roles of one member.
pub const MAX_ROLES: usize = 16;

/// Longest display name in bytes.
pub const MAX_DISPLAY_NAME_LEN: usize = 200;

closed_enum! {
    /// Whether a member takes part.
    MemberState {
        /// It publishes, replicates and retrieves.
        Active = 1,
        /// It gets charters and nothing else; its log still spreads among the others.
        Suspended = 2,
        /// It is no longer a member; its log stays.
        Left = 3,
    }
}

open_enum! {
    /// What kind of organisation a member is. For people; no rule reads it.
    MemberRole {
        /// A general practice.
        GeneralPractice = 1,
        /// A hospital.
        Hospital = 2,
        /// A laboratory.
        Laboratory = 3,
        /// A municipality.
        Municipality = 4,
        /// A region's own services.
        Region = 5,
    }
}

/// An identifier of an organisation in a public register (SOR, CVR, GLN).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegisterIdentifier {
    /// URI of the register; OIDs as `urn:oid:…`. At most 256 bytes.
    pub system: String,
    /// The identifier in it. At most 128 bytes.
    pub value: String,
}

/// The end of a log epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// Final tree size: no entry at or above this position is valid.
    pub size: u64,
    /// Final root hash.
    pub root: RootHash,
}

/// One epoch of a member's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEpoch {
    /// From 1.
    pub epoch: u32,
    /// With what it ended. `None`: it is being written.
    pub end: Option<LogEnd>,
}

/// One member as the charter lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberEntry {
    /// An identity, not an address.
    pub name: MemberName,
    /// What people read. At most 200 bytes.
    pub display_name: String,
    /// Ascending by system and value.
    pub identifiers: Vec<RegisterIdentifier>,
    /// Ascending by number.
    pub roles: Vec<MemberRole>,
    /// Whether it takes part.
    pub state: MemberState,
    /// Where its gateway listens.
    pub endpoint: Endpoint,
    /// Every key it ever had, ascending by key id.
    pub keys: Vec<MemberKey>,
    /// Every epoch of its log, 1, 2, 3; at least one.
    pub log_epochs: Vec<LogEpoch>,
}

/// Why bytes are not a member entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// Too long, or not the canonical encoding.
    #[error("the member entry is not canonical")]
    Canonical(#[from] CanonicalError),
    /// The name is not a domain name in lower case.
    #[error("the member entry has no valid name")]
    Name(#[source] IdError),
    /// The display name is empty, too long, or holds a control character.
    #[error("the display name is empty, longer than 200 bytes, or holds a control character")]
    DisplayName,
    /// Register identifiers are too many, empty, too long, out of order or there twice.
    #[error("the register identifiers must ascend by system and value, at most 16, none empty")]
    Identifiers,
    /// Roles are too many, unspecified, out of order or there twice.
    #[error("the roles must ascend, at most 16, none unspecified")]
    Roles,
    /// The state is none that is defined.
    #[error("the member state is unspecified or unknown")]
    State,
    /// The endpoint is not `host:port`.
    #[error("the member entry has no valid endpoint")]
    Endpoint(#[source] EndpointError),
    /// There are more keys than a member may have.
    #[error("the member has more than 512 keys")]
    TooManyKeys,
    /// Key ids start at 1 and ascend.
    #[error("the key ids must start at 1 or above and ascend, none twice")]
    KeyOrder,
    /// The purpose is none that is defined.
    #[error("key {key_id} has an unspecified or unknown purpose")]
    KeyPurpose {
        /// The key.
        key_id: u32,
    },
    /// SEALING keys are X25519, all others Ed25519.
    #[error("key {key_id} has another algorithm than its purpose asks for")]
    KeyAlgorithm {
        /// The key.
        key_id: u32,
    },
    /// Not 32 bytes, not canonical, with torsion, or of small order.
    #[error("key {key_id} is not a key that can be admitted: make a new one")]
    BadKey {
        /// The key.
        key_id: u32,
    },
    /// A public key stands twice: a second id would undo the revocation of the first.
    #[error("key {key_id} has the same public key as an earlier one: make a new one")]
    SameKeyTwice {
        /// The later of the two.
        key_id: u32,
    },
    /// TRANSACTION and CHECKPOINT keys name a log epoch of the member, other keys none.
    #[error("key {key_id} names a log epoch that the member does not have, or must not name one")]
    KeyLogEpoch {
        /// The key.
        key_id: u32,
    },
    /// A written `to` of 0.
    #[error("key {key_id} ends at 0: leave `to` out for an open range")]
    KeyRange {
        /// The key.
        key_id: u32,
    },
    /// Log epochs are not 1, 2, 3, or are too many or none.
    #[error("the log epochs must be 1, 2, 3 without gaps, at least one and at most 64")]
    LogEpochs,
    /// Only the last epoch of a log can still be written.
    #[error("log epoch {epoch} is followed by another one but has no end")]
    LogEpochWithoutEnd {
        /// The epoch.
        epoch: u32,
    },
    /// The final root of an ended epoch is not 32 bytes.
    #[error("log epoch {epoch} ends without a root hash of 32 bytes")]
    LogEnd {
        /// The epoch.
        epoch: u32,
    },
}

impl MemberEntry {
    /// Reads an entry from its canonical bytes and checks every rule that holds for one entry alone.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, MemberError> {
        let wire: v1::MemberEntry = canonical::decode(bytes, MAX_ENTRY_LEN)?;
        let entry = Self::from_wire(&wire)?;
        entry.validate()?;
        Ok(entry)
    }

    /// Its canonical bytes: what a leaf of the charter's `members_root` covers.
    pub fn to_bytes(&self) -> Bytes {
        canonical::encode(&v1::MemberEntry {
            name: self.name.as_str().to_owned(),
            display_name: self.display_name.clone(),
            identifiers: self.identifiers.iter().map(identifier_to_wire).collect(),
            roles: self.roles.iter().map(|role| role.to_wire()).collect(),
            state: self.state.to_wire(),
            endpoint: self.endpoint.as_str().to_owned(),
            keys: self.keys.iter().map(MemberKey::to_wire).collect(),
            log_epochs: self.log_epochs.iter().map(log_epoch_to_wire).collect(),
        })
        .into()
    }

    /// Checks what the types do not: counts, order, ranges, and that what is named exists.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn validate(&self) -> Result<(), MemberError> {
        if !fits_and_says(&self.display_name, MAX_DISPLAY_NAME_LEN) {
            return Err(MemberError::DisplayName);
        }
        let says = |one: &RegisterIdentifier| {
            fits_and_says(&one.system, 256) && fits_and_says(&one.value, 128)
        };
        if self.identifiers.len() > MAX_IDENTIFIERS
            || !self.identifiers.iter().all(says)
            || !strictly_ascending(&self.identifiers)
        {
            return Err(MemberError::Identifiers);
        }
        if self.roles.len() > MAX_ROLES
            || !strictly_ascending(self.roles.iter().map(|role| role.to_wire()))
        {
            return Err(MemberError::Roles);
        }
        self.validate_log_epochs()?;
        self.validate_keys()
    }

    /// The key with this id.
    pub fn key(&self, key_id: u32) -> Option<&MemberKey> {
        let place = self.keys.binary_search_by_key(&key_id, |key| key.key_id).ok()?;
        self.keys.get(place)
    }

    /// The log epoch of this number.
    pub fn log_epoch(&self, epoch: u32) -> Option<&LogEpoch> {
        // Epochs are 1, 2, 3 without gaps.
        self.log_epochs.get(usize::try_from(epoch.checked_sub(1)?).ok()?)
    }

    /// The CHECKPOINT keys of a log epoch that cover a tree size: none above the end of an ended one. Size 0 is covered by
    /// the first one alone: no range starts below it, and an empty log must be sayable.
    pub fn checkpoint_keys(&self, epoch: u32, size: u64) -> impl Iterator<Item = &MemberKey> {
        let of_epoch =
            move |key: &&MemberKey| key.purpose == KeyPurpose::Checkpoint && key.log_epoch == epoch;
        let first = self.keys.iter().find(of_epoch).map(|key| key.key_id);
        let end = self.log_epoch(epoch).and_then(|epoch| epoch.end);
        let ended = end.is_some_and(|end| size > end.size);
        self.keys.iter().filter(of_epoch).filter(move |key| match size {
            _ if ended => false,
            0 => Some(key.key_id) == first,
            size => key.covers(size),
        })
    }

    /// Whether the member takes part.
    pub fn is_active(&self) -> bool {
        self.state == MemberState::Active
    }

    fn from_wire(wire: &v1::MemberEntry) -> Result<Self, MemberError> {
        let role = |&role: &i32| MemberRole::from_wire(role).ok_or(MemberError::Roles);
        Ok(Self {
            name: MemberName::new(&wire.name).map_err(MemberError::Name)?,
            display_name: wire.display_name.clone(),
            identifiers: wire.identifiers.iter().map(identifier_from_wire).collect(),
            roles: wire.roles.iter().map(role).collect::<Result<_, _>>()?,
            state: MemberState::from_wire(wire.state).ok_or(MemberError::State)?,
            endpoint: Endpoint::new(&wire.endpoint).map_err(MemberError::Endpoint)?,
            keys: wire.keys.iter().map(MemberKey::from_wire).collect::<Result<_, _>>()?,
            log_epochs: wire
                .log_epochs
                .iter()
                .map(log_epoch_from_wire)
                .collect::<Result<_, _>>()?,
        })
    }

    fn validate_log_epochs(&self) -> Result<(), MemberError> {
        let counted = (1u32..).zip(&self.log_epochs).all(|(number, epoch)| number == epoch.epoch);
        if !counted || self.log_epochs.is_empty() || self.log_epochs.len() > MAX_LOG_EPOCHS {
            return Err(MemberError::LogEpochs);
        }
        let followed = self.log_epochs.iter().rev().skip(1);
        match followed.rev().find(|epoch| epoch.end.is_none()) {
            Some(open) => Err(MemberError::LogEpochWithoutEnd { epoch: open.epoch }),
            None => Ok(()),
        }
    }

    fn validate_keys(&self) -> Result<(), MemberError> {
        if self.keys.len() > MAX_KEYS {
            return Err(MemberError::TooManyKeys);
        }
        let starts_at_zero = self.keys.first().is_some_and(|key| key.key_id == 0);
        if starts_at_zero || !strictly_ascending(self.keys.iter().map(|key| key.key_id)) {
            return Err(MemberError::KeyOrder);
        }
        let mut seen = BTreeSet::new();
        for key in &self.keys {
            let key_id = key.key_id;
            if (key.purpose == KeyPurpose::Sealing)
                != matches!(key.public_key, PublicKey::X25519(_))
            {
                return Err(MemberError::KeyAlgorithm { key_id });
            }
            if !seen.insert(key.public_key.as_bytes()) {
                return Err(MemberError::SameKeyTwice { key_id });
            }
            let epoch_fits = match key.purpose {
                KeyPurpose::Transaction | KeyPurpose::Checkpoint => {
                    self.log_epoch(key.log_epoch).is_some()
                }
                _ => key.log_epoch == 0,
            };
            if !epoch_fits {
                return Err(MemberError::KeyLogEpoch { key_id });
            }
            if key.to == Some(0) {
                return Err(MemberError::KeyRange { key_id });
            }
        }
        Ok(())
    }
}

fn identifier_from_wire(wire: &v1::RegisterIdentifier) -> RegisterIdentifier {
    RegisterIdentifier { system: wire.system.clone(), value: wire.value.clone() }
}

fn identifier_to_wire(one: &RegisterIdentifier) -> v1::RegisterIdentifier {
    v1::RegisterIdentifier { system: one.system.clone(), value: one.value.clone() }
}

fn log_epoch_from_wire(wire: &v1::LogEpoch) -> Result<LogEpoch, MemberError> {
    let epoch = wire.epoch;
    let end = |end: &v1::LogEnd| {
        let root = array(&end.root).map(RootHash::new).ok_or(MemberError::LogEnd { epoch });
        root.map(|root| LogEnd { size: end.size, root })
    };
    Ok(LogEpoch { epoch, end: wire.end.as_ref().map(end).transpose()? })
}

fn log_epoch_to_wire(one: &LogEpoch) -> v1::LogEpoch {
    let end = |end: LogEnd| v1::LogEnd { size: end.size, root: field(end.root.as_bytes()) };
    v1::LogEpoch { epoch: one.epoch, end: one.end.map(end) }
}
