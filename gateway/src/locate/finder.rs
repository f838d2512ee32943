//! Answers who holds which records about a person, from the index, with coverage in every answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sundbro_adapters::subject::LocalSubject;
use sundbro_ledger::ids::{MemberName, RecordId, SubjectTag};
use sundbro_proto::gateway::v1::Coverage;
use sundbro_store::index::{LocateQuery, PointerPage, QueryError, RecordPointer};
use sundbro_store::{Store, StoreError};

use super::coverage::{self, Epochs, Terms};
use crate::charter_book::CharterBook;
use crate::hub::PeerTable;
use crate::reason::{self, Reason};
use crate::status::{Culprit, Fault, Retry, Situation};
use crate::subject::{SubjectKeys, tag};

/// What locating works with.
pub struct LocateContext {
    /// Us.
    pub member: MemberName,
    /// The index.
    pub store: Arc<Store>,
    /// The charter in force.
    pub charter: Arc<CharterBook>,
    /// What is known about other gateways.
    pub peers: Arc<PeerTable>,
    /// The keys of the subject epochs.
    pub subjects: Arc<SubjectKeys>,
    /// How old the knowledge about a peer may be in a complete answer.
    pub coverage_max_age: Duration,
}

/// Whose records are wanted.
pub enum Person {
    /// By identifier: searched in every epoch whose key is here.
    Identified(LocalSubject),
    /// By tag: searched as it is, in its epoch alone.
    Tagged(SubjectTag),
}

/// Which of their records, and which page.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Only this class: system and code.
    pub class: Option<(String, String)>,
    /// Only records whose period ends after this, seconds since 1970.
    pub period_start: Option<i64>,
    /// Only records whose period starts before this.
    pub period_end: Option<i64>,
    /// Only records of this member.
    pub custodian: Option<MemberName>,
    /// Whether withdrawn records are listed too.
    pub show_withdrawn: bool,
    /// 1 to 500.
    pub page_size: usize,
    /// Empty: at the start.
    pub page_token: Vec<u8>,
}

/// Pointers, and how much was looked at.
pub struct Located {
    /// One page.
    pub page: PointerPage,
    /// Coverage of the answer.
    pub coverage: Coverage,
}

/// Why nothing was located.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// The token is not one of ours.
    #[error("the page token is not one that this request was given: start again without it")]
    BadPageToken,
    /// The index has no such record.
    #[error("{0} is not in the index: the coverage of an answer says which logs may have more")]
    UnknownRecord(String),
    /// Our own disk failed.
    #[error("the index could not be read")]
    Store(#[from] StoreError),
}

/// Locates records. Every method blocks.
pub struct Finder {
    context: LocateContext,
}

impl Finder {
    /// Reads from these.
    pub fn new(context: LocateContext) -> Arc<Self> {
        Arc::new(Self { context })
    }

    /// The records of a person.
    ///
    /// # Errors
    /// [`LocateError::BadPageToken`], or when the disk fails.
    pub fn locate(&self, person: &Person, wanted: Wanted) -> Result<Located, LocateError> {
        let tags = match person {
            Person::Identified(subject) => tag::tags_for_locating(subject, &self.context.subjects),
            Person::Tagged(tag) => vec![*tag],
        };
        let mut searched: Vec<u32> = tags.iter().map(|tag| tag.epoch).collect();
        searched.sort_unstable();
        searched.dedup();
        // Before the search: what arrives in between makes the answer better than what it says.
        let coverage = self.coverage_of(Some(searched))?;
        let query = LocateQuery {
            tags,
            class: wanted.class,
            period_start: wanted.period_start,
            period_end: wanted.period_end,
            custodian: wanted.custodian,
            show_withdrawn: wanted.show_withdrawn,
            page_size: wanted.page_size,
            page_token: wanted.page_token,
        };
        let page = match query.tags.is_empty() {
            // No key of any epoch is here: nothing was searched, and the coverage says so.
            true => PointerPage::default(),
            false => self.context.store.locate(&query)?,
        };
        Ok(Located { page, coverage })
    }

    /// One record.
    ///
    /// # Errors
    /// [`LocateError::UnknownRecord`], or when the disk fails.
    pub fn record(&self, record: &RecordId) -> Result<(RecordPointer, Coverage), LocateError> {
        let coverage = self.coverage()?;
        let pointer = self.context.store.record(record)?;
        let unknown = || LocateError::UnknownRecord(record.resource_name());
        Ok((pointer.ok_or_else(unknown)?, coverage))
    }

    /// Our own records, newest first.
    ///
    /// # Errors
    /// [`LocateError::BadPageToken`], or when the disk fails.
    pub fn own_records(&self, size: usize, token: &[u8]) -> Result<PointerPage, LocateError> {
        let store = &self.context.store;
        Ok(store.records_of(&store.identity().own_log, size, token)?)
    }

    /// Coverage of all that is here, as if every epoch whose key is here were searched.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn coverage(&self) -> Result<Coverage, StoreError> {
        self.coverage_of(None)
    }

    /// The store that is read.
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// The charter by which is judged.
    pub fn charter(&self) -> &CharterBook {
        &self.context.charter
    }

    fn coverage_of(&self, searched: Option<Vec<u32>>) -> Result<Coverage, StoreError> {
        let LocateContext { member, store, charter, peers, subjects, coverage_max_age } =
            &self.context;
        let history = charter.history();
        let held = subjects.epochs();
        let epochs = Epochs {
            charter: history.subject_epochs().iter().map(|epoch| epoch.epoch).collect(),
            searched: searched.unwrap_or_else(|| held.clone()),
            held,
        };
        let terms = Terms {
            max_age: *coverage_max_age,
            now: Instant::now(),
            charter_version: history.in_force(),
        };
        let logs = coverage::logs(store, &history, &peers.views(), member)?;
        Ok(coverage::coverage(&logs, &epochs, terms))
    }
}

impl From<QueryError> for LocateError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(error) => Self::Store(error),
            _ => Self::BadPageToken,
        }
    }
}

impl Fault for LocateError {
    fn culprit(&self) -> Culprit {
        match self {
            Self::BadPageToken | Self::UnknownRecord(_) => Culprit::Caller,
            Self::Store(_) => Culprit::Us,
        }
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        match self {
            Self::BadPageToken => reason::INVALID_FIELD,
            Self::UnknownRecord(_) => reason::UNKNOWN_RECORD,
            Self::Store(_) => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::BadPageToken => Situation::InvalidField("page_token".to_owned()),
            Self::UnknownRecord(_) => Situation::NotFound,
            Self::Store(_) => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::UnknownRecord(record) => vec![("record", record.clone())],
            _ => Vec::new(),
        }
    }
}
