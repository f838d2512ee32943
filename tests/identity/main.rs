//! Every RPC with every identity: who gets in, who is refused, with which alert, code and reason.
//!
//! The RPCs are read from the descriptors, so a new one without a row in `rules.rs` fails here. One whole gateway runs;
//! the test speaks to it with certificates of its own making, as members and as local systems.

#[path = "../federation/harness/mod.rs"]
mod harness;

mod cells;
mod certificates;
mod identities;
mod requests;
mod rules;
mod signed;
mod wire;
mod world;

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;

use self::cells::Cells;
use self::rules::{RULES, Signed, expected};
use self::wire::{Line, Outcome};
use self::world::World;

#[test]
fn every_rpc_answers_every_identity_as_its_rule_says() {
    every_rpc_has_a_rule();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut world = World::new();
    let mut cells = Cells::default();
    world.completion = runtime.block_on(signed::completed(&world));
    runtime.block_on(async {
        try_all(&world, &mut cells).await;
        signed::try_all(&world, &mut cells).await;
    });
    // Last, since nothing is served from here on.
    world.suspend_the_gateway();
    runtime.block_on(try_suspended_gateway(&world, &mut cells));
    world.nothing_went_wrong_inside();
    cells.finish();
}

/// Cells: every RPC × every identity, at the door where that identity would knock.
async fn try_all(world: &World, cells: &mut Cells) {
    for identity in &world.identities {
        let mut line = Line::new(world.address(identity.door), identity);
        for rule in RULES {
            let wanted = expected(rule, identity.seen);
            let got = line.call(world, rule, identity, wanted.is_alert()).await;
            cells.record(
                rule.rpc,
                &format!("{:?} door, {}", identity.door, identity.name),
                &wanted,
                &got,
            );
        }
    }
}

/// A gateway that learns that it is suspended serves no other member any more.
async fn try_suspended_gateway(world: &World, cells: &mut Cells) {
    let identity = world.identity("an active member");
    let mut line = Line::new(world.address(identity.door), identity);
    for rule in RULES.iter().filter(|rule| rule.door == identity.door) {
        let wanted = match rule.signed {
            // An acknowledgement is evidence of what was served before; to take it serves nothing.
            Signed::Repeatable => Outcome::Served,
            _ => rules::of_inactive(rule),
        };
        let got = line.call(world, rule, identity, false).await;
        cells.record(
            rule.rpc,
            "Federation door of a suspended gateway, an active member",
            &wanted,
            &got,
        );
    }
    let identity = world.identity("a client that states a user");
    let mut line = Line::new(world.address(identity.door), identity);
    let rule = rules::named("sundbro.gateway.v1.RecordsService/RetrieveRecord");
    let got = line.call(world, rule, identity, false).await;
    let wanted = Outcome::refused(tonic::Code::FailedPrecondition, "MEMBER_NOT_ACTIVE");
    cells.record(
        rule.rpc,
        "Local door of a suspended gateway, a client that states a user",
        &wanted,
        &got,
    );
}

/// Fails for an RPC without a rule, and for a rule without an RPC.
fn every_rpc_has_a_rule() {
    let sets = [
        sundbro_proto::DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut there = BTreeSet::new();
    for set in sets {
        let pool = DescriptorPool::decode(set).expect("a descriptor set");
        for service in pool.services() {
            let name = service.full_name().to_owned();
            there.extend(service.methods().map(|method| format!("{name}/{}", method.name())));
        }
    }
    let ruled: BTreeSet<String> = RULES.iter().map(|rule| rule.rpc.to_owned()).collect();
    assert_eq!(ruled.len(), RULES.len(), "an RPC has two rules");
    let without: Vec<_> = there.difference(&ruled).collect();
    assert!(without.is_empty(), "a new RPC without a rule: who may call it? {without:?}");
    let gone: Vec<_> = ruled.difference(&there).collect();
    assert!(gone.is_empty(), "rules of RPCs that do not exist: {gone:?}");
}
