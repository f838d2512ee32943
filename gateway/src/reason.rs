//! Every reason that an error can carry: the constant that programs match, its cause, and its cure.
//!
//! `docs/errors.md` lists the same rows; a test compares. A reason is never renamed: clients match on it.

/// A constant that programs match, with what people need beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// `ErrorInfo.reason`: upper case with underscores, at most 63 bytes.
    pub code: &'static str,
    /// What happened.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code)
    }
}

macro_rules! reasons {
    ($([$section:literal] $($name:ident: $cause:literal => $cure:literal;)*)*) => {
        $($(
            #[doc = $cause]
            pub const $name: Reason =
                Reason { code: stringify!($name), cause: $cause, cure: $cure };
        )*)*
        /// All of them, in the order of `docs/errors.md`.
        pub const ALL: &[Reason] = &[$($($name,)*)*];
        /// Each section of `docs/errors.md` with its reasons.
        pub const SECTIONS: &[(&str, &[Reason])] = &[$(($section, &[$($name,)*])),*];
    };
}

reasons! {
    ["What the caller sent"]
    INVALID_FIELD:
        "A field of the request is missing or malformed." =>
        "Correct the field that the details name.";
    DEADLINE_EXCEEDED:
        "The caller's deadline passed before there was an answer." =>
        "Ask again with a longer deadline.";

    ["Who calls"]
    NO_CLIENT_CERTIFICATE:
        "The call came without a client certificate." =>
        "Connect with a certificate that `[[local.clients]]` names.";
    UNKNOWN_CLIENT:
        "The client certificate is valid, but the configuration names nobody who has it." =>
        "Add its SHA-256 or a name in it to `[[local.clients]]`, and restart the gateway.";
    NOT_OPERATOR:
        "The call is for operators, and this client is none." =>
        "Set `operator = true` for the client if it should be one.";
    NOT_AUDITOR:
        "The call is for auditors, and this client is none." =>
        "Set `auditor = true` for the client if it should be one.";
    MAY_NOT_STATE:
        "The client stated a role, unit or purpose that the configuration does not let it state." =>
        "State one that is allowed, or allow it in `[[local.clients]]`.";
    MEMBER_NOT_ACTIVE:
        "The charter in force does not list the member as active." =>
        "Ask the federation's stewards; the newest charter says why nothing else is served.";
    NOT_THE_REQUESTER:
        "A request was sent by another member than the one that signed it." =>
        "Send it over a connection with the certificate of the member that signed it.";
    OTHER_OWNER:
        "A request was sent to another member than the one that it names as owner." =>
        "Send it to the owner; check the endpoint in the charter and `[dial]`.";
    REQUEST_NOT_FRESH:
        "By the owner's clock the request was made too long ago, or later than now." =>
        "Ask again; if it stays, compare the clocks of both gateways.";
    NONCE_USED:
        "A request with this nonce was judged before." =>
        "Make a new request with a new nonce.";
    TOO_MANY_RETRIEVALS:
        "A member has as many retrievals under way at one owner as one member may have." =>
        "Ask again when some have ended; the details name the limit.";

    ["What may be read, and what is there"]
    NOT_AVAILABLE:
        "The record does not exist, or may not be read by this caller; which of the two is not told." =>
        "Check the record's name and the purpose of use; the owner's audit log tells its operator the rule.";
    UNPINNED:
        "No federation id was given to check against, and a forged federation verifies by itself." =>
        "Name the federation that you trust with `--federation`, as you got it on another way.";
    UNKNOWN_RECORD:
        "The index holds no record of this name." =>
        "Check the name; the coverage in the answer says whether logs are missing here.";
    UNKNOWN_LOG:
        "No member has a log of this id." =>
        "Check the log id against `sundbro charter show`.";
    UNKNOWN_ENTRY:
        "The log's replica here does not reach this position." =>
        "Wait for replication, or check the position.";
    UNKNOWN_COMPLETION:
        "No retrieval of this completion digest is on record." =>
        "Check that the acknowledgement goes to the member that served the record.";
    PAYLOAD_ERASED:
        "The payload of this entry was erased on purpose; only its header remains." =>
        "Nothing: erasure is final.";
    RECORD_WITHDRAWN:
        "The record's owner withdrew it." =>
        "Locate again: another record may replace it.";
    SUPERSEDED:
        "The source no longer holds this version of the record." =>
        "Retrieve the current version, which the details name.";
    DIGEST_MISMATCH:
        "The bytes from the source do not have the registered digest; they are not a document." =>
        "Discard what was received and ask again; if it stays, the owner must look at its source.";
    SOURCE_UNAVAILABLE:
        "The local system that holds the record cannot be read now." =>
        "Ask again later; the owner's operator sees the cause in `sundbro status`.";
    BAD_ANSWER:
        "What the owner's gateway answered breaks the rules or does not verify." =>
        "Discard what was received; the message names the rule, and the owner must look at its gateway.";

    ["Logs and charters"]
    BROKEN_CHAIN:
        "An entry does not follow the one before it." =>
        "Fetch from the position that the details name.";
    LOG_STOPPED:
        "The log holds an entry that breaks the rules, and is followed no further." =>
        "Read the reason with `sundbro status`; the log's member must act.";
    NO_QUORUM:
        "Too few other members have answered that our own log may be signed; what is found waits in the outbox." =>
        "Wait, or see with `sundbro status` who is not reached and why; alone, an operator can answer for it: `sundbro log override`.";
    OUTBOX_FULL:
        "As much as may waits in the outbox until our own log may be signed; what is found now waits at its source." =>
        "Have our log signed again: `sundbro status` says what stops it; the outbox then empties by itself. Keep what is at the sources until then.";
    OWN_LOG_BEHIND:
        "Peers, or the signing gate, know more of our own log than the database does; it is being fetched back." =>
        "Wait; if no member holds what is missing, see the runbook for restoring.";
    OWN_LOG_DIVERGES:
        "A peer, or the signing gate, knows another entry at a position that we hold: two databases have signed." =>
        "Find out which copy was in use; the other must never run again. When the stewards have named a branch, it goes on by itself.";
    SIGNING_STOPPED:
        "Our own log is stopped for a reason that no operator can override." =>
        "Read the reason with `sundbro status`, and its cure.";
    LATER_START:
        "Other members know a later start of this gateway: two machines run with its keys, or one was copied." =>
        "Stop all but the one that shall go on, and start that one again.";
    CHARTER_GAP:
        "A charter version before this one is missing here." =>
        "Hand over the missing versions first.";
    CHARTER_FORKED:
        "Two valid heads of one charter version exist; neither is followed." =>
        "The stewards must heal the fork; the version before stays in force.";
    CHARTER_BEHIND:
        "A message names a charter version that is not here yet." =>
        "Ask again in a few seconds; charters spread by themselves.";

    ["Reaching a peer"]
    PEER_UNREACHABLE:
        "The owner's gateway cannot be reached." =>
        "Ask again later; `sundbro status` names the cause.";
    NAME_NOT_RESOLVED:
        "The peer's host name does not resolve." =>
        "Check the endpoint in the charter, `[dial]`, and this machine's DNS.";
    CONNECTION_REFUSED:
        "The peer's machine answers, but nothing listens on the port." =>
        "Check that its gateway runs, and the port.";
    CONNECTION_TIMED_OUT:
        "No answer from the peer's address." =>
        "Check network, VPN and firewalls on the way to the address.";
    HANDSHAKE_INTERRUPTED:
        "The connection was closed in the middle of the TLS handshake." =>
        "Look for a proxy or load balancer in between that ends TLS: it must pass it through.";
    PROTOCOL_MISMATCH:
        "What answers does not speak TLS 1.3 and HTTP/2 as a gateway does." =>
        "Check that address and port are those of the peer's federation listener.";
    PEER_CERTIFICATE_EXPIRED:
        "The peer's certificate has expired." =>
        "The peer must renew its certificate; no restart is needed.";
    PEER_CERTIFICATE_NOT_YET_VALID:
        "The peer's certificate is not valid yet." =>
        "Compare the clocks of both machines, then the dates of the certificate.";
    PEER_CERTIFICATE_REVOKED:
        "The peer's certificate is on a revocation list." =>
        "The peer must get a new certificate from its CA.";
    PEER_CERTIFICATE_NOT_TRUSTED:
        "No CA that the charter lists for this member issued the peer's certificate." =>
        "The peer must use a certificate of a listed CA, or the stewards list its CA.";
    PEER_IS_ANOTHER_MEMBER:
        "The certificate at this address is not that of the member that was called." =>
        "Check the endpoint in the charter and `[dial]`.";
    PEER_NAME_MISMATCH:
        "The peer's certificate does not hold the host name of its endpoint in the charter." =>
        "The peer must get a certificate with that DNS or IP name, or the stewards correct the endpoint.";
    OWN_CERTIFICATE_REFUSED:
        "The peer refuses our certificate." =>
        "Check ours with `openssl x509`: expired, revoked, or of a CA that the charter does not list for us.";

    ["Adapters"]
    NO_PATIENT_IDENTIFIER:
        "The document names nobody in an identifier system that becomes a tag." =>
        "Correct the document, or add the system to `identifier_systems`.";
    NEEDS_LIMITED_AUDIENCE:
        "The document is marked restricted, and records for a limited audience cannot be registered yet." =>
        "Nothing: it is kept in quarantine until they can.";
    DUPLICATE_DOCUMENT_ID:
        "Two files of a folder carry one document id; both are registered." =>
        "Check whether one of them is a copy that should be removed.";

    ["Policy"]
    POLICY_INVALID:
        "The policy folder holds something that is no policy; the policy before it stays in force." =>
        "Run `sundbro policy check`: it names file and line; the folder is read again when it changes.";
    POLICY_RULE_FAILED:
        "A rule of the policy could not be evaluated, so the request was refused." =>
        "Look for the rule in the gateway's log: it counts too far, or reads an attribute of a record that it names.";

    ["Our fault"]
    TLS_MATERIAL_UNUSABLE:
        "A certificate, key or revocation list cannot be used." =>
        "Read the message: it names the file and what is wrong with it.";
    DISK_FULL:
        "Less of the disk is free than `store.min_free_bytes`: nothing is registered, and nothing is taken from peers." =>
        "Make room on the disk of the data folder; what waits is then registered and fetched by itself.";
    AUDIT_NOT_WRITTEN:
        "The audit log could not be written, so nothing is served." =>
        "Look at the disk of the data folder; the gateway's log has the cause under the request id.";
    INTERNAL:
        "Something went wrong in this gateway." =>
        "Look for the request id in the gateway's log; report a defect if the log does not explain it.";
}
