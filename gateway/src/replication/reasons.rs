//! Every reason that a Problem of ours carries; `docs/errors.md` lists them.

/// The member is not active in the charter in force.
pub const MEMBER_NOT_ACTIVE: &str = "MEMBER_NOT_ACTIVE";
/// No protocol version is common.
pub const PROTOCOL_MISMATCH: &str = "PROTOCOL_MISMATCH";
/// Hello is not from the member that the certificate names.
pub const OTHER_MEMBER: &str = "OTHER_MEMBER";
/// Hello is from another federation.
pub const OTHER_FEDERATION: &str = "OTHER_FEDERATION";
/// A frame breaks a rule, or comes out of order.
pub const MALFORMED_FRAME: &str = "MALFORMED_FRAME";
/// A frame is of a kind that the settled protocol does not have.
pub const UNKNOWN_FRAME: &str = "UNKNOWN_FRAME";
/// More is asked for at once than one session may.
pub const TOO_MANY_REQUESTS: &str = "TOO_MANY_REQUESTS";
/// A checkpoint does not verify.
pub const BAD_CHECKPOINT: &str = "BAD_CHECKPOINT";
/// A chunk is not covered by its checkpoint.
pub const BAD_CHUNK: &str = "BAD_CHUNK";
/// A proof does not show what it was asked for.
pub const BAD_PROOF: &str = "BAD_PROOF";
/// A blob does not have its commitment.
pub const BAD_BLOB: &str = "BAD_BLOB";
/// A charter is not valid.
pub const BAD_CHARTER: &str = "BAD_CHARTER";
/// A subject key is not the one that the charter commits to.
pub const BAD_KEY_GRANT: &str = "BAD_KEY_GRANT";
/// What should show that a member signed two histories does not.
pub const BAD_EVIDENCE: &str = "BAD_EVIDENCE";
/// What is asked for is not held here.
pub const NOT_HELD: &str = "NOT_HELD";
/// The peer did not answer in time.
pub const PEER_SILENT: &str = "PEER_SILENT";
/// A later start of the gateway that hears this is known, or another one of the same number.
pub const OLDER_START: &str = "OLDER_START";
/// The gateway stops, or another session takes over.
pub const GOING_AWAY: &str = "GOING_AWAY";
/// The gateway that speaks cannot go on for a reason of its own.
pub const INTERNAL: &str = "INTERNAL";

/// All of them, in the order of `docs/errors.md`.
pub const ALL: [&str; 19] = [
    MEMBER_NOT_ACTIVE,
    PROTOCOL_MISMATCH,
    OTHER_MEMBER,
    OTHER_FEDERATION,
    MALFORMED_FRAME,
    UNKNOWN_FRAME,
    TOO_MANY_REQUESTS,
    BAD_CHECKPOINT,
    BAD_CHUNK,
    BAD_PROOF,
    BAD_BLOB,
    BAD_CHARTER,
    BAD_KEY_GRANT,
    BAD_EVIDENCE,
    NOT_HELD,
    PEER_SILENT,
    OLDER_START,
    GOING_AWAY,
    INTERNAL,
];

/// The constant for a reason that a peer wrote: what it wrote is never shown, only what we know.
pub fn known(reason: &str) -> &'static str {
    ALL.into_iter().find(|known| *known == reason).unwrap_or("UNKNOWN_PROBLEM")
}
