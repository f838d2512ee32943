//! What policies decide, which are refused at load, and what no policy can do.

use sundbro_proto::ledger::v1::{Confidentiality, PurposeOfUse};

use super::facts::{ASSURANCES, Facts, LEVELS, Named as _, PURPOSES, REASONS};
use super::*;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

/// The policy of one file, which is not there when it would be empty.
fn policy(text: &str) -> Policy {
    let sources: Vec<_> = (!text.is_empty()).then(|| source("a.cedar", text)).into_iter().collect();
    Policy::parse(&sources).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn decide(policy: &Policy, facts: &Facts) -> Decision {
    let (request, resource) = facts.judged().expect("known names");
    policy.decide(&request, &resource)
}

/// A rule with this head and condition.
fn rule(id: &str, effect: &str, action: &str, when: &str) -> String {
    format!(
        "@id(\"{id}\")\n@says(\"for a test\")\n{effect} (principal, {action}, resource) when {{ {when} }};\n"
    )
}

fn permits(id: &str, when: &str) -> String {
    rule(id, "permit", "action == Action::\"read\"", when)
}

#[test]
fn the_default_policies_decide_as_their_table_says() {
    let policy = Policy::defaults();
    let cases = table::parse(include_str!("../../policy/cases.toml")).expect("a table");
    let mut named = std::collections::BTreeSet::new();
    for (at, case) in cases.iter().enumerate() {
        let (decision, as_expected) = case.run(&policy);
        assert!(as_expected, "case {}: {:?} got {decision:?}", at + 1, case.facts);
        assert_eq!(&decision.policy_sha256, policy.sha256());
        named.insert(decision.rule);
    }
    // A rule that no row meets is a rule that nobody looks at.
    let all = policy.rules().iter().map(|rule| rule.id.clone());
    assert_eq!(named, all.chain([DEFAULT_RULE.to_owned()]).collect());
}

#[test]
fn without_a_rule_nothing_is_permitted() {
    let mut tried = 0;
    for policy in [Policy::deny_all(), policy("")] {
        every_request(|facts| {
            let decision = decide(&policy, facts);
            assert_eq!((decision.permit, decision.rule.as_str()), (false, DEFAULT_RULE));
            tried += 1;
        });
    }
    assert_eq!(tried, 2 * 3 * 4 * 3 * 2 * 3);
}

/// Roles, purposes, glass, assurance, confidentiality, each with each.
fn every_request(mut judge: impl FnMut(&Facts)) {
    for role in ["doctor", "midwife", "clerk"] {
        for purpose in PURPOSES {
            for reason in [None, Some(REASONS[0]), Some(REASONS[1])] {
                for assurance in ASSURANCES {
                    for level in LEVELS {
                        judge(&Facts {
                            break_glass: reason.map(|reason| reason.name().to_owned()),
                            assurance: assurance.name().to_owned(),
                            confidentiality: level.name().to_owned(),
                            ..Facts::new(role, purpose.name())
                        });
                    }
                }
            }
        }
    }
}

/// What the rules speak of is what was asked: each entity and attribute, told from its neighbours.
#[test]
fn a_rule_sees_every_fact() {
    let facts = Facts {
        member: "kommune.example".to_owned(),
        member_role: vec!["MUNICIPALITY".to_owned(), "REGION".to_owned()],
        user: "u-1".to_owned(),
        unit: Some("urn:units|7".to_owned()),
        class: Some("http://loinc.org|57059-8".to_owned()),
        author_unit: Some("urn:units|7".to_owned()),
        confidentiality: "R".to_owned(),
        custodian: "kommune.example".to_owned(),
        ..Facts::new("nurse", "HOPERAT")
    };
    let check = |when: &str, permit: bool| {
        let policy = policy(&permits("it", when));
        assert_eq!(decide(&policy, &facts).permit, permit, "{when}");
    };
    for (when, permit) in [
        ("principal == User::\"kommune.example|u-1\"", true),
        ("principal == User::\"kommune.example|u-2\"", false),
        ("principal in Role::\"nurse\"", true),
        ("principal in Role::\"doctor\"", false),
        ("principal in Unit::\"urn:units|7\"", true),
        ("principal in Unit::\"urn:units|8\"", false),
        ("principal in Member::\"kommune.example\"", true),
        ("principal in Member::\"hospital.example\"", false),
        ("principal in MemberRole::\"MUNICIPALITY\"", true),
        ("principal in MemberRole::\"REGION\"", true),
        ("principal in MemberRole::\"HOSPITAL\"", false),
        ("principal in resource.custodian", true),
        ("resource.custodian == Member::\"kommune.example\"", true),
        ("resource has author_unit && principal in resource.author_unit", true),
        ("resource has author_unit && resource.author_unit == Unit::\"urn:units|8\"", false),
        ("resource.confidentiality == Confidentiality::\"R\"", true),
        ("resource.confidentiality == Confidentiality::\"N\"", false),
        ("resource has class && resource.class.code == \"57059-8\"", true),
        ("resource has class && resource.class.system == \"http://loinc.org\"", true),
        (
            "resource has class && resource.class == {system: \"urn:other\", code: \"57059-8\"}",
            false,
        ),
        ("context.purpose == Purpose::\"HOPERAT\"", true),
        ("context.purpose == Purpose::\"TREAT\"", false),
        ("context.assurance == Assurance::\"CLIENT_ASSERTED\"", true),
        ("context.assurance == Assurance::\"TOKEN_VERIFIED\"", false),
    ] {
        check(when, permit);
    }
    // What the source does not say is not there.
    let silent = Facts { class: None, author_unit: None, unit: None, ..facts.clone() };
    let policy = policy(&permits("it", "resource has class || resource has author_unit"));
    assert!(!decide(&policy, &silent).permit);
    assert!(decide(&policy, &facts).permit);
}

#[test]
fn what_this_version_does_not_know_is_refused_and_counts_as_very_restricted() {
    let policy = policy(&permits("it", "resource.confidentiality == Confidentiality::\"V\""));
    let (mut request, mut resource) = Facts::new("doctor", "TREAT").judged().expect("known");
    resource.confidentiality = Confidentiality::Unspecified;
    assert!(policy.decide(&request, &resource).permit);
    request.purpose = PurposeOfUse::Unspecified;
    assert_eq!(policy.decide(&request, &resource).rule, DEFAULT_RULE);
}

#[test]
fn the_first_rule_in_order_of_file_and_line_is_named_and_one_that_forbids_wins() {
    let doctor = "principal in Role::\"doctor\"";
    let second = permits("z-second", doctor) + &permits("a-third", doctor);
    let sources = [source("a.cedar", &permits("m-first", doctor)), source("b.cedar", &second)];
    let facts = Facts::new("doctor", "TREAT");
    let decision = decide(&Policy::parse(&sources).expect("valid"), &facts);
    assert_eq!((decision.permit, decision.rule.as_str()), (true, "m-first"));
    assert_eq!(decide(&policy(&second), &facts).rule, "z-second");
    let forbids = second + &rule("never", "forbid", "action", doctor);
    let decision = decide(&policy(&forbids), &facts);
    assert_eq!((decision.permit, decision.rule.as_str()), (false, "never"));
}

/// Cedar leaves out a rule that fails. Had it forbidden, the record would leave.
#[test]
fn a_rule_that_fails_refuses_even_what_others_permit() {
    let facts = Facts::new("doctor", "TREAT");
    let open = permits("open", "true");
    for failing in [
        rule("broken", "forbid", "action", "9223372036854775807 + 1 > 0"),
        permits("broken", "9223372036854775807 * 2 == 0"),
        // Valid by the schema; only the record that is asked for is ever there.
        rule(
            "broken",
            "forbid",
            "action",
            "Record::\"other\".confidentiality == Confidentiality::\"V\"",
        ),
    ] {
        let policy = policy(&(open.clone() + &failing));
        assert_eq!(policy.failed(), None);
        let decision = decide(&policy, &facts);
        assert_eq!((decision.permit, decision.rule.as_str()), (false, RULE_FAILED), "{failing}");
        assert!(decision.sentence.contains("broken") && policy.failed().is_some(), "{decision:?}");
    }
    // Only where it is met: what comes before it may have decided already.
    let met = rule(
        "broken",
        "forbid",
        "action",
        "principal in Role::\"clerk\" && 9223372036854775807 + 1 > 0",
    );
    let policy = policy(&(open + &met));
    assert!(decide(&policy, &facts).permit);
    assert!(!decide(&policy, &Facts::new("clerk", "TREAT")).permit);
}

#[test]
fn everything_that_is_wrong_is_told_with_file_line_and_cure() {
    let check = |text: &str, says: &[&str]| {
        let good = source("a.cedar", &permits("good", "true"));
        let problems = Policy::parse(&[good, source("b.cedar", text)]).expect_err(text);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), says.len(), "{told:?}");
        for (told, says) in told.iter().zip(says) {
            let (place, what) = says.split_once(' ').expect("a place and a word");
            assert!(told.starts_with(place) && told.contains(what), "{told:?} lacks {says:?}");
        }
    };
    let says = "@says(\"for a test\")";
    let head = "permit (principal, action == Action::\"read\", resource)";
    check(
        &format!("\n\n@id(\"x\") {says}\npermit (principal, action, resource;"),
        &["b.cedar:4: unexpected"],
    );
    check("\npermit (principal, acton, resource);", &["b.cedar:2: acton"]);
    check("", &["b.cedar: holds no rule"]);
    check("// a rule that forbids stood here\n", &["b.cedar: holds no rule"]);
    check(&format!("{says} {head};"), &["b.cedar: policy 1 of this file has no @id"]);
    check(&format!("@id(\"X y\") {says} {head};"), &["b.cedar:1: a-z"]);
    check(&format!("@id(\"{}\") {says} {head};", "a".repeat(65)), &["b.cedar:1: 1 to 64"]);
    for reserved in [DEFAULT_RULE, RULE_FAILED, NO_SUCH_RECORD] {
        check(&format!("@id(\"{reserved}\") {says} {head};"), &["b.cedar:1: absence of a rule"]);
    }
    check(&format!("// x\n@id(\"x\") {head};"), &["b.cedar:2: @says"]);
    check(&format!("@id(\"x\") @says(\" \") {head};"), &["b.cedar:1: @says"]);
    check(&format!("@id(\"x\") @says(\"a\\nb\") {head};"), &["b.cedar:1: one line"]);
    check(&format!("@id(\"good\") {says} {head};"), &["b.cedar:1: also at a.cedar:1"]);
    // More than one action, and the id that tells that the glass is broken.
    check(&rule("x", "permit", "action", "true"), &["b.cedar:1: more than one action"]);
    let both = "action in [Action::\"read\", Action::\"break-glass\"]";
    check(&rule("break-glass-x", "permit", both, "true"), &["b.cedar:1: more than one action"]);
    let breaks = "action == Action::\"break-glass\"";
    check(&rule("x", "permit", breaks, "true"), &["b.cedar:1: begin the id with \"break-glass-\""]);
    check(&permits("break-glass-x", "true"), &["b.cedar:1: something else than"]);
    let slot = format!(
        "@id(\"x\") {says} permit (principal in ?principal, action == Action::\"read\", resource);"
    );
    check(&slot, &["b.cedar: template"]);
    // What the schema does not have.
    for (when, word) in [
        ("principal in Rolle::\"doctor\"", "Rolle"),
        ("context.purpose == Purpose::\"TREET\"", "TREET"),
        ("principal in MemberRole::\"CIRCUS\"", "CIRCUS"),
        ("resource.colour == \"red\"", "colour"),
        ("resource.class.code == \"1\"", "class"),
        ("context.reason == BreakGlassReason::\"VITAL_INTEREST\"", "reason"),
        ("resource.confidentiality == \"N\"", ""),
        ("principal.role == \"doctor\"", "role"),
    ] {
        check(&permits("x", &format!("\n{when}")), &[&format!("b.cedar:4: {word}")]);
    }
    check(&rule("x", "permit", "action == Action::\"write\"", "true"), &["b.cedar: write"]);
    // All at once.
    check(
        &format!("@id(\"y\") {head};\n{says} {head};\n@id(\"Z\") {says} {head};"),
        &["b.cedar: policy 2", "b.cedar:1: \"y\"", "b.cedar:3: \"Z\""],
    );
}

#[test]
fn there_is_a_limit_to_rules() {
    let rules = |count: usize| {
        let text: String = (0..count).map(|n| permits(&format!("r{n}"), "true")).collect();
        Policy::parse(&[source("a.cedar", &text)])
    };
    assert_eq!(rules(1024).expect("as many as may be").rules().len(), 1024);
    let problems = rules(1025).expect_err("one too many");
    assert!(problems[0].what.contains("more than 1024 rules"), "{problems:?}");
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn condition() -> impl Strategy<Value = String> {
        let atom = prop_oneof![
            prop::sample::select(vec!["doctor", "midwife", "clerk"])
                .prop_map(|role| format!("principal in Role::\"{role}\"")),
            prop::sample::select(PURPOSES.to_vec())
                .prop_map(|purpose| format!("context.purpose == Purpose::\"{}\"", purpose.name())),
            prop::sample::select(LEVELS.to_vec()).prop_map(|level| format!(
                "resource.confidentiality == Confidentiality::\"{}\"",
                level.name()
            )),
            prop::sample::select(ASSURANCES.to_vec())
                .prop_map(|it| format!("context.assurance == Assurance::\"{}\"", it.name())),
            // Some rules fail when they are met.
            Just("9223372036854775807 + 1 > 0".to_owned()),
            Just("resource has class".to_owned()),
        ];
        prop::collection::vec((atom, any::<bool>()), 1..4).prop_map(|atoms| {
            let atoms = atoms.into_iter().map(|(atom, not)| match not {
                true => format!("!({atom})"),
                false => atom,
            });
            atoms.collect::<Vec<_>>().join(" && ")
        })
    }

    /// Rules that permit: the condition, and whether they let the glass be broken.
    fn permitting() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec((condition(), any::<bool>()), 0..4).prop_map(|rules| {
            let write = |(n, (when, breaks)): (usize, (String, bool))| match breaks {
                true => rule(
                    &format!("break-glass-{n}"),
                    "permit",
                    "action == Action::\"break-glass\"",
                    &when,
                ),
                false => permits(&format!("p{n}"), &when),
            };
            rules.into_iter().enumerate().map(write).collect()
        })
    }

    fn forbidding() -> impl Strategy<Value = String> {
        let action = prop::sample::select(vec![
            "action",
            "action == Action::\"read\"",
            "action == Action::\"break-glass\"",
        ]);
        (condition(), action).prop_map(|(when, action)| rule("never", "forbid", action, &when))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn a_rule_that_forbids_never_lets_more_be_read(rules in permitting(), forbid in forbidding()) {
            let before = policy(&rules.concat());
            let after = policy(&(rules.concat() + &forbid));
            let defaults = Policy::defaults();
            let more = defaults::sources().into_iter().chain([source("z.cedar", &forbid)]);
            let stricter = Policy::parse(&more.collect::<Vec<_>>()).expect("valid");
            every_request(|facts| {
                let permitted = decide(&after, facts).permit;
                assert!(!permitted || decide(&before, facts).permit, "{facts:?}");
                let permitted = decide(&stricter, facts).permit;
                assert!(!permitted || decide(&defaults, facts).permit, "{facts:?}");
            });
        }

        #[test]
        fn what_breaks_the_glass_says_so_in_its_id_and_takes_a_reason(rules in permitting()) {
            let policy = policy(&rules.concat());
            every_request(|facts| {
                let decision = decide(&policy, facts);
                if decision.permit {
                    let tells = decision.rule.starts_with(BREAK_GLASS_PREFIX);
                    assert_eq!(tells, facts.break_glass.is_some(), "{facts:?}: {decision:?}");
                }
            });
        }
    }
}
