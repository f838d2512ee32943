//! Drafts of the next charter version: what stewards change, collect signatures for, and publish.
//!
//! A [`Draft`] is changed by named steps; [`Draft::propose`] checks it against every rule and fixes its bytes; a
//! [`Proposal`] then only gathers signatures. Bytes come in and go out; where they are kept is the caller's business.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use crate::card::{CardError, verify_card, verify_renewal};
use crate::charter::{
    CertificateAuthority, Charter, CharterError, CharterHead, CharterLimits, Environment,
    LogBranch, Steward, StewardSignature, SubjectEpoch, members_root, signatures_to_wire,
};
use crate::history::{CharterHistory, OfferError};
use crate::ids::{CharterDigest, FederationId, MemberName};
use crate::member::{Endpoint, MemberEntry, MemberState};
use crate::signing::{Purpose, SigningKey, VerifyingKey};

/// Why a step of a draft, or a proposal, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// Two heads of one version are valid; healing them is another thing than a next version.
    #[error(
        "charter version {version} stands twice: propose a version that heals it with `--heal`"
    )]
    Forked {
        /// The version.
        version: u64,
    },
    /// There is no fork.
    #[error("no charter version stands twice: there is nothing to heal")]
    NotForked,
    /// A card that cannot be believed.
    #[error("the member card is not valid")]
    Card(#[from] CardError),
    /// Somebody is added twice.
    #[error("{name} is a member already: replace its entry instead")]
    AlreadyMember {
        /// The member.
        name: MemberName,
    },
    /// Whoever enters takes part.
    #[error("the card of {name} says that it does not take part: make one with state ACTIVE")]
    NotActive {
        /// The member.
        name: MemberName,
    },
    /// Somebody is changed who is no member.
    #[error("{name} is no member")]
    NoSuchMember {
        /// The name.
        name: MemberName,
    },
    /// A key is changed that the member does not have.
    #[error("{name} has no key {key_id}")]
    NoSuchKey {
        /// The member.
        name: MemberName,
        /// The key.
        key_id: u32,
    },
    /// Somebody signs who is no steward.
    #[error("the key is that of no steward of this version or the one before")]
    NotASteward,
    /// Signatures on other bytes than these.
    #[error("the signatures are for another proposal: compare the digests")]
    OtherProposal,
    /// A rule for one version is broken.
    #[error("the draft breaks a rule of charters")]
    Charter(#[from] CharterError),
    /// A rule for what may follow is broken, or signatures are missing or wrong.
    #[error("the draft cannot follow the charter in force")]
    Succession(#[from] OfferError),
}

/// The next version, while it is being changed.
#[derive(Debug, Clone)]
pub struct Draft {
    history: Option<CharterHistory>,
    head: CharterHead,
    members: BTreeMap<MemberName, MemberEntry>,
}

impl Draft {
    /// Version 1 of a new federation, empty.
    pub fn found(environment: Environment) -> Self {
        let (members_count, members_root) = members_root(&[]);
        let head = CharterHead {
            version: 1,
            previous: Vec::new(),
            branches: Vec::new(),
            environment,
            stewards: Vec::new(),
            threshold: 0,
            authorities: Vec::new(),
            recovery_quorum: 0,
            witness_quorum: 0,
            limits: CharterLimits::default(),
            subject_epochs: Vec::new(),
            members_count,
            members_root,
        };
        Self { history: None, head, members: BTreeMap::new() }
    }

    /// The version after the one in force, with nothing changed yet.
    ///
    /// # Errors
    /// Fails when the next version stands twice.
    pub fn next(history: &CharterHistory) -> Result<Self, DraftError> {
        if let Some(version) = history.forked_version() {
            return Err(DraftError::Forked { version });
        }
        let current = history.current();
        Ok(Self::after(history, current.version(), vec![current.digest()]))
    }

    /// The version that heals a fork: it names every head of the version that stands more than once, and otherwise says what
    /// the version in force says, until it is changed.
    ///
    /// More than half of those stewards of the version in force who did not sign two of the heads must sign it;
    /// [`Proposal::signed_twice`] says who did.
    ///
    /// # Errors
    /// Fails when no version stands twice.
    pub fn heal(history: &CharterHistory) -> Result<Self, DraftError> {
        let heads: Vec<&Charter> = history.unhealed().collect();
        let version = heads.first().ok_or(DraftError::NotForked)?.version();
        // In order of digest, as a head names them.
        let previous = heads.iter().map(|head| head.digest()).collect();
        Ok(Self::after(history, version, previous))
    }

    fn after(history: &CharterHistory, version: u64, previous: Vec<CharterDigest>) -> Self {
        let current = history.current();
        let version = version.saturating_add(1);
        let head = CharterHead { version, previous, ..current.head().clone() };
        Self { history: Some(history.clone()), head, members: current.members().clone() }
    }

    /// The head as it stands; count and root of the members are filled in by [`propose`](Self::propose).
    pub fn head(&self) -> &CharterHead {
        &self.head
    }

    /// The members as they stand.
    pub fn members(&self) -> &BTreeMap<MemberName, MemberEntry> {
        &self.members
    }

    /// Adds a steward under the first ordinal that was never used, and gives it. The threshold becomes a majority.
    pub fn add_steward(&mut self, name: &str, key: VerifyingKey) -> u32 {
        let before = self.history.iter().flat_map(CharterHistory::charters).map(Charter::head);
        let used = before.chain([&self.head]).flat_map(|head| &head.stewards);
        let ordinal = used.map(|one| one.ordinal).max().unwrap_or(0).saturating_add(1);
        self.head.stewards.push(Steward { ordinal, name: name.to_owned(), key });
        self.set_majority();
        ordinal
    }

    /// Takes a steward out; its ordinal is never used again. The threshold becomes a majority.
    pub fn remove_steward(&mut self, ordinal: u32) {
        self.head.stewards.retain(|steward| steward.ordinal != ordinal);
        self.set_majority();
    }

    /// How many stewards must sign the version after this one. More than half of them.
    pub fn set_threshold(&mut self, threshold: u32) {
        self.head.threshold = threshold;
    }

    /// Real people from here on. There is no way back.
    pub fn set_environment(&mut self, environment: Environment) {
        self.head.environment = environment;
    }

    /// Limits that all members keep.
    pub fn set_limits(&mut self, limits: CharterLimits) {
        self.head.limits = limits;
    }

    /// Recovery and witness quorum; both 0 for the defaults.
    pub fn set_quorums(&mut self, recovery: u32, witness: u32) {
        (self.head.recovery_quorum, self.head.witness_quorum) = (recovery, witness);
    }

    /// Lets a CA (DER) certify these members, and no others.
    pub fn set_authority(
        &mut self,
        certificate: Bytes,
        members: impl IntoIterator<Item = MemberName>,
    ) {
        let authority = CertificateAuthority::new(certificate, members);
        self.remove_authority(&authority.certificate_sha256);
        self.head.authorities.push(authority);
        self.head.authorities.sort_by_key(|one| one.certificate_sha256);
    }

    /// Takes a CA out, by the digest of its certificate.
    pub fn remove_authority(&mut self, certificate_sha256: &[u8; 32]) {
        self.head.authorities.retain(|one| one.certificate_sha256 != *certificate_sha256);
    }

    /// Starts the next subject epoch with the commitment to its key, and gives its number.
    pub fn add_subject_epoch(&mut self, commitment: impl FnOnce(u32) -> [u8; 32]) -> u32 {
        let epoch = self.head.newest_subject_epoch().saturating_add(1);
        let key_commitment = commitment(epoch);
        self.head.subject_epochs.push(SubjectEpoch { epoch, key_commitment });
        epoch
    }

    /// Adds a member by its card, made for this federation (for the founding, under [`FederationId::FOUNDING`]).
    ///
    /// # Errors
    /// Fails when the card is not valid, the member is there, or its state is not ACTIVE.
    pub fn add_member(&mut self, card: &v1::MemberCard) -> Result<MemberName, DraftError> {
        let entry = verify_card(card, &self.federation())?;
        let name = entry.name.clone();
        if self.members.contains_key(&name) {
            return Err(DraftError::AlreadyMember { name });
        }
        if !entry.is_active() {
            return Err(DraftError::NotActive { name });
        }
        self.members.insert(name.clone(), entry);
        Ok(name)
    }

    /// Replaces a member's entry by a new card of it: another endpoint, keys added or closed.
    ///
    /// The state stays as it was, whatever the card says: whether a member takes part is the stewards' word, by
    /// [`suspend`](Self::suspend), [`let_go`](Self::let_go) and [`reinstate`](Self::reinstate).
    ///
    /// # Errors
    /// Fails when the card is not valid or the member is not there. What may change is checked by
    /// [`propose`](Self::propose).
    pub fn replace_member(&mut self, card: &v1::MemberCard) -> Result<MemberName, DraftError> {
        let named = MemberEntry::parse(&card.entry).map_err(CardError::from)?.name;
        let federation = self.federation();
        let member = self.member(&named)?;
        let entry = verify_renewal(card, member, &federation)?;
        let name = entry.name.clone();
        *member = MemberEntry { state: member.state, ..entry };
        Ok(name)
    }

    /// Suspends a member and starts a subject epoch whose key it does not get.
    ///
    /// # Errors
    /// Fails when there is no such member.
    pub fn suspend(
        &mut self,
        name: &MemberName,
        commitment: impl FnOnce(u32) -> [u8; 32],
    ) -> Result<u32, DraftError> {
        self.member(name)?.state = MemberState::Suspended;
        Ok(self.add_subject_epoch(commitment))
    }

    /// Lets a member go, listed for ever, and starts a subject epoch whose key it does not get.
    ///
    /// # Errors
    /// Fails when there is no such member.
    pub fn let_go(
        &mut self,
        name: &MemberName,
        commitment: impl FnOnce(u32) -> [u8; 32],
    ) -> Result<u32, DraftError> {
        self.member(name)?.state = MemberState::Left;
        Ok(self.add_subject_epoch(commitment))
    }

    /// Lets a member take part again.
    ///
    /// # Errors
    /// Fails when there is no such member.
    pub fn reinstate(&mut self, name: &MemberName) -> Result<(), DraftError> {
        self.member(name)?.state = MemberState::Active;
        Ok(())
    }

    /// Changes where a member's gateway listens.
    ///
    /// # Errors
    /// Fails when there is no such member.
    pub fn set_endpoint(
        &mut self,
        name: &MemberName,
        endpoint: Endpoint,
    ) -> Result<(), DraftError> {
        self.member(name)?.endpoint = endpoint;
        Ok(())
    }

    /// Closes or revokes a key: sets its `to`.
    ///
    /// # Errors
    /// Fails when there is no such member or key.
    pub fn close_key(&mut self, name: &MemberName, key_id: u32, to: u64) -> Result<(), DraftError> {
        let mut keys = self.member(name)?.keys.iter_mut();
        let key = keys.find(|key| key.key_id == key_id);
        let key = key.ok_or_else(|| DraftError::NoSuchKey { name: name.clone(), key_id })?;
        key.to = Some(to);
        Ok(())
    }

    /// Names the branch of an equivocating log that goes on: the tree of this size and root. In place of an earlier branch
    /// of that log.
    pub fn set_branch(&mut self, branch: LogBranch) {
        self.head.branches.retain(|one| one.log_id != branch.log_id);
        self.head.branches.push(branch);
        self.head.branches.sort_by_key(|one| one.log_id);
    }

    /// Fixes the bytes and checks every rule but the number of signatures.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn propose(mut self) -> Result<Proposal, DraftError> {
        let members: Vec<Bytes> = self.members.values().map(MemberEntry::to_bytes).collect();
        (self.head.members_count, self.head.members_root) = members_root(&members);
        let wire = v1::Charter { head: self.head.to_bytes(), signatures: Vec::new(), members };
        Proposal::from_wire(self.history.as_ref(), &wire)
    }

    fn federation(&self) -> FederationId {
        self.history.as_ref().map_or(FederationId::FOUNDING, CharterHistory::federation_id)
    }

    fn member(&mut self, name: &MemberName) -> Result<&mut MemberEntry, DraftError> {
        let member = self.members.get_mut(name);
        member.ok_or_else(|| DraftError::NoSuchMember { name: name.clone() })
    }

    fn set_majority(&mut self) {
        let stewards = u32::try_from(self.head.stewards.len()).unwrap_or(u32::MAX);
        self.head.threshold = stewards / 2 + 1;
    }
}

/// A next version whose bytes are fixed and which gathers signatures. Every one that it holds is right.
#[derive(Debug, Clone)]
pub struct Proposal {
    history: Option<CharterHistory>,
    charter: Charter,
}

impl Proposal {
    /// Reads a proposal, as another steward hands it on: a charter whose signatures may not be enough yet. `None`: for
    /// version 1.
    ///
    /// # Errors
    /// Fails when it breaks a rule, does not follow the charter in force, or holds a wrong signature.
    pub fn from_wire(
        history: Option<&CharterHistory>,
        wire: &v1::Charter,
    ) -> Result<Self, DraftError> {
        let charter = Charter::from_wire(wire)?;
        if let Some(version) = history.and_then(CharterHistory::forked_version)
            && charter.head().previous.len() < 2
        {
            return Err(DraftError::Forked { version });
        }
        CharterHistory::check_proposal(history, &charter)?;
        Ok(Self { history: history.cloned(), charter })
    }

    /// As it travels, with the signatures gathered so far.
    pub fn to_wire(&self) -> v1::Charter {
        self.charter.to_wire()
    }

    /// What is proposed, with the signatures gathered so far.
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The stewards who signed two of the heads that a healing version names, and whose signatures do not count for it.
    pub fn signed_twice(&self) -> BTreeSet<u32> {
        let history = self.history.as_ref();
        history.map(|history| history.signed_twice(self.charter.head())).unwrap_or_default()
    }

    /// Signs as the steward whose key this is, and gives its ordinal. A steward signs one head of each version: whoever
    /// calls this keeps a note of it.
    ///
    /// # Errors
    /// Fails when it is the key of no steward of this version or the one before.
    pub fn sign(&mut self, key: &SigningKey) -> Result<u32, DraftError> {
        let public = key.public();
        let before = self.history.as_ref().map(|history| &history.current().head().stewards);
        let mut stewards = before.into_iter().flatten().chain(&self.charter.head().stewards);
        let steward = stewards.find(|steward| steward.key == public);
        let ordinal = steward.ok_or(DraftError::NotASteward)?.ordinal;
        // Version 1 is what gives the federation its name, so it is signed before there is one.
        let federation = match &self.history {
            Some(history) => history.federation_id(),
            None => FederationId::FOUNDING,
        };
        let signature = key.sign(Purpose::Charter, &federation, self.charter.head_bytes());
        let mut signed = self.to_wire();
        signed.signatures = signatures_to_wire(&[StewardSignature { ordinal, signature }]);
        self.take_signatures(&signed)?;
        Ok(ordinal)
    }

    /// Takes the signatures of a copy that other stewards signed.
    ///
    /// # Errors
    /// Fails when it is another proposal, or a signature is wrong.
    pub fn take_signatures(&mut self, copy: &v1::Charter) -> Result<(), DraftError> {
        let copy = Self::from_wire(self.history.as_ref(), copy)?;
        if copy.charter.digest() != self.charter.digest() {
            return Err(DraftError::OtherProposal);
        }
        self.charter.take_signatures(copy.charter.into_signatures());
        Ok(())
    }

    /// The finished charter, ready to be published.
    ///
    /// # Errors
    /// Fails, and says how many or whose, when signatures are missing.
    pub fn finish(self) -> Result<Charter, DraftError> {
        CharterHistory::check_finished(self.history.as_ref(), &self.charter)?;
        Ok(self.charter)
    }
}
