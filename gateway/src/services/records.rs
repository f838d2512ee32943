//! `RecordsService`: local systems locate records everywhere and fetch them from their owners.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sundbro_adapters::profile::Profile;
use sundbro_ledger::ids::{MemberName, RecordId, SubjectTag};
use sundbro_ledger::retrieval::Unit;
use sundbro_ledger::subject::SCHEME_HMAC_SHA256;
use sundbro_proto::gateway::v1::records_service_server::RecordsService;
use sundbro_proto::gateway::v1::retrieve_record_response::Part;
use sundbro_proto::gateway::v1::{
    ContentHeader, GetRecordRequest, GetRecordResponse, ListRecordsRequest, ListRecordsResponse,
    LocateRecordsRequest, LocateRecordsResponse, RetrieveRecordRequest, RetrieveRecordResponse,
    locate_records_request::Subject,
};
use sundbro_proto::ledger::v1;
use tonic::{Request, Response, Status};

use super::{BadField, answer, page};
use crate::caller::LocalClient;
use crate::locate::{Finder, LocateError, Person, Wanted};
use crate::retrieval::NowMillis;
use crate::retrieval::requester::{Ask, Received, Requester};
use crate::status;
use crate::wire;

/// Most pointers in one page, and how many when nothing is said.
const MAX_PAGE: usize = 500;
const DEFAULT_PAGE: usize = 50;

/// What the service works with.
pub struct RecordsContext {
    /// Locates.
    pub finder: Arc<Finder>,
    /// Retrieves.
    pub requester: Arc<Requester>,
    /// By whose rules an identifier that is searched for is normalised.
    pub profile: Profile,
    /// The wall clock, with whose day the notes on an identifier compare.
    pub now_millis: NowMillis,
}

/// Answers `RecordsService`.
pub struct RecordsApi {
    context: RecordsContext,
}

impl RecordsApi {
    /// With what it works.
    pub fn new(context: RecordsContext) -> Self {
        Self { context }
    }

    /// From here the identifier is a `LocalSubject`, and goes no further than its tags.
    fn person(&self, subject: Option<Subject>) -> Result<Person, BadField> {
        match subject {
            None => Err(BadField::new("subject", "is missing: give an identifier or a tag")),
            Some(Subject::Identifier(identifier)) => {
                let now = jiff::Timestamp::from_millisecond((self.context.now_millis)());
                let today = now.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
                let accepted =
                    self.context.profile.accept(&identifier.system, &identifier.value, today);
                let wrong =
                    "is not one that its system issues: check system, length and characters";
                accepted
                    .map(|accepted| Person::Identified(accepted.subject))
                    .map_err(|_| BadField::new("identifier", wrong))
            }
            Some(Subject::Tag(tag)) => {
                if tag.scheme != SCHEME_HMAC_SHA256 {
                    let wrong = "is not 1, the one scheme of this version";
                    return Err(BadField::new("tag.scheme", wrong));
                }
                let wrong = |_| BadField::new("tag.value", "is not 32 bytes");
                let value = tag.value[..].try_into().map_err(wrong)?;
                Ok(Person::Tagged(SubjectTag { scheme: tag.scheme, epoch: tag.epoch, value }))
            }
        }
    }
}

#[tonic::async_trait]
impl RecordsService for RecordsApi {
    type RetrieveRecordStream = BoxStream<'static, Result<RetrieveRecordResponse, Status>>;

    async fn locate_records(
        &self,
        request: Request<LocateRecordsRequest>,
    ) -> Result<Response<LocateRecordsResponse>, Status> {
        let mut request = request.into_inner();
        let bad = |error: BadField| status::of(&error);
        let person = self.person(request.subject.take()).map_err(bad)?;
        let wanted = wanted(request).map_err(bad)?;
        let finder = self.context.finder.clone();
        let located = answer(move || finder.locate(&person, wanted)).await?;
        Ok(Response::new(LocateRecordsResponse {
            pointers: located.page.pointers.iter().map(wire::pointer::pointer).collect(),
            next_page_token: page::token(&located.page.next_page_token),
            coverage: Some(located.coverage),
        }))
    }

    async fn get_record(
        &self,
        request: Request<GetRecordRequest>,
    ) -> Result<Response<GetRecordResponse>, Status> {
        let record = record_id(&request.into_inner().name).map_err(|error| status::of(&error))?;
        let finder = self.context.finder.clone();
        let (pointer, coverage) = answer(move || finder.record(&record)).await?;
        let pointer = Some(wire::pointer::pointer(&pointer));
        Ok(Response::new(GetRecordResponse { pointer, coverage: Some(coverage) }))
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let request = request.into_inner();
        let bad = |error: BadField| status::of(&error);
        let size = page::size(request.page_size, DEFAULT_PAGE, MAX_PAGE).map_err(bad)?;
        let token = page::parse(&request.page_token).map_err(bad)?;
        let finder = self.context.finder.clone();
        let page = answer::<_, LocateError>(move || finder.own_records(size, &token)).await?;
        Ok(Response::new(ListRecordsResponse {
            pointers: page.pointers.iter().map(wire::pointer::pointer).collect(),
            next_page_token: page::token(&page.next_page_token),
        }))
    }

    async fn retrieve_record(
        &self,
        request: Request<RetrieveRecordRequest>,
    ) -> Result<Response<Self::RetrieveRecordStream>, Status> {
        let client = LocalClient::of(&request)?.clone();
        let ask = ask(request.into_inner()).map_err(|error| status::of(&error))?;
        let received = self.context.requester.retrieve(&client, ask).await;
        let received = received.map_err(|error| status::of(&error))?;
        let parts = received.map(|part| part.map(part_to_wire).map_err(|error| status::of(&error)));
        Ok(Response::new(parts.boxed()))
    }
}

fn record_id(name: &str) -> Result<RecordId, BadField> {
    let wrong = |_| BadField::new("name", "is not members/<member>/records/<32 hex digits>");
    RecordId::parse(name).map_err(wrong)
}

fn wanted(request: LocateRecordsRequest) -> Result<Wanted, BadField> {
    let custodian = match request.custodian.as_str() {
        "" => None,
        name => {
            let wrong = |_| BadField::new("custodian", "is not a member name");
            Some(MemberName::new(name).map_err(wrong)?)
        }
    };
    let class = match request.class {
        Some(class) if class.system.is_empty() || class.code.is_empty() => {
            return Err(BadField::new("class", "needs a system and a code"));
        }
        class => class.map(|class| (class.system, class.code)),
    };
    Ok(Wanted {
        class,
        period_start: request.period_start.map(|time| time.seconds),
        period_end: request.period_end.map(|time| time.seconds),
        custodian,
        show_withdrawn: request.show_withdrawn,
        page_size: page::size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?,
        page_token: page::parse(&request.page_token)?,
    })
}

fn ask(request: RetrieveRecordRequest) -> Result<Ask, BadField> {
    let purpose = v1::PurposeOfUse::try_from(request.purpose);
    let break_glass = v1::BreakGlassReason::try_from(request.break_glass_reason);
    Ok(Ask {
        record: record_id(&request.name)?,
        version: request.version,
        user: request.user,
        role: request.role,
        unit: request.unit.map(|unit| Unit { system: unit.system, value: unit.value }),
        purpose: purpose.map_err(|_| BadField::new("purpose", "is not one that is known here"))?,
        break_glass: break_glass
            .map_err(|_| BadField::new("break_glass_reason", "is not one that is known here"))?,
    })
}

fn part_to_wire(part: Received) -> RetrieveRecordResponse {
    let part = match part {
        Received::Header { size, sha256, media_type } => Part::Header(ContentHeader {
            size_bytes: size,
            sha256: Bytes::copy_from_slice(&sha256),
            media_type,
        }),
        Received::Data(data) => Part::Data(data),
        Received::Receipt(receipt) => Part::Receipt(*receipt),
    };
    RetrieveRecordResponse { part: Some(part) }
}
