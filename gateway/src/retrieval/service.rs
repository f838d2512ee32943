//! `RetrievalService`: what other members call. Who calls is the member of the TLS certificate.

use std::sync::Arc;

use sundbro_proto::federation::v1::retrieval_service_server::RetrievalService;
use sundbro_proto::federation::v1::{
    AcknowledgeRetrievalRequest, AcknowledgeRetrievalResponse, RetrieveRecordRequest,
};
use tonic::{Request, Response, Status};

use super::owner::{Owner, RecordStream};
use crate::caller::Peer;
use crate::status;

/// Answers `RetrievalService` with our records.
pub struct RetrievalApi {
    owner: Arc<Owner>,
}

impl RetrievalApi {
    /// Serves what this owner serves.
    pub fn new(owner: Arc<Owner>) -> Self {
        Self { owner }
    }
}

#[tonic::async_trait]
impl RetrievalService for RetrievalApi {
    type RetrieveRecordStream = RecordStream;

    async fn retrieve_record(
        &self,
        request: Request<RetrieveRecordRequest>,
    ) -> Result<Response<RecordStream>, Status> {
        let peer = Peer::of(&request)?.member().clone();
        let message = request.into_inner().request.unwrap_or_default();
        let stream = self.owner.retrieve(&peer, message).await;
        stream.map(Response::new).map_err(|error| status::of(&error))
    }

    async fn acknowledge_retrieval(
        &self,
        request: Request<AcknowledgeRetrievalRequest>,
    ) -> Result<Response<AcknowledgeRetrievalResponse>, Status> {
        let peer = Peer::of(&request)?.member().clone();
        let message = request.into_inner().acknowledgement.unwrap_or_default();
        let taken = self.owner.acknowledge(&peer, message).await;
        taken.map_err(|error| status::of(&error))?;
        Ok(Response::new(AcknowledgeRetrievalResponse::default()))
    }
}
