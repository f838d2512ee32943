//! The columns: everybody who knocks at a door, with what they show and how they must be seen.
//!
//! Some pairs of door and identity do not exist and are not counted. At the local door nobody is a member, so nobody is
//! suspended, has left, or is certified by a CA that may not: members knock there with a certificate that names a member
//! and no client. At the federation door a member without a charter's CA cannot exist, since a charter is valid only
//! when its CAs certify its members alone: whoever is no member is refused in the handshake.

use rustls::AlertDescription;
use sundbro_certs::{DevCa, LeafSpec, Validity};

use super::certificates::{Credentials, future, issue, issued_by_a_leaf, now, past, self_signed};
use super::harness::Federation;
use super::rules::{Door, Seen};
use super::world::{
    ACTIVE, AUDITOR, CARE_RECORD, GATEWAY, LEFT, NOBODY, OPERATIONS, OPERATOR, OTHER, SUSPENDED,
};

/// One who knocks.
pub struct Identity {
    /// What it is about, in words.
    pub name: &'static str,
    /// Where it knocks.
    pub door: Door,
    /// How the door must see it.
    pub seen: Seen,
    /// The member in whose name it signs and says Hello.
    pub signs_as: usize,
    /// What it shows. `None`: no certificate.
    pub credentials: Option<Credentials>,
}

fn at_federation(name: &'static str, seen: Seen, signs_as: usize, shown: Credentials) -> Identity {
    Identity { name, door: Door::Federation, seen, signs_as, credentials: Some(shown) }
}

fn at_local(name: &'static str, seen: Seen, shown: Credentials) -> Identity {
    Identity { name, door: Door::Local, seen, signs_as: ACTIVE, credentials: Some(shown) }
}

/// All of them. Those that are revoked are so in `ca` afterwards: its list must still be written.
pub fn all(federation: &Federation, ca: &mut DevCa, limited: &DevCa) -> Vec<Identity> {
    let mut all = members(federation, ca, limited);
    all.extend(locals(federation, ca));
    all
}

fn members(federation: &Federation, ca: &mut DevCa, limited: &DevCa) -> Vec<Identity> {
    use AlertDescription as Alert;
    let refused = |name, alert, shown| at_federation(name, Seen::Alert(alert), ACTIVE, shown);
    let name = |index: usize| federation.members[index].name.as_str();
    let active = LeafSpec::gateway(name(ACTIVE), &["localhost"]);
    let good =
        |member: &str| Credentials::of(&issue(ca, &LeafSpec::gateway(member, &["localhost"])));
    let at_time = |period| Credentials::of(&ca.issue(&active, period).expect("a certificate"));
    let strange = DevCa::new("A strange CA", now()).expect("a CA");
    let mut all = vec![
        at_federation("an active member", Seen::Active, ACTIVE, good(name(ACTIVE))),
        at_federation("a suspended member", Seen::Inactive, SUSPENDED, good(name(SUSPENDED))),
        at_federation("a member that left", Seen::Inactive, LEFT, good(name(LEFT))),
        at_federation(
            "a member with the words of another",
            Seen::WithTheWordsOfAnother,
            ACTIVE,
            good(name(OTHER)),
        ),
        refused("nobody's member", Alert::CertificateUnknown, good(NOBODY)),
        refused("an expired certificate", Alert::CertificateExpired, at_time(past())),
        refused("a certificate of the future", Alert::CertificateExpired, at_time(future())),
        refused(
            "no member URI",
            Alert::CertificateUnknown,
            Credentials::of(&issue(ca, &active.clone().without_member())),
        ),
        refused(
            "two member URIs",
            Alert::CertificateUnknown,
            Credentials::of(&issue(ca, &active.clone().claiming_also(name(OTHER)))),
        ),
        refused(
            "a member URI in capitals",
            Alert::CertificateUnknown,
            Credentials::of(&issue(
                ca,
                &active.clone().claiming_member(&name(ACTIVE).to_uppercase()),
            )),
        ),
        refused(
            "a certificate for servers only",
            Alert::UnsupportedCertificate,
            Credentials::of(&issue(
                ca,
                &LeafSpec::server("server", &["localhost"]).claiming_member(name(ACTIVE)),
            )),
        ),
        refused("a strange CA", Alert::UnknownCA, Credentials::of(&issue(&strange, &active))),
        refused(
            "a CA that may not certify this member",
            Alert::CertificateUnknown,
            Credentials::of(&issue(limited, &active)),
        ),
        at_federation(
            "a CA that may certify this one, suspended",
            Seen::Inactive,
            SUSPENDED,
            Credentials::of(&issue(limited, &LeafSpec::gateway(name(SUSPENDED), &["localhost"]))),
        ),
        refused("its own CA", Alert::UnknownCA, self_signed(name(ACTIVE))),
        refused(
            "a member's certificate as CA",
            Alert::CertificateUnknown,
            issued_by_a_leaf(ca, name(OTHER), name(ACTIVE)),
        ),
        refused(
            "a local client's certificate",
            Alert::CertificateUnknown,
            Credentials::read(&federation.members[GATEWAY].folder.join("tls"), CARE_RECORD),
        ),
        Identity {
            name: "no certificate",
            door: Door::Federation,
            seen: Seen::Alert(Alert::CertificateRequired),
            signs_as: ACTIVE,
            credentials: None,
        },
    ];
    all.push(refused(
        "a revoked certificate",
        Alert::CertificateRevoked,
        revoked(ca, &active, now()),
    ));
    all
}

fn locals(federation: &Federation, ca: &mut DevCa) -> Vec<Identity> {
    use AlertDescription as Alert;
    let refused = |name, alert, shown| at_local(name, Seen::Alert(alert), shown);
    let client = |states_user, operator, auditor| Seen::Client { states_user, operator, auditor };
    let record = LeafSpec::client(CARE_RECORD);
    let named = |name: &str| Credentials::of(&issue(ca, &LeafSpec::client(name)));
    let at_time = |period| Credentials::of(&ca.issue(&record, period).expect("a certificate"));
    let strange = DevCa::new("A strange CA", now()).expect("a CA");
    let own = federation.members[GATEWAY].folder.join("tls");
    let member = LeafSpec::gateway(&federation.members[ACTIVE].name, &["localhost"]);
    let mut all = vec![
        at_local("a client that states a user", client(true, false, false), named(CARE_RECORD)),
        at_local("an operator", client(false, true, false), named(OPERATOR)),
        at_local("an auditor", client(false, false, true), named(AUDITOR)),
        at_local("an operator and auditor", client(false, true, true), named(OPERATIONS)),
        at_local("a client of another name", Seen::Unknown, named("stranger.local.example")),
        at_local("a member's certificate", Seen::Unknown, Credentials::of(&issue(ca, &member))),
        at_local(
            "the gateway's own certificate",
            Seen::Unknown,
            Credentials::read(&own, "federation"),
        ),
        refused("an expired certificate", Alert::CertificateExpired, at_time(past())),
        refused("a certificate of the future", Alert::CertificateExpired, at_time(future())),
        refused("a strange CA", Alert::UnknownCA, Credentials::of(&issue(&strange, &record))),
        refused(
            "a certificate for servers only",
            Alert::UnsupportedCertificate,
            Credentials::of(&issue(ca, &LeafSpec::server("server", &[OPERATIONS]))),
        ),
        refused(
            "a client's certificate as CA",
            Alert::CertificateUnknown,
            issued_by_a_leaf(ca, &federation.members[OTHER].name, CARE_RECORD),
        ),
        Identity {
            name: "no certificate",
            door: Door::Local,
            seen: Seen::Nobody,
            signs_as: ACTIVE,
            credentials: None,
        },
    ];
    all.push(refused(
        "a revoked certificate",
        Alert::CertificateRevoked,
        revoked(ca, &record, now()),
    ));
    all
}

fn revoked(ca: &mut DevCa, spec: &LeafSpec, period: Validity) -> Credentials {
    let issued = ca.issue(spec, period).expect("a certificate");
    ca.revoke(issued.serial(), jiff::Timestamp::now());
    Credentials::of(&issued)
}
