//! Policy while gateways run: a change of the folder takes effect by itself, and one that is not valid changes nothing.

mod harness;

use std::fs;

use harness::{Federation, Member, eventually};
use serde_json::Value;

/// What the operator's status says of policy.
fn policy(member: &Member) -> Value {
    let status = member.sundbro(&["--json", "status", "--client", "operations.toml"]);
    status.json()["policy"].clone()
}

/// The digest of the folder as it lies there.
fn digest(member: &Member) -> Value {
    let checked = member.sundbro(&["--json", "policy", "check", "policy"]).good();
    checked.json()["sha256"].clone()
}

fn replace(member: &Member, from: &str, to: &str) {
    let file = member.folder.join("policy/treatment.cedar");
    let text = fs::read_to_string(&file).expect("init wrote it");
    assert!(text.contains(from), "nothing to replace");
    fs::write(file, text.replace(from, to)).expect("written");
}

#[test]
fn a_policy_changes_while_the_gateway_runs_and_only_if_it_is_valid() {
    let federation = Federation::running(2);
    let [owner, other] = &federation.members[..] else { panic!("two") };
    let document = owner.write_document();
    owner.await_registered(&[document]);
    let located = other.await_located("it is found", |it| it.of(&owner.name) == 1 && it.is_whole());
    let record = &located.pointers[0].name;
    let code = |role: &str| other.get(record, role).0.code;

    let before = digest(owner);
    assert_eq!((&policy(owner)["sha256"], &policy(owner)["trouble_reason"]), (&before, &"".into()));
    assert_eq!((code("doctor"), code("clerk")), (0, 4));

    replace(owner, "Role::\"midwife\"", "Role::\"midwife\", Role::\"clerk\"");
    let after = digest(owner);
    assert_ne!(before, after);
    eventually("the new policy is in force", || (policy(owner)["sha256"] == after).then_some(()));
    assert_eq!((code("doctor"), code("clerk")), (0, 0));

    replace(owner, "Role::\"doctor\", ", "Rolle::\"doctor\", ");
    let trouble = eventually("status tells what is wrong", || {
        Some(policy(owner)).filter(|policy| policy["trouble_reason"] == "POLICY_INVALID")
    });
    let told = trouble["trouble"].as_str().expect("text");
    assert!(told.contains("treatment.cedar:") && told.contains("Rolle"), "{told}");
    assert_eq!((&trouble["sha256"], code("doctor"), code("clerk")), (&after, 0, 0));
    assert_eq!(owner.sundbro(&["policy", "check", "policy"]).code, 2);

    replace(owner, "Rolle", "Role");
    replace(owner, ", Role::\"clerk\"", "");
    eventually("the first policy is in force again", || {
        let policy = policy(owner);
        (policy["sha256"] == before && policy["trouble_reason"] == "").then_some(())
    });
    assert_eq!((code("doctor"), code("clerk")), (0, 4));
    federation.finish();
}
