//! Signs what retrieval exchanges, in this member's name and under the charter in force.

use std::sync::Arc;

use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_ledger::member::KeyPurpose;
use sundbro_ledger::retrieval::{Message, RetrievalError, Verified};
use sundbro_ledger::signing::SigningKey;

use crate::charter_book::CharterBook;

/// Our SERVICE key and what it signs under.
pub struct ServiceSigner {
    member: MemberName,
    federation_id: FederationId,
    key: SigningKey,
    charter: Arc<CharterBook>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The charter does not list us as active.
    #[error(
        "charter version {0} does not list this member as active: ask the federation's stewards"
    )]
    NotActive(u64),
    /// The charter does not list our key, or not any more.
    #[error(
        "charter version {0} does not list our SERVICE key: put back the right keys, or have it listed"
    )]
    NotListed(u64),
    /// The message breaks a rule.
    #[error("the message would not be accepted by anybody")]
    Refused(#[source] RetrievalError),
}

impl ServiceSigner {
    /// From our SERVICE key.
    pub fn new(
        member: MemberName,
        federation_id: FederationId,
        key: SigningKey,
        charter: Arc<CharterBook>,
    ) -> Self {
        Self { member, federation_id, key, charter }
    }

    /// In whose name it signs.
    pub fn member(&self) -> &MemberName {
        &self.member
    }

    /// Signs a message that names the charter version in force and the key's ordinal in it.
    ///
    /// # Errors
    /// [`SignError`]; nothing was signed.
    pub fn sign<T: Message>(
        &self,
        make: impl FnOnce(u64, u32) -> T,
    ) -> Result<Verified<T>, SignError> {
        let (version, key_id) = self.named()?;
        Verified::sign(make(version, key_id), &self.key, &self.federation_id)
            .map_err(SignError::Refused)
    }

    /// Charter version and key id that a message signed now names.
    fn named(&self) -> Result<(u64, u32), SignError> {
        let history = self.charter.history();
        let version = history.in_force();
        let entry = history.current().member(&self.member).filter(|entry| entry.is_active());
        let entry = entry.ok_or(SignError::NotActive(version))?;
        let public = self.key.public();
        // The newest one first: whoever signed once with a newer key never uses an older one.
        let listed = entry.keys.iter().rfind(|key| {
            key.purpose == KeyPurpose::Service
                && key.public_key.as_bytes() == public.as_bytes()
                && key.covers(version)
        });
        listed.map(|key| (version, key.key_id)).ok_or(SignError::NotListed(version))
    }
}

impl std::fmt::Debug for ServiceSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceSigner of {}", self.member)
    }
}
