//! The table: for each RPC the door behind which it stands and who may call it; and what everybody else is told.

use rustls::AlertDescription;
use tonic::Code;

use super::requests::{self, Ask};
use super::wire::Outcome;

/// The two listeners of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// For members.
    Federation,
    /// For local systems.
    Local,
}

/// Who may call an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// An active member. Others get charters and a Problem by `Synchronise`, a status elsewhere.
    Member,
    /// Every connection.
    Anybody,
    /// A client that the configuration names.
    Client,
    /// A client that may state the user for whom it asks.
    StatesUser,
    /// A client with `auditor = true`.
    Auditor,
    /// A client with `operator = true`.
    Operator,
}

/// How far an answer is read before it counts as served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// To its end.
    Whole,
    /// Its first message: the stream has no end of its own.
    First,
    /// Frames of replication, until one that only active members get.
    Frames,
}

/// Whether a request is signed, so that it can be replayed or be meant for another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// Once: a nonce makes every later use a replay.
    Once,
    /// Repeatable: the same again changes nothing, by contract.
    Repeatable,
    /// No; why those cells do not exist.
    No(&'static str),
}

/// One row.
pub struct Rule {
    /// `package.Service/Method`.
    pub rpc: &'static str,
    /// Behind which door it stands.
    pub door: Door,
    /// Who may call it.
    pub may: May,
    /// A request that is served when the right one sends it.
    pub ask: Ask,
    /// How its answer is read.
    pub reads: Reads,
    /// Whether it is signed.
    pub signed: Signed,
}

const NOT_SIGNED_LOCALLY: Signed =
    Signed::No("inside the house the gateway signs; the client is known by its certificate");
const NO_MEANING: Signed = Signed::No("it says nothing about anybody, and changes nothing");

const fn local(rpc: &'static str, may: May, ask: Ask) -> Rule {
    Rule { rpc, door: Door::Local, may, ask, reads: Reads::Whole, signed: NOT_SIGNED_LOCALLY }
}

const fn open(rpc: &'static str, reads: Reads, ask: Ask) -> Rule {
    Rule { rpc, door: Door::Local, may: May::Anybody, ask, reads, signed: NO_MEANING }
}

/// Every RPC of every service that a gateway offers.
pub const RULES: &[Rule] = &[
    Rule {
        rpc: "sundbro.federation.v1.FederationService/Synchronise",
        door: Door::Federation,
        may: May::Member,
        ask: requests::hello,
        reads: Reads::Frames,
        signed: Signed::No("frames are not signed: what is signed is inside them"),
    },
    Rule {
        rpc: "sundbro.federation.v1.RetrievalService/RetrieveRecord",
        door: Door::Federation,
        may: May::Member,
        ask: requests::retrieve_from_owner,
        reads: Reads::Whole,
        signed: Signed::Once,
    },
    Rule {
        rpc: "sundbro.federation.v1.RetrievalService/AcknowledgeRetrieval",
        door: Door::Federation,
        may: May::Member,
        ask: requests::acknowledge,
        reads: Reads::Whole,
        signed: Signed::Repeatable,
    },
    local("sundbro.gateway.v1.RecordsService/LocateRecords", May::Client, requests::locate),
    local("sundbro.gateway.v1.RecordsService/GetRecord", May::Client, requests::get),
    local("sundbro.gateway.v1.RecordsService/ListRecords", May::Client, requests::nothing),
    local("sundbro.gateway.v1.RecordsService/RetrieveRecord", May::StatesUser, requests::retrieve),
    local("sundbro.gateway.v1.LedgerService/ListLogs", May::Client, requests::nothing),
    local("sundbro.gateway.v1.LedgerService/GetEntry", May::Client, requests::entry),
    local(
        "sundbro.gateway.v1.LedgerService/GetTransactionState",
        May::Client,
        requests::transaction,
    ),
    local("sundbro.gateway.v1.AuditService/ListAuditEntries", May::Auditor, requests::nothing),
    local("sundbro.admin.v1.AdminService/GetStatus", May::Operator, requests::nothing),
    local("sundbro.admin.v1.AdminService/PublishCharter", May::Operator, requests::charter),
    local("sundbro.admin.v1.AdminService/ListQuarantine", May::Operator, requests::nothing),
    local("sundbro.admin.v1.AdminService/ListOrphans", May::Operator, requests::nothing),
    local("sundbro.admin.v1.AdminService/OverrideQuorum", May::Operator, requests::override_quorum),
    open("grpc.health.v1.Health/Check", Reads::Whole, requests::nothing),
    open("grpc.health.v1.Health/Watch", Reads::First, requests::nothing),
    open(
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Reads::First,
        requests::list_services,
    ),
    open(
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Reads::First,
        requests::list_services,
    ),
];

/// The row of one RPC.
pub fn named(rpc: &str) -> &'static Rule {
    RULES.iter().find(|rule| rule.rpc == rpc).expect("a row of the table")
}

/// What a door makes of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Refused in the handshake, with this alert.
    Alert(AlertDescription),
    /// An active member.
    Active,
    /// A member that is suspended or has left.
    Inactive,
    /// An active member, with what another one signed in its hands.
    WithTheWordsOfAnother,
    /// Nobody: no certificate.
    Nobody,
    /// Somebody whom the configuration does not name.
    Unknown,
    /// A local client.
    Client {
        /// May state users.
        states_user: bool,
        /// `operator = true`.
        operator: bool,
        /// `auditor = true`.
        auditor: bool,
    },
}

/// What somebody who is seen so gets from an RPC.
pub fn expected(rule: &Rule, seen: Seen) -> Outcome {
    // gRPC's own answer to a service that does not stand behind this door.
    let absent = || Outcome::refused(Code::Unimplemented, "");
    let here = |door| rule.door == door;
    match seen {
        Seen::Alert(alert) => Outcome::Alert(alert),
        Seen::Active if here(Door::Federation) => Outcome::Served,
        Seen::Inactive if here(Door::Federation) => of_inactive(rule),
        Seen::WithTheWordsOfAnother if here(Door::Federation) => of_a_liar(rule),
        Seen::Active | Seen::Inactive | Seen::WithTheWordsOfAnother => absent(),
        Seen::Nobody | Seen::Unknown | Seen::Client { .. } if rule.may == May::Anybody => {
            Outcome::Served
        }
        Seen::Nobody => Outcome::refused(Code::Unauthenticated, "NO_CLIENT_CERTIFICATE"),
        Seen::Unknown => Outcome::refused(Code::Unauthenticated, "UNKNOWN_CLIENT"),
        Seen::Client { .. } if !here(Door::Local) => absent(),
        Seen::Client { states_user, operator, auditor } => match rule.may {
            May::Operator if !operator => Outcome::refused(Code::PermissionDenied, "NOT_OPERATOR"),
            May::Auditor if !auditor => Outcome::refused(Code::PermissionDenied, "NOT_AUDITOR"),
            May::StatesUser if !states_user => {
                Outcome::refused(Code::PermissionDenied, "MAY_NOT_STATE")
            }
            _ => Outcome::Served,
        },
    }
}

/// What is left when one side is not an active member: the charters that say so, and the Problem.
pub fn of_inactive(rule: &Rule) -> Outcome {
    match rule.reads {
        Reads::Frames => Outcome::problem("Hello Charter", "MEMBER_NOT_ACTIVE"),
        _ => Outcome::refused(Code::PermissionDenied, "MEMBER_NOT_ACTIVE"),
    }
}

/// What a member gets that brings what another member said.
fn of_a_liar(rule: &Rule) -> Outcome {
    match rule.signed {
        Signed::Once => Outcome::refused(Code::PermissionDenied, "NOT_THE_REQUESTER"),
        Signed::Repeatable => Outcome::refused(Code::NotFound, "UNKNOWN_COMPLETION"),
        Signed::No(_) => Outcome::problem("Hello", "OTHER_MEMBER"),
    }
}
