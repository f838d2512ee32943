//! One member's retrievals at once: as many as the limit, then a refusal that says when to come again.

use tonic::Code;
use tonic_types::StatusExt as _;

use super::super::owner::{AcknowledgeError, MAX_RETRIEVALS_PER_MEMBER, RecordStream, ServeError};
use super::owner::ask;
use super::*;
use crate::status;

/// Retrievals whose reader takes nothing: each keeps its turn, also when all of its record was sent.
async fn fill(world: &World, owner: &Arc<Owner>) -> Vec<RecordStream> {
    let mut streams = Vec::new();
    for _ in 0..MAX_RETRIEVALS_PER_MEMBER {
        let request = ask(world, |_| {}).to_wire();
        streams.push(owner.retrieve(&name(KOMMUNE), request).await.expect("a stream"));
    }
    streams
}

#[tokio::test]
async fn one_retrieval_too_many_is_refused_and_told_when_to_come_again() {
    let world = World::new();
    let owner = world.owner();
    let mut streams = fill(&world, &owner).await;
    let before = world.hospital.audit_kinds().len();
    let request = ask(&world, |_| {}).to_wire();

    let refused = owner.retrieve(&name(KOMMUNE), request.clone()).await.err().expect("refused");
    assert!(matches!(refused, ServeError::TooMany(MAX_RETRIEVALS_PER_MEMBER)));
    let refused = status::of(&refused);
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let (code, metadata) = reason(&refused);
    assert_eq!(code, "TOO_MANY_RETRIEVALS");
    assert_eq!(metadata.get("limit").map(String::as_str), Some("64"));
    let details = refused.get_error_details();
    let quota = details.quota_failure().expect("QuotaFailure");
    assert_eq!(quota.violations[0].subject, "retrievals of one member at once");
    assert!(details.retry_info().is_some());
    assert!(world.hospital.audit_kinds().len() <= before + MAX_RETRIEVALS_PER_MEMBER);

    // It was not judged, so the same request is good when a reader has gone.
    streams.pop();
    until_a_turn_is_free(&owner, &request).await;
}

// A turn that came back with the caller's patience was free while the work went on, and one member could start any number.
#[tokio::test]
async fn who_gives_up_gets_the_turn_back_when_the_work_has_ended() {
    let world = World::new();
    *world.source.mode.lock().expect("lock") = Mode::Hangs;
    let owner = world.owner();
    for opened in 1..=MAX_RETRIEVALS_PER_MEMBER {
        let request = ask(&world, |_| {}).to_wire();
        let kommune = name(KOMMUNE);
        let asking = owner.retrieve(&kommune, request);
        let begun = async {
            while world.source.opened.load(Ordering::SeqCst) < opened {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = asking => panic!("the source hangs"),
            () = begun => {}
        }
    }
    let request = ask(&world, |_| {}).to_wire();
    let refused = owner.retrieve(&name(KOMMUNE), request.clone()).await.err().expect("refused");
    assert!(matches!(refused, ServeError::TooMany(_)));
    let refused = owner.acknowledge(&name(KOMMUNE), request).await.expect_err("as much work");
    assert!(matches!(refused, AcknowledgeError::TooMany));
    assert_eq!(status::of(&refused).code(), Code::ResourceExhausted);
}

/// A transfer whose reader is gone ends at its next step.
async fn until_a_turn_is_free(owner: &Arc<Owner>, request: &v1::SignedMessage) {
    let free = async {
        loop {
            match owner.retrieve(&name(KOMMUNE), request.clone()).await {
                Ok(_) => return,
                Err(ServeError::TooMany(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), free).await.expect("a turn");
}

#[tokio::test]
async fn one_member_takes_no_turn_from_another() {
    let world = World::new();
    let owner = world.owner();
    let _streams = fill(&world, &owner).await;
    // The hospital's own systems, by its own gateway, are not counted at all.
    let own = world.requester_of(&world.hospital, &Line::to(owner.clone(), HOSPITAL));
    let ask = crate::retrieval::requester::Ask {
        record: record(RECORD),
        version: 1,
        user: "user-1".to_owned(),
        role: "health-visitor".to_owned(),
        unit: None,
        purpose: v1::PurposeOfUse::Treatment,
        break_glass: v1::BreakGlassReason::Unspecified,
    };
    own.retrieve(&client(), ask).await.expect("the hospital reads its own record");
}
