"""The tables of protocol.md, field by field: numbers, names, types, lengths and enums."""

from .wire import BOOL, BYTES, I64, TEXT, U32, U64, Enum, Field, Message


def closed(**names):
    return Enum(names, True)


def may_grow(**names):
    return Enum(names, False)


# §4 Entries

AUDIENCE = closed(FEDERATION=1, LIMITED=2)

HEADER = Message("TransactionHeader", "4", (
    Field(1, "format", U32),
    Field(2, "charter_version", U64),
    Field(3, "log_id", BYTES, size=32),
    Field(4, "position", U64),
    Field(5, "previous_leaf", BYTES, size=32),
    Field(6, "key_id", U32),
    Field(7, "incarnation", U32),
    Field(8, "recorded_hour", U32),
    Field(9, "payload_commitment", BYTES, size=32),
    Field(10, "payload_size", U32),
    Field(11, "audience", AUDIENCE),
), limit=512)

# §6 Bodies

OBJECT_ID = Message("ObjectId", "6", (
    Field(1, "member", TEXT),
    Field(2, "id", BYTES, size=16),
))
RECORD_VERSION = Message("RecordVersion", "6", (
    Field(1, "record", OBJECT_ID),
    Field(2, "version", U32),
))
CODING = Message("Coding", "6", (Field(1, "system", TEXT), Field(2, "code", TEXT)))
IDENTIFIER = Message("Identifier", "6", (Field(1, "system", TEXT), Field(2, "value", TEXT)))

SUBJECT = Message("subjects", "6", (
    Field(1, "scheme", U32),
    Field(2, "epoch", U32),
    Field(3, "value", BYTES, size=32),
))
RECORD_REGISTERED = Message("RecordRegistered", "6", (
    Field(1, "record", OBJECT_ID),
    Field(2, "version", U32),
    Field(3, "subjects", SUBJECT, many=True),
    Field(4, "lifecycle", may_grow(PRELIMINARY=1, FINAL=2, AMENDED=3)),
    Field(5, "detail_commitment", BYTES, size=32),
    Field(6, "replaces", RECORD_VERSION),
))
RECORD_WITHDRAWN = Message("RecordWithdrawn", "6", (
    Field(1, "record", OBJECT_ID),
    Field(2, "reason", may_grow(SOURCE_REMOVED=1, ENTERED_IN_ERROR=2, SOURCE_LOST=3)),
))
OBSERVED_HEAD = Message("ObservedHead", "6", (
    Field(1, "log_id", BYTES, size=32),
    Field(2, "size", U64),
    Field(3, "root", BYTES, size=32),
))
OBSERVATION = Message("Observation", "6", (
    Field(1, "heads_root", BYTES, size=32),
    Field(2, "heads_count", U64),
    Field(3, "changed", OBSERVED_HEAD, many=True),
))
PAYLOAD = Message("TransactionPayload", "6", (
    Field(1, "record_registered", RECORD_REGISTERED),
    Field(2, "record_withdrawn", RECORD_WITHDRAWN),
    Field(80, "observation", OBSERVATION),
), limit=65_500)

DETAIL_AUDIENCE = Message("audience", "6", (
    Field(1, "all", BOOL),
    Field(2, "members", TEXT, many=True),
))
PERIOD = Message("period", "6", (
    Field(1, "start_unix_seconds", I64, presence=True),
    Field(2, "end_unix_seconds", I64, presence=True),
))
CONFIDENTIALITY = closed(NORMAL=1, RESTRICTED=2, VERY_RESTRICTED=3)
DETAIL = Message("RecordDetail", "6", (
    Field(1, "record", RECORD_VERSION),
    Field(2, "audience", DETAIL_AUDIENCE),
    Field(3, "class", CODING),
    Field(4, "media_type", TEXT),
    Field(5, "content_sha256", BYTES, size=32),
    Field(6, "content_size_bytes", U64),
    Field(7, "stability", closed(STABLE=1, ON_DEMAND=2)),
    Field(8, "period", PERIOD),
    Field(9, "author_unit", IDENTIFIER),
    Field(10, "facility", CODING),
    Field(11, "practice_setting", CODING),
    Field(12, "confidentiality", CONFIDENTIALITY),
    Field(13, "language", TEXT),
    Field(14, "episodes", OBJECT_ID, many=True),
), limit=65_500)

# §3 Chunks

CHUNK = Message("Chunk", "3", (
    Field(1, "log_id", BYTES, size=32),
    Field(2, "start", U64),
    Field(3, "tree_size", U64),
    Field(4, "bundle", BYTES),
    Field(5, "proof", BYTES, many=True, size=32),
    Field(6, "checkpoint", BYTES),
))

# §7 Charter

STEWARD_SIGNATURE = Message("signatures", "7", (
    Field(1, "ordinal", U32),
    Field(2, "signature", BYTES, size=64),
))
BRANCH = Message("branches", "7", (
    Field(1, "log_id", BYTES, size=32),
    Field(2, "size", U64),
    Field(3, "root", BYTES, size=32),
))
STEWARD = Message("stewards", "7", (
    Field(1, "ordinal", U32),
    Field(2, "name", TEXT),
    Field(3, "public_key", BYTES, size=32),
))
AUTHORITY = Message("authorities", "7", (
    Field(1, "certificate_sha256", BYTES, size=32),
    Field(2, "certificate", BYTES),
    Field(3, "members", TEXT, many=True),
))
LIMITS = Message("limits", "7", (
    Field(1, "max_format", U32),
    Field(2, "max_log_bytes_per_day", U64),
))
SUBJECT_EPOCH = Message("subject_epochs", "7", (
    Field(1, "epoch", U32),
    Field(2, "scheme", U32),
    Field(3, "key_commitment", BYTES, size=32),
))
ENVIRONMENT = closed(TEST=1, PRODUCTION=2)
HEAD = Message("CharterHead", "7", (
    Field(1, "format", U32),
    Field(2, "version", U64),
    Field(3, "previous", BYTES, many=True, size=32),
    Field(4, "branches", BRANCH, many=True),
    Field(5, "environment", ENVIRONMENT),
    Field(6, "stewards", STEWARD, many=True),
    Field(7, "threshold", U32),
    Field(8, "authorities", AUTHORITY, many=True),
    Field(9, "recovery_quorum", U32),
    Field(10, "witness_quorum", U32),
    Field(11, "limits", LIMITS),
    Field(12, "subject_epochs", SUBJECT_EPOCH, many=True),
    Field(13, "members_count", U64),
    Field(14, "members_root", BYTES, size=32),
), limit=262_144)

PURPOSE = closed(TRANSACTION=1, CHECKPOINT=2, SERVICE=3, WITNESS=4, SEALING=5, ROOT=6)
ALGORITHM = closed(ED25519=1, X25519=2)
STATE = closed(ACTIVE=1, SUSPENDED=2, LEFT=3)
KEY = Message("keys", "7", (
    Field(1, "key_id", U32),
    Field(2, "purpose", PURPOSE),
    Field(3, "algorithm", ALGORITHM),
    Field(4, "public_key", BYTES, size=32),
    Field(5, "log_epoch", U32),
    Field(6, "from", U64),
    Field(7, "to", U64, presence=True),
))
LOG_END = Message("end", "7", (Field(1, "size", U64), Field(2, "root", BYTES, size=32)))
LOG_EPOCH = Message("log_epochs", "7", (Field(1, "epoch", U32), Field(2, "end", LOG_END)))
ROLE = may_grow(GENERAL_PRACTICE=1, HOSPITAL=2, LABORATORY=3, MUNICIPALITY=4, REGION=5)
ENTRY = Message("MemberEntry", "7", (
    Field(1, "name", TEXT),
    Field(2, "display_name", TEXT),
    Field(3, "identifiers", IDENTIFIER, many=True),
    Field(4, "roles", ROLE, many=True),
    Field(5, "state", STATE),
    Field(6, "endpoint", TEXT),
    Field(7, "keys", KEY, many=True),
    Field(8, "log_epochs", LOG_EPOCH, many=True),
), limit=65_536)

KEY_SIGNATURE = Message("signatures", "7", (
    Field(1, "key_id", U32),
    Field(2, "signature", BYTES, size=64),
))
CARD = Message("MemberCard", "7", (
    Field(1, "entry", BYTES),
    Field(2, "signatures", KEY_SIGNATURE, many=True),
))

# §8 Subject tags

KEY_GRANT = Message("SubjectKeyGrant", "8", (
    Field(1, "epoch", U32),
    Field(2, "sealing_key_id", U32),
    Field(3, "enc", BYTES, size=32),
    Field(4, "ciphertext", BYTES, size=48),
))

# §9 Retrieval

OUTCOME = closed(PERMITTED=1, REFUSED=2)
COMPLETION_STATUS = closed(COMPLETE=1, ABORTED=2)
ACKNOWLEDGEMENT_STATUS = closed(MATCHING=1, MISMATCH=2)

REQUEST = Message("RetrievalRequest", "9", (
    Field(1, "format", U32),
    Field(2, "requester", TEXT),
    Field(3, "owner", TEXT),
    Field(4, "record", RECORD_VERSION),
    Field(5, "charter_version", U64),
    Field(6, "key_id", U32),
    Field(7, "user", TEXT),
    Field(8, "role", TEXT),
    Field(9, "unit", IDENTIFIER),
    Field(10, "purpose", may_grow(
        TREATMENT=1, EMERGENCY_TREATMENT=2, PATIENT_REQUEST=3, HEALTHCARE_OPERATIONS=4)),
    Field(11, "break_glass_reason", may_grow(
        VITAL_INTEREST=1, OTHERS_VITAL_INTEREST=2), unspecified=True),
    Field(12, "assurance", closed(CLIENT_ASSERTED=1, TOKEN_VERIFIED=2)),
    Field(13, "nonce", BYTES, size=16),
    Field(14, "requested_unix_seconds", I64),
), limit=4_096)
GRANT = Message("RetrievalGrant", "9", (
    Field(1, "format", U32),
    Field(2, "request_sha256", BYTES, size=32),
    Field(3, "outcome", OUTCOME),
    Field(4, "rule", TEXT),
    Field(5, "policy_sha256", BYTES, size=32),
    Field(6, "entry", BYTES),
    Field(7, "inclusion_proof", BYTES, many=True, size=32),
    Field(8, "checkpoint", BYTES),
    Field(9, "expected_size_bytes", U64),
    Field(10, "expected_sha256", BYTES),  # 32 bytes, but absent in a refusal
    Field(11, "charter_version", U64),
    Field(12, "key_id", U32),
), limit=73_728)
COMPLETION = Message("RetrievalCompletion", "9", (
    Field(1, "format", U32),
    Field(2, "grant_sha256", BYTES, size=32),
    Field(3, "bytes_sent", U64),
    Field(4, "content_sha256", BYTES, size=32),
    Field(5, "status", COMPLETION_STATUS),
    Field(6, "charter_version", U64),
    Field(7, "key_id", U32),
), limit=256)
ACKNOWLEDGEMENT = Message("RetrievalAcknowledgement", "9", (
    Field(1, "format", U32),
    Field(2, "completion_sha256", BYTES, size=32),
    Field(3, "status", ACKNOWLEDGEMENT_STATUS),
    Field(4, "charter_version", U64),
    Field(5, "key_id", U32),
), limit=256)

SIGNED = Message("a signed message", "9", (
    Field(1, "message", BYTES),
    Field(2, "signature", BYTES, size=64),
))
SIGNED_HEAD = Message("heads", "9", (
    Field(1, "head", BYTES),
    Field(2, "signatures", STEWARD_SIGNATURE, many=True),
))
LISTED_MEMBER = Message("members", "9", (
    Field(1, "charter_version", U64),
    Field(2, "entry", BYTES),
    Field(3, "index", U64),
    Field(4, "inclusion_proof", BYTES, many=True, size=32),
))
RECEIPT = Message("Receipt", "9", (
    Field(1, "format", U32),
    Field(2, "heads", SIGNED_HEAD, many=True),
    Field(3, "members", LISTED_MEMBER, many=True),
    Field(4, "request", SIGNED),
    Field(5, "grant", SIGNED),
    Field(6, "completion", SIGNED),
    Field(7, "acknowledgement", SIGNED),
    Field(8, "payload_blob", BYTES),
    Field(9, "detail_blob", BYTES),
), limit=16 * 2**20)

# §10 Evidence

TWO = (
    Field(1, "a", BYTES),
    Field(2, "b", BYTES),
)
TREE_SIDE = Message("TreeSide", "10", (
    Field(1, "checkpoint", BYTES),
    Field(2, "leaf_hash", BYTES, size=32),
    Field(3, "inclusion_proof", BYTES, many=True, size=32),
))
EVIDENCE = Message("Evidence", "10", (
    Field(1, "format", U32),
    Field(2, "two_entries", Message("two_entries", "10", TWO)),
    Field(3, "two_checkpoints", Message("two_checkpoints", "10", TWO)),
    Field(4, "two_trees", Message("two_trees", "10", (
        Field(1, "position", U64),
        Field(2, "a", TREE_SIDE),
        Field(3, "b", TREE_SIDE),
    ))),
), limit=163_840)
EVIDENCE_FILE = Message("EvidenceFile", "10", (
    Field(1, "format", U32),
    Field(2, "heads", SIGNED_HEAD, many=True),
    Field(3, "members", LISTED_MEMBER, many=True),
    Field(4, "evidence", BYTES),
), limit=16 * 2**20)
