//! For each RPC a request that is served when the right one sends it.

use bytes::Bytes;
use prost::Message as _;
use sundbro_proto::admin::v1::{OverrideQuorumRequest, OverrideReason, PublishCharterRequest};
use sundbro_proto::federation::v1 as federation;
use sundbro_proto::gateway::v1 as gateway;
use sundbro_proto::ledger::v1::{Charter, PurposeOfUse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::harness::{SUBJECT_SYSTEM, SUBJECT_VALUE};
use super::identities::Identity;
use super::world::World;

/// Makes the request of one cell.
pub type Ask = fn(&World, &Identity) -> Bytes;

fn bytes(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Every field absent.
pub fn nothing(_: &World, _: &Identity) -> Bytes {
    Bytes::new()
}

/// The first frame: from a gateway that has seen nothing but the first charter.
pub fn hello(world: &World, identity: &Identity) -> Bytes {
    let hello = federation::Hello {
        protocol_min: 1,
        protocol_max: 1,
        software: "identity-matrix/1".to_owned(),
        member: world.name(identity.signs_as).to_string(),
        federation_id: world.federation_id().as_bytes().to_vec().into(),
        incarnation: 1,
        instance_id: vec![0x1d; 16].into(),
        charter_version: 1,
        subject_epochs: vec![1],
    };
    let kind = Some(federation::frame::Kind::Hello(hello));
    bytes(&federation::SynchroniseRequest { frame: Some(federation::Frame { kind }) })
}

/// A signed request, never sent before.
pub fn retrieve_from_owner(world: &World, identity: &Identity) -> Bytes {
    signed_request(world.sign(world.request(identity.signs_as), identity.signs_as))
}

/// What travels when this was signed.
pub fn signed_request(request: sundbro_proto::ledger::v1::SignedMessage) -> Bytes {
    bytes(&federation::RetrieveRecordRequest { request: Some(request) })
}

/// The acknowledgement of the retrieval that the active member made.
pub fn acknowledge(world: &World, identity: &Identity) -> Bytes {
    let acknowledgement = world.acknowledgement(world.completion);
    signed_acknowledgement(world.sign(acknowledgement, identity.signs_as))
}

/// What travels when this was signed.
pub fn signed_acknowledgement(said: sundbro_proto::ledger::v1::SignedMessage) -> Bytes {
    bytes(&federation::AcknowledgeRetrievalRequest { acknowledgement: Some(said) })
}

/// Who holds what about the one person of the tests.
pub fn locate(_: &World, _: &Identity) -> Bytes {
    let identifier = gateway::SubjectIdentifier {
        system: SUBJECT_SYSTEM.to_owned(),
        value: SUBJECT_VALUE.to_owned(),
    };
    let subject = Some(gateway::locate_records_request::Subject::Identifier(identifier));
    bytes(&gateway::LocateRecordsRequest { subject, ..Default::default() })
}

/// The pointer of the one record.
pub fn get(world: &World, _: &Identity) -> Bytes {
    bytes(&gateway::GetRecordRequest { name: world.record.to_string() })
}

/// The one record, for a user who may have it.
pub fn retrieve(world: &World, _: &Identity) -> Bytes {
    bytes(&gateway::RetrieveRecordRequest {
        name: world.record.to_string(),
        version: 1,
        user: "u-4711".to_owned(),
        role: "doctor".to_owned(),
        purpose: PurposeOfUse::Treatment.into(),
        ..Default::default()
    })
}

/// The entry that registers it.
pub fn entry(world: &World, _: &Identity) -> Bytes {
    let log_id = world.log().as_bytes().to_vec().into();
    bytes(&gateway::GetEntryRequest { log_id, position: 0 })
}

/// How far the entry that registers it has come.
pub fn transaction(world: &World, _: &Identity) -> Bytes {
    let named = gateway::get_transaction_state_request::Transaction::Record;
    let transaction = Some(named(world.record.resource_name()));
    bytes(&gateway::GetTransactionStateRequest { transaction })
}

/// The charter that is in force already.
pub fn charter(world: &World, _: &Identity) -> Bytes {
    let charter = Charter::decode(world.charter()).expect("a charter");
    bytes(&PublishCharterRequest { charter: Some(charter), ..Default::default() })
}

/// An operator answers for signing without a quorum.
pub fn override_quorum(_: &World, _: &Identity) -> Bytes {
    bytes(&OverrideQuorumRequest { reason: OverrideReason::Rehearsal.into() })
}

/// All services. The two versions of reflection have the same messages.
pub fn list_services(_: &World, _: &Identity) -> Bytes {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    bytes(&ServerReflectionRequest { host: String::new(), message_request })
}
