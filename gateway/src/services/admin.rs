//! `AdminService`: how the gateway does, and what operators hand to it. The local door lets operators alone in.

use std::sync::Arc;

use bytes::Bytes;
use sundbro_adapters::item::SourceKey;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::history::Offered;
use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_ledger::subject::{SubjectKey, key_commitment};
use sundbro_proto::admin::v1::admin_service_server::AdminService;
use sundbro_proto::admin::v1::{
    AdapterStatus, Ending, EndingKind, GetStatusRequest, GetStatusResponse, ListOrphansRequest,
    ListOrphansResponse, ListQuarantineRequest, ListQuarantineResponse, OutboxStatus,
    OverrideQuorumRequest, OverrideQuorumResponse, OwnLogStatus, PolicyStatus,
    PublishCharterRequest, PublishCharterResponse, QuarantinedItem, ScrubStatus,
};
use sundbro_store::{Quarantined, ResumeError, Store, StoreError};
use tonic::{Request, Response, Status};

use super::{BadField, StoreFailed, answer, override_quorum, page};
use crate::caller::LocalClient;
use crate::charter_book::{CharterBook, OfferCharterError};
use crate::ingest::Outbox;
use crate::locate::{Finder, LocateError};
use crate::own_reach::{OwnReach, OwnReachReader};
use crate::policy::PolicyState;
use crate::publisher::SigningState;
use crate::reason::{self, Reason};
use crate::scrub::LastScrub;
use crate::status::{self, Culprit, Fault, Retry, Situation};
use crate::subject::SubjectKeys;
use crate::subject::keys::SubjectKeysError;
use crate::tls::{End, EndKind};
use crate::wire;

/// Own records read at once in search of orphans.
const ORPHAN_SCAN: usize = 500;
/// Own records looked at for one answer: most are no orphans, so a page may be empty and still not the last.
const MAX_ORPHAN_SCAN: usize = 20_000;

/// What only the assembled gateway knows.
pub trait Operations: Send + Sync {
    /// Whether our own log is signed.
    fn signing(&self) -> SigningState;

    /// Signs our own log without the answers of other members, and without an end that nobody gives back. Blocking.
    fn override_quorum(&self) -> Result<(), ResumeError>;

    /// The policy in force.
    fn policy(&self) -> PolicyState;

    /// The adapters, as they are now. May block briefly.
    fn adapters(&self) -> Vec<AdapterState>;

    /// What ends by itself, the soonest first.
    fn ends(&self) -> Vec<End>;

    /// The last time that every row of the store was looked at. `None`: not once since our start.
    fn last_scrub(&self) -> Option<LastScrub>;
}

/// How one adapter does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterState {
    /// Its name in the configuration.
    pub name: String,
    /// Why its source cannot be read. `None`: it can.
    pub trouble: Option<String>,
    /// Whether a full scan has been finished since the start.
    pub scanned: bool,
}

/// What the service works with.
pub struct AdminContext {
    /// Us.
    pub member: MemberName,
    /// The federation.
    pub federation_id: FederationId,
    /// When the gateway was started, in seconds since 1970.
    pub started_unix_seconds: i64,
    /// Reads coverage and index.
    pub finder: Arc<Finder>,
    /// Reads how far our own log has come.
    pub reach: Arc<OwnReachReader>,
    /// Counts, quarantine and locators.
    pub store: Arc<Store>,
    /// Takes charters.
    pub charter: Arc<CharterBook>,
    /// Takes the key of a new subject epoch.
    pub subjects: Arc<SubjectKeys>,
    /// What waits to be signed.
    pub outbox: Outbox,
    /// Signing and adapters.
    pub operations: Arc<dyn Operations>,
}

/// Answers `AdminService`.
pub struct AdminApi {
    context: Arc<AdminContext>,
}

impl AdminApi {
    /// With what it works.
    pub fn new(context: AdminContext) -> Self {
        Self { context: Arc::new(context) }
    }
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let context = self.context.clone();
        let read = move || context.status().map_err(StoreFailed);
        answer(read).await.map(Response::new)
    }

    async fn publish_charter(
        &self,
        request: Request<PublishCharterRequest>,
    ) -> Result<Response<PublishCharterResponse>, Status> {
        let (context, request) = (self.context.clone(), request.into_inner());
        let charter_version = answer(move || context.publish(request)).await?;
        Ok(Response::new(PublishCharterResponse { charter_version }))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        let request = request.into_inner();
        let bad = |error: BadField| status::of(&error);
        let size = page::size(request.page_size, 100, 1000).map_err(bad)?;
        let token = page::parse(&request.page_token).map_err(bad)?;
        let context = self.context.clone();
        let read = move || context.store.quarantined(&token, size).map_err(StoreFailed);
        let (items, next) = answer(read).await?;
        Ok(Response::new(ListQuarantineResponse {
            items: items.into_iter().map(item_to_wire).collect(),
            next_page_token: page::token(&next),
        }))
    }

    async fn list_orphans(
        &self,
        request: Request<ListOrphansRequest>,
    ) -> Result<Response<ListOrphansResponse>, Status> {
        let request = request.into_inner();
        let bad = |error: BadField| status::of(&error);
        let size = page::size(request.page_size, 100, 1000).map_err(bad)?;
        let token = page::parse(&request.page_token).map_err(bad)?;
        let context = self.context.clone();
        answer(move || context.orphans(size, token)).await.map(Response::new)
    }

    async fn override_quorum(
        &self,
        request: Request<OverrideQuorumRequest>,
    ) -> Result<Response<OverrideQuorumResponse>, Status> {
        let client = LocalClient::of(&request)?.name().to_owned();
        let reason = override_quorum::reason_name(request.into_inner().reason())
            .map_err(|error| status::of(&error))?;
        let context = self.context.clone();
        let (store, operations) = (context.store.clone(), context.operations.clone());
        let done = move || override_quorum::override_quorum(&store, &*operations, &client, reason);
        let size = answer(done).await?;
        Ok(Response::new(OverrideQuorumResponse { size }))
    }
}

impl AdminContext {
    fn status(&self) -> Result<GetStatusResponse, StoreError> {
        // Nothing is wrong with a suspended member's log, and still nothing is signed.
        let inactive = !self.charter.is_active(&self.member);
        let (stopped_reason, stopped_cure) = match self.operations.signing() {
            SigningState::Stopped(stop) | SigningState::Behind(stop) => {
                (stop.reason(), stop.cure())
            }
            _ if inactive => (reason::MEMBER_NOT_ACTIVE.code, reason::MEMBER_NOT_ACTIVE.cure),
            SigningState::Checking => (reason::NO_QUORUM.code, reason::NO_QUORUM.cure),
            SigningState::Signing if self.store.room().is_some_and(|room| room.is_full()) => {
                (reason::DISK_FULL.code, reason::DISK_FULL.cure)
            }
            SigningState::Signing => ("", ""),
        };
        let adapters = self.operations.adapters().into_iter().map(|adapter| {
            let (records, quarantined) = self.store.adapter_counts(&adapter.name)?;
            Ok(AdapterStatus {
                name: adapter.name,
                healthy: adapter.trouble.is_none(),
                cause: adapter.trouble.unwrap_or_default(),
                records,
                quarantined,
                scanned: adapter.scanned,
            })
        });
        Ok(GetStatusResponse {
            member: self.member.to_string(),
            federation_id: Bytes::copy_from_slice(self.federation_id.as_bytes()),
            software: concat!("sundbro/", env!("CARGO_PKG_VERSION")).to_owned(),
            incarnation: self.store.incarnation(),
            signing_stopped_reason: stopped_reason.to_owned(),
            signing_stopped_cure: stopped_cure.to_owned(),
            coverage: Some(self.finder.coverage()?),
            start_time: Some(wire::timestamp_seconds(self.started_unix_seconds)),
            adapters: adapters.collect::<Result<_, StoreError>>()?,
            policy: Some(policy_to_wire(self.operations.policy())),
            endings: self.operations.ends().into_iter().map(end_to_wire).collect(),
            own_log: Some(reach_to_wire(&self.reach.read()?)),
            scrub: self.operations.last_scrub().map(scrub_to_wire),
            outbox: Some(outbox_to_wire(self.outbox.status()?)),
        })
    }

    /// Follows a charter, and keeps the key of the epoch that it begins.
    ///
    /// The key is written last: had it been refused with its charter, it would stand in the way of the right one. Who
    /// is interrupted in between hands both over again.
    fn publish(&self, request: PublishCharterRequest) -> Result<u64, PublishCharterError> {
        let wire = request.charter.unwrap_or_default();
        let charter = Charter::from_wire(&wire).map_err(OfferCharterError::from)?;
        let epoch = charter.head().subject_epochs.last();
        let key = match &request.subject_key[..] {
            [] => None,
            bytes => {
                let bytes = bytes.try_into().map_err(|_| PublishCharterError::SubjectKey)?;
                let (key, epoch) =
                    (SubjectKey::new(bytes), epoch.ok_or(PublishCharterError::SubjectKey)?);
                if key_commitment(epoch.epoch, &key) != epoch.key_commitment {
                    return Err(PublishCharterError::SubjectKey);
                }
                Some((epoch.epoch, key))
            }
        };
        match self.charter.offer(&wire)? {
            Offered::Accepted | Offered::Known | Offered::MoreSignatures => {}
            Offered::Gap { next } => return Err(PublishCharterError::Gap(next)),
            Offered::Fork(evidence) => return Err(PublishCharterError::Forked(evidence.version)),
            Offered::OtherBranch { fetch } => return Err(PublishCharterError::OtherBranch(fetch)),
            Offered::Unhealed { forked } => return Err(PublishCharterError::Forked(forked)),
            Offered::AwaitsHealers { version } => {
                return Err(PublishCharterError::AwaitsHealers(version));
            }
        }
        if let Some((epoch, key)) = key {
            self.subjects.insert(epoch, key)?;
        }
        Ok(self.charter.version())
    }

    /// Own live records that no source derives. Nothing is called an orphan before every adapter has looked.
    fn orphans(&self, size: usize, mut token: Vec<u8>) -> Result<ListOrphansResponse, LocateError> {
        let scans_finished = self.operations.adapters().iter().all(|adapter| adapter.scanned);
        let mut answer = ListOrphansResponse { scans_finished, ..Default::default() };
        let mut looked_at = 0;
        while scans_finished && answer.records.len() < size && looked_at < MAX_ORPHAN_SCAN {
            // Never more than fit: a page of records has no place inside it to go on from.
            let room = ORPHAN_SCAN.min(size - answer.records.len());
            let page = self.finder.own_records(room, &token)?;
            looked_at += page.pointers.len();
            for pointer in page.pointers.iter().filter(|pointer| !pointer.withdrawn) {
                let locator = self.store.locator_of(&pointer.record.id)?;
                if !locator.is_some_and(|locator| locator.live) {
                    answer.records.push(pointer.record.resource_name());
                }
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        if scans_finished {
            answer.next_page_token = page::token(&token);
        }
        Ok(answer)
    }
}

fn policy_to_wire(state: PolicyState) -> PolicyStatus {
    let (reason, message) = match state.trouble {
        Some((reason, message)) => (reason.code, message),
        None => ("", String::new()),
    };
    PolicyStatus {
        sha256: Bytes::copy_from_slice(&state.sha256),
        rules: u32::try_from(state.rules).unwrap_or(u32::MAX),
        trouble_reason: reason.to_owned(),
        trouble: message,
    }
}

fn reach_to_wire(reach: &OwnReach) -> OwnLogStatus {
    OwnLogStatus {
        size: reach.size,
        replicated_size: reach.replicated_size(),
        witnessed_size: reach.witnessed_size(),
        witness_quorum: u32::try_from(reach.quorum).unwrap_or(u32::MAX),
    }
}

fn scrub_to_wire(last: LastScrub) -> ScrubStatus {
    ScrubStatus {
        finish_time: Some(wire::timestamp_seconds(last.unix_seconds)),
        findings: last.findings,
    }
}

fn outbox_to_wire((status, full): (sundbro_store::OutboxStatus, bool)) -> OutboxStatus {
    let since = status.since_unix_seconds.map(wire::timestamp_seconds);
    OutboxStatus { waiting: status.drafts, since, full }
}

fn end_to_wire(end: End) -> Ending {
    let kind = match end.kind {
        EndKind::Certificate => EndingKind::Certificate,
        EndKind::RevocationList => EndingKind::RevocationList,
        EndKind::Authority => EndingKind::Ca,
    };
    Ending {
        kind: kind.into(),
        name: end.name,
        end_time: Some(wire::timestamp_seconds(end.unix_seconds)),
    }
}

fn item_to_wire(item: Quarantined) -> QuarantinedItem {
    QuarantinedItem {
        adapter: item.adapter,
        source_key: SourceKey::from_bytes(item.source_key).for_operator(),
        reason: item.reason,
        message: item.message,
        time: Some(wire::timestamp_seconds(item.unix_seconds)),
    }
}

/// Why a charter was not published.
#[derive(Debug, thiserror::Error)]
enum PublishCharterError {
    #[error("the charter was not taken")]
    Offer(#[from] OfferCharterError),
    #[error("the subject key is not the one that the charter's newest epoch commits to")]
    SubjectKey,
    #[error("charter version {0} is missing here: hand it over first")]
    Gap(u64),
    #[error(
        "the charter follows another version {0} than the one here: hand over that version first"
    )]
    OtherBranch(u64),
    #[error(
        "charter version {0} exists twice: stewards must heal it; the one before stays in force"
    )]
    Forked(u64),
    #[error(
        "charter version {0} heals a fork and is not signed by more than half of the stewards who did not sign two of \
         its heads: collect the other signatures, and hand over every copy of the heads that is signed by others"
    )]
    AwaitsHealers(u64),
    #[error(
        "the charter is in force, but its subject key could not be written: hand both over again"
    )]
    KeyNotWritten(#[from] SubjectKeysError),
}

impl Fault for PublishCharterError {
    fn culprit(&self) -> Culprit {
        match self {
            Self::Offer(OfferCharterError::Store(_)) | Self::KeyNotWritten(_) => Culprit::Us,
            _ => Culprit::Caller,
        }
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Offer(OfferCharterError::Store(_)) | Self::KeyNotWritten(_) => reason::INTERNAL,
            Self::Offer(_) | Self::SubjectKey => reason::INVALID_FIELD,
            Self::Gap(_) | Self::OtherBranch(_) => reason::CHARTER_GAP,
            Self::Forked(_) | Self::AwaitsHealers(_) => reason::CHARTER_FORKED,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::Offer(OfferCharterError::Store(_)) | Self::KeyNotWritten(_) => {
                Situation::OurFault
            }
            Self::Offer(_) => Situation::InvalidField("charter".to_owned()),
            Self::SubjectKey => Situation::InvalidField("subject_key".to_owned()),
            Self::Gap(_) | Self::OtherBranch(_) | Self::Forked(_) | Self::AwaitsHealers(_) => {
                Situation::Precondition("charter".to_owned())
            }
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            // Which rule a charter breaks is the operator's to know; it names members and versions, no people.
            Self::Offer(error) => vec![("problem", status::chain(error))],
            Self::Gap(version)
            | Self::OtherBranch(version)
            | Self::Forked(version)
            | Self::AwaitsHealers(version) => vec![("charter_version", version.to_string())],
            _ => Vec::new(),
        }
    }
}
