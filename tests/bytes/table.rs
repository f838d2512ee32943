//! For every field of every message: what becomes of the message when something is wrong with it.

/// A message, its fields, and for each the damages that are not what they are for every field.
pub(crate) type Rows = &'static [(&'static str, &'static [(&'static str, &'static str)])];

/// Messages of `sundbro.ledger.v1`, read by the ledger: the damages after which a message is still read. After any other
/// it is refused, but that a reader who forgives reads what keeps its meaning.
pub(crate) const LEDGER: Rows = &[
    // ledger/v1/transaction.proto
    (
        "TransactionHeader",
        &[
            ("format", ""),
            ("charter_version", "Max"),
            ("log_id", ""),
            ("position", "Missing Max"),
            ("previous_leaf", ""),
            ("key_id", "Max"),
            ("incarnation", "Max"),
            ("recorded_hour", "Missing Max"),
            ("payload_commitment", ""),
            ("payload_size", "Missing"),
            ("audience", ""),
        ],
    ),
    ("ObjectId", &[("member", ""), ("id", "")]),
    ("RecordVersion", &[("record", ""), ("version", "Max")]),
    ("SubjectTag", &[("scheme", ""), ("epoch", ""), ("value", "")]),
    ("Coding", &[("system", ""), ("code", "")]),
    ("Identifier", &[("system", ""), ("value", "")]),
    // ledger/v1/payload.proto
    (
        "TransactionPayload",
        &[("record_registered", ""), ("record_withdrawn", ""), ("observation", "")],
    ),
    (
        "RecordRegistered",
        &[
            ("record", ""),
            ("version", "Max"),
            ("subjects", ""),
            ("lifecycle", "UnknownNumber"),
            ("detail_commitment", ""),
            ("replaces", "Missing"),
        ],
    ),
    ("RecordWithdrawn", &[("record", ""), ("reason", "UnknownNumber")]),
    // Whether the sum is right, the fold judges.
    ("Observation", &[("heads_root", ""), ("heads_count", "Missing Max"), ("changed", "")]),
    ("ObservedHead", &[("log_id", ""), ("size", ""), ("root", "")]),
    (
        "RecordDetail",
        &[
            ("record", ""),
            ("audience", ""),
            ("class", "Missing"),
            ("media_type", ""),
            ("content_sha256", ""),
            ("content_size_bytes", "Missing Max"),
            ("stability", ""),
            ("period", "Missing"),
            ("author_unit", "Missing"),
            ("facility", "Missing"),
            ("practice_setting", "Missing"),
            ("confidentiality", ""),
            ("language", "Missing"),
            ("episodes", "Missing"),
        ],
    ),
    ("DetailAudience", &[("all", ""), ("members", "")]),
    (
        "ClinicalPeriod",
        &[("start_unix_seconds", "Missing Negative"), ("end_unix_seconds", "Missing Max")],
    ),
    // ledger/v1/charter.proto
    (
        "CharterHead",
        &[
            ("format", ""),
            ("version", "Max"),
            ("previous", ""),
            ("branches", "Missing"),
            ("environment", ""),
            ("stewards", ""),
            ("threshold", ""),
            ("authorities", "Missing"),
            ("recovery_quorum", "Missing Max"),
            ("witness_quorum", "Missing Max"),
            ("limits", "Missing"),
            ("subject_epochs", "Missing"),
            ("members_count", "Missing Max"),
            ("members_root", ""),
        ],
    ),
    ("LogBranch", &[("log_id", ""), ("size", "Missing Max"), ("root", "")]),
    ("Steward", &[("ordinal", ""), ("name", ""), ("public_key", "")]),
    (
        "CertificateAuthority",
        &[("certificate_sha256", ""), ("certificate", ""), ("members", "Missing")],
    ),
    ("CharterLimits", &[("max_format", "Missing Max"), ("max_log_bytes_per_day", "Missing Max")]),
    ("SubjectEpoch", &[("epoch", ""), ("scheme", ""), ("key_commitment", "")]),
    (
        "MemberEntry",
        &[
            ("name", ""),
            ("display_name", ""),
            ("identifiers", "Missing"),
            ("roles", "Missing UnknownNumber"),
            ("state", ""),
            ("endpoint", ""),
            ("keys", "Missing"),
            ("log_epochs", ""),
        ],
    ),
    ("RegisterIdentifier", &[("system", ""), ("value", "")]),
    (
        "MemberKey",
        &[
            ("key_id", ""),
            ("purpose", ""),
            ("algorithm", ""),
            ("public_key", ""),
            ("log_epoch", ""),
            ("from", "Missing Max"),
            ("to", "Missing Max"),
        ],
    ),
    ("LogEpoch", &[("epoch", ""), ("end", "")]),
    ("LogEnd", &[("size", "Missing Max"), ("root", "")]),
    ("Charter", &[("head", ""), ("signatures", ""), ("members", "")]),
    ("StewardSignature", &[("ordinal", ""), ("signature", "")]),
    ("MemberCard", &[("entry", ""), ("signatures", "")]),
    ("CardSignature", &[("key_id", ""), ("signature", "")]),
    ("SubjectKeyGrant", &[("epoch", ""), ("sealing_key_id", ""), ("enc", ""), ("ciphertext", "")]),
    // ledger/v1/retrieval.proto
    (
        "RetrievalRequest",
        &[
            ("format", ""),
            ("requester", ""),
            ("owner", ""),
            ("record", ""),
            ("charter_version", ""),
            ("key_id", ""),
            ("user", ""),
            ("role", ""),
            ("unit", "Missing"),
            ("purpose", "UnknownNumber"),
            ("break_glass_reason", "Missing UnknownNumber"),
            ("assurance", ""),
            ("nonce", ""),
            ("requested_unix_seconds", "Missing Max"),
        ],
    ),
    ("SignedMessage", &[("message", ""), ("signature", "")]),
    (
        "RetrievalGrant",
        &[
            ("format", ""),
            ("request_sha256", ""),
            ("outcome", ""),
            ("rule", ""),
            ("policy_sha256", ""),
            ("entry", ""),
            ("inclusion_proof", ""),
            ("checkpoint", ""),
            ("expected_size_bytes", "Missing Max"),
            ("expected_sha256", ""),
            ("charter_version", ""),
            ("key_id", ""),
        ],
    ),
    (
        "RetrievalCompletion",
        &[
            ("format", ""),
            ("grant_sha256", ""),
            ("bytes_sent", ""),
            ("content_sha256", ""),
            ("status", ""),
            ("charter_version", ""),
            ("key_id", ""),
        ],
    ),
    (
        "RetrievalAcknowledgement",
        &[
            ("format", ""),
            ("completion_sha256", ""),
            ("status", ""),
            ("charter_version", ""),
            ("key_id", ""),
        ],
    ),
    (
        "Receipt",
        &[
            ("format", ""),
            ("heads", ""),
            ("members", ""),
            ("request", ""),
            ("grant", ""),
            ("completion", ""),
            ("acknowledgement", "Missing"),
            ("payload_blob", ""),
            ("detail_blob", "Missing"),
        ],
    ),
    ("ReceiptHead", &[("head", ""), ("signatures", "")]),
    (
        "ReceiptMember",
        &[("charter_version", ""), ("entry", ""), ("index", ""), ("inclusion_proof", "")],
    ),
    // ledger/v1/evidence.proto
    (
        "Evidence",
        &[("format", ""), ("two_entries", ""), ("two_checkpoints", ""), ("two_trees", "")],
    ),
    ("TwoEntries", &[("a", ""), ("b", "")]),
    ("TwoCheckpoints", &[("a", ""), ("b", "")]),
    ("TwoTrees", &[("position", ""), ("a", ""), ("b", "")]),
    ("TreeSide", &[("checkpoint", ""), ("leaf_hash", ""), ("inclusion_proof", "")]),
    ("EvidenceFile", &[("format", ""), ("heads", ""), ("members", ""), ("evidence", "")]),
];

/// Messages of `sundbro.federation.v1`, sent to a gateway: each reason that the sender is told when the session ends, and
/// the damages after which it is; before a colon, when they are sent (`When` in `frames.rs`), where that matters. After any
/// other it goes on, but that what is no protobuf, or more than a frame, ends it without a word.
pub(crate) const FRAMES: Rows = &[
    // federation/v1/federation.proto
    (
        "SynchroniseRequest",
        &[(
            "frame",
            "UNKNOWN_FRAME=Missing,Default Proof:BAD_PROOF=Twice Chunk:BAD_CHUNK=Twice Tail:BAD_CHUNK=Twice",
        )],
    ),
    ("SynchroniseResponse", &[("frame", "NOTHING_THERE=Missing,Default")]),
    (
        "Frame",
        &[
            ("hello", "UNKNOWN_FRAME=Missing MALFORMED_FRAME=Default"),
            ("heads", "UNKNOWN_FRAME=Missing"),
            ("consistency", "UNKNOWN_FRAME=Missing MALFORMED_FRAME=Default Proof:BAD_PROOF=Twice"),
            ("want", "UNKNOWN_FRAME=Missing MALFORMED_FRAME=Default"),
            ("chunk", "UNKNOWN_FRAME=Missing BAD_CHUNK=Twice MALFORMED_FRAME=Default"),
            ("payloads", "UNKNOWN_FRAME=Missing MALFORMED_FRAME=Default"),
            ("charter", "UNKNOWN_FRAME=Missing"),
            ("key_grant", "UNKNOWN_FRAME=Missing MALFORMED_FRAME=Default"),
            ("problem", "UNKNOWN_FRAME=Missing"),
            ("ack", "UNKNOWN_FRAME=Missing MALFORMED_FRAME=Default"),
            ("evidence", "UNKNOWN_FRAME=Missing BAD_EVIDENCE=Default"),
            ("start_question", "UNKNOWN_FRAME=Missing"),
            ("start_answer", "UNKNOWN_FRAME=Missing"),
        ],
    ),
    (
        "Hello",
        &[
            ("protocol_min", "MALFORMED_FRAME=Missing,Default,Max"),
            ("protocol_max", "MALFORMED_FRAME=Missing,Default"),
            ("software", "MALFORMED_FRAME=Huge,Control"),
            ("member", "OTHER_MEMBER=Missing,Default,Huge,Control"),
            ("federation_id", "OTHER_FEDERATION=Missing,Default,Shorter,Longer,Huge"),
            ("incarnation", ""),
            ("instance_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            ("charter_version", ""),
            ("subject_epochs", "GOES_ON=WrongType MALFORMED_FRAME=Many"),
        ],
    ),
    ("Heads", &[("heads", "MALFORMED_FRAME=Default")]),
    (
        "Head",
        &[
            ("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            ("checkpoint", "BAD_CHECKPOINT=Missing,Default,Shorter,Longer,Huge"),
        ],
    ),
    (
        "Consistency",
        &[
            ("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            (
                "old_size",
                "Anytime:MALFORMED_FRAME=Missing,Default,Max Proof:BAD_PROOF=Missing,Default,Max",
            ),
            (
                "new_size",
                "Anytime:MALFORMED_FRAME=Missing,Default Proof:BAD_PROOF=Missing,Default,Max",
            ),
            ("proof", "BAD_PROOF=Twice,Default"),
        ],
    ),
    (
        "ConsistencyProof",
        &[("hashes", "BAD_PROOF=Missing,Again,Reversed,Many,Shorter,Longer,Huge")],
    ),
    (
        "Want",
        &[
            ("entries", "MALFORMED_FRAME=Missing,Default"),
            ("blobs", "MALFORMED_FRAME=Missing,Default"),
        ],
    ),
    (
        "WantEntries",
        &[
            ("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            ("start", "MALFORMED_FRAME=Max"),
            ("tree_size", "MALFORMED_FRAME=Missing,Default"),
            ("end", "MALFORMED_FRAME=Max"),
        ],
    ),
    (
        "WantBlobs",
        &[
            ("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            ("keys", "MALFORMED_FRAME=Many,Default"),
        ],
    ),
    (
        "BlobKey",
        &[
            ("position", ""),
            ("kind", "Wanted:MALFORMED_FRAME=Missing,Default,UnknownNumber"),
            ("commitment", "Wanted:MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
        ],
    ),
    (
        "Chunk",
        &[
            ("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            ("start", "Chunk:BAD_CHUNK=Missing,Default,Max"),
            ("tree_size", "BAD_CHUNK=Missing,Default,Max"),
            ("bundle", "Chunk:BAD_CHUNK=Missing,Default BAD_CHUNK=Shorter,Longer,Huge"),
            ("proof", "BAD_CHUNK=Missing,Again,Many,Shorter,Longer,Huge"),
            ("checkpoint", "BAD_CHECKPOINT=Shorter,Longer,Huge"),
        ],
    ),
    (
        "Payloads",
        &[
            ("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"),
            ("blobs", ""),
            ("missing", ""),
        ],
    ),
    ("Blob", &[("key", ""), ("bytes", "Blobs:BAD_BLOB=Missing,Default,Shorter,Longer,Huge")]),
    ("CharterFrame", &[("charters", "BAD_CHARTER=Default")]),
    ("KeyGrant", &[("grant", "MALFORMED_FRAME=Missing")]),
    ("EvidenceFrame", &[("evidence", "BAD_EVIDENCE=Missing,Default,Shorter,Longer,Huge")]),
    ("Problem", &[("reason", ""), ("message", ""), ("log_id", ""), ("closing", "")]),
    ("StartQuestion", &[("round", "")]),
    (
        "StartAnswer",
        &[
            ("round", ""),
            ("incarnation", ""),
            ("is_yours", ""),
            ("checkpoint", "BAD_CHECKPOINT=Shorter,Longer,Huge"),
        ],
    ),
    (
        "Ack",
        &[("log_id", "MALFORMED_FRAME=Missing,Default,Shorter,Longer,Huge"), ("durable_size", "")],
    ),
    // federation/v1/retrieval.proto
    ("RetrieveRecordRequest", &[("request", "NOTHING_THERE=Missing")]),
    (
        "RetrieveRecordResponse",
        &[
            ("grant", "NOTHING_THERE=Missing"),
            ("data", "NOTHING_THERE=Missing"),
            ("completion", "NOTHING_THERE=Missing"),
        ],
    ),
    ("AcknowledgeRetrievalRequest", &[("acknowledgement", "NOTHING_THERE=Missing")]),
];
