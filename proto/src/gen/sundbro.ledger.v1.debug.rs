// This file is written by sundbro-proto-codegen.
impl ::core::fmt::Debug for TransactionHeader {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("TransactionHeader")
            .field("format", &self.format)
            .field("charter_version", &self.charter_version)
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("position", &self.position)
            .field("previous_leaf", &crate::withheld::one(&self.previous_leaf))
            .field("key_id", &self.key_id)
            .field("incarnation", &self.incarnation)
            .field("recorded_hour", &self.recorded_hour)
            .field("payload_commitment", &crate::withheld::one(&self.payload_commitment))
            .field("payload_size", &self.payload_size)
            .field("audience", &self.audience())
            .finish()
    }
}
impl ::core::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ObjectId")
            .field("member", &crate::withheld::one(&self.member))
            .field("id", &crate::withheld::one(&self.id))
            .finish()
    }
}
impl ::core::fmt::Debug for RecordVersion {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RecordVersion")
            .field("record", &self.record)
            .field("version", &self.version)
            .finish()
    }
}
impl ::core::fmt::Debug for SubjectTag {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SubjectTag")
            .field("scheme", &self.scheme)
            .field("epoch", &self.epoch)
            .field("value", &crate::withheld::one(&self.value))
            .finish()
    }
}
impl ::core::fmt::Debug for Coding {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Coding")
            .field("system", &crate::withheld::one(&self.system))
            .field("code", &crate::withheld::one(&self.code))
            .finish()
    }
}
impl ::core::fmt::Debug for Identifier {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Identifier")
            .field("system", &crate::withheld::one(&self.system))
            .field("value", &crate::withheld::one(&self.value))
            .finish()
    }
}
impl ::core::fmt::Debug for transaction_payload::Body {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::RecordRegistered(it) => f.debug_tuple("RecordRegistered").field(&it).finish(),
            Self::RecordWithdrawn(it) => f.debug_tuple("RecordWithdrawn").field(&it).finish(),
            Self::Observation(it) => f.debug_tuple("Observation").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for TransactionPayload {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("TransactionPayload")
            .field("body", &self.body)
            .finish()
    }
}
impl ::core::fmt::Debug for RecordRegistered {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RecordRegistered")
            .field("record", &self.record)
            .field("version", &self.version)
            .field("subjects", &self.subjects)
            .field("lifecycle", &self.lifecycle())
            .field("detail_commitment", &crate::withheld::one(&self.detail_commitment))
            .field("replaces", &self.replaces)
            .finish()
    }
}
impl ::core::fmt::Debug for RecordWithdrawn {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RecordWithdrawn")
            .field("record", &self.record)
            .field("reason", &self.reason())
            .finish()
    }
}
impl ::core::fmt::Debug for RecordDetail {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RecordDetail")
            .field("record", &self.record)
            .field("audience", &self.audience)
            .field("class", &self.class)
            .field("media_type", &crate::withheld::one(&self.media_type))
            .field("content_sha256", &crate::withheld::one(&self.content_sha256))
            .field("content_size_bytes", &self.content_size_bytes)
            .field("stability", &self.stability())
            .field("period", &self.period)
            .field("author_unit", &self.author_unit)
            .field("facility", &self.facility)
            .field("practice_setting", &self.practice_setting)
            .field("confidentiality", &self.confidentiality())
            .field("language", &crate::withheld::one(&self.language))
            .field("episodes", &self.episodes)
            .finish()
    }
}
impl ::core::fmt::Debug for DetailAudience {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("DetailAudience")
            .field("all", &self.all)
            .field("members", &crate::withheld::all(&self.members))
            .finish()
    }
}
impl ::core::fmt::Debug for ClinicalPeriod {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ClinicalPeriod")
            .field("start_unix_seconds", &self.start_unix_seconds)
            .field("end_unix_seconds", &self.end_unix_seconds)
            .finish()
    }
}
impl ::core::fmt::Debug for Observation {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Observation")
            .field("heads_root", &crate::withheld::one(&self.heads_root))
            .field("heads_count", &self.heads_count)
            .field("changed", &self.changed)
            .finish()
    }
}
impl ::core::fmt::Debug for ObservedHead {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ObservedHead")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("size", &self.size)
            .field("root", &crate::withheld::one(&self.root))
            .finish()
    }
}
impl ::core::fmt::Debug for CharterHead {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("CharterHead")
            .field("format", &self.format)
            .field("version", &self.version)
            .field("previous", &crate::withheld::all(&self.previous))
            .field("branches", &self.branches)
            .field("environment", &self.environment())
            .field("stewards", &self.stewards)
            .field("threshold", &self.threshold)
            .field("authorities", &self.authorities)
            .field("recovery_quorum", &self.recovery_quorum)
            .field("witness_quorum", &self.witness_quorum)
            .field("limits", &self.limits)
            .field("subject_epochs", &self.subject_epochs)
            .field("members_count", &self.members_count)
            .field("members_root", &crate::withheld::one(&self.members_root))
            .finish()
    }
}
impl ::core::fmt::Debug for LogBranch {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("LogBranch")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("size", &self.size)
            .field("root", &crate::withheld::one(&self.root))
            .finish()
    }
}
impl ::core::fmt::Debug for Steward {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Steward")
            .field("ordinal", &self.ordinal)
            .field("name", &crate::withheld::one(&self.name))
            .field("public_key", &crate::withheld::one(&self.public_key))
            .finish()
    }
}
impl ::core::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("certificate_sha256", &crate::withheld::one(&self.certificate_sha256))
            .field("certificate", &crate::withheld::one(&self.certificate))
            .field("members", &crate::withheld::all(&self.members))
            .finish()
    }
}
impl ::core::fmt::Debug for CharterLimits {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("CharterLimits")
            .field("max_format", &self.max_format)
            .field("max_log_bytes_per_day", &self.max_log_bytes_per_day)
            .finish()
    }
}
impl ::core::fmt::Debug for SubjectEpoch {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SubjectEpoch")
            .field("epoch", &self.epoch)
            .field("scheme", &self.scheme)
            .field("key_commitment", &crate::withheld::one(&self.key_commitment))
            .finish()
    }
}
impl ::core::fmt::Debug for MemberEntry {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("MemberEntry")
            .field("name", &crate::withheld::one(&self.name))
            .field("display_name", &crate::withheld::one(&self.display_name))
            .field("identifiers", &self.identifiers)
            .field("roles", &self.roles)
            .field("state", &self.state())
            .field("endpoint", &crate::withheld::one(&self.endpoint))
            .field("keys", &self.keys)
            .field("log_epochs", &self.log_epochs)
            .finish()
    }
}
impl ::core::fmt::Debug for RegisterIdentifier {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RegisterIdentifier")
            .field("system", &crate::withheld::one(&self.system))
            .field("value", &crate::withheld::one(&self.value))
            .finish()
    }
}
impl ::core::fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("MemberKey")
            .field("key_id", &self.key_id)
            .field("purpose", &self.purpose())
            .field("algorithm", &self.algorithm())
            .field("public_key", &crate::withheld::one(&self.public_key))
            .field("log_epoch", &self.log_epoch)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish()
    }
}
impl ::core::fmt::Debug for LogEpoch {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("LogEpoch")
            .field("epoch", &self.epoch)
            .field("end", &self.end)
            .finish()
    }
}
impl ::core::fmt::Debug for LogEnd {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("LogEnd")
            .field("size", &self.size)
            .field("root", &crate::withheld::one(&self.root))
            .finish()
    }
}
impl ::core::fmt::Debug for Charter {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Charter")
            .field("head", &crate::withheld::one(&self.head))
            .field("signatures", &self.signatures)
            .field("members", &crate::withheld::all(&self.members))
            .finish()
    }
}
impl ::core::fmt::Debug for StewardSignature {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("StewardSignature")
            .field("ordinal", &self.ordinal)
            .field("signature", &crate::withheld::one(&self.signature))
            .finish()
    }
}
impl ::core::fmt::Debug for MemberCard {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("MemberCard")
            .field("entry", &crate::withheld::one(&self.entry))
            .field("signatures", &self.signatures)
            .finish()
    }
}
impl ::core::fmt::Debug for CardSignature {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("CardSignature")
            .field("key_id", &self.key_id)
            .field("signature", &crate::withheld::one(&self.signature))
            .finish()
    }
}
impl ::core::fmt::Debug for SubjectKeyGrant {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SubjectKeyGrant")
            .field("epoch", &self.epoch)
            .field("sealing_key_id", &self.sealing_key_id)
            .field("enc", &crate::withheld::one(&self.enc))
            .field("ciphertext", &crate::withheld::one(&self.ciphertext))
            .finish()
    }
}
impl ::core::fmt::Debug for RetrievalRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrievalRequest")
            .field("format", &self.format)
            .field("requester", &crate::withheld::one(&self.requester))
            .field("owner", &crate::withheld::one(&self.owner))
            .field("record", &self.record)
            .field("charter_version", &self.charter_version)
            .field("key_id", &self.key_id)
            .field("user", &crate::withheld::one(&self.user))
            .field("role", &crate::withheld::one(&self.role))
            .field("unit", &self.unit)
            .field("purpose", &self.purpose())
            .field("break_glass_reason", &self.break_glass_reason())
            .field("assurance", &self.assurance())
            .field("nonce", &crate::withheld::one(&self.nonce))
            .field("requested_unix_seconds", &self.requested_unix_seconds)
            .finish()
    }
}
impl ::core::fmt::Debug for SignedMessage {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SignedMessage")
            .field("message", &crate::withheld::one(&self.message))
            .field("signature", &crate::withheld::one(&self.signature))
            .finish()
    }
}
impl ::core::fmt::Debug for RetrievalGrant {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrievalGrant")
            .field("format", &self.format)
            .field("request_sha256", &crate::withheld::one(&self.request_sha256))
            .field("outcome", &self.outcome())
            .field("rule", &crate::withheld::one(&self.rule))
            .field("policy_sha256", &crate::withheld::one(&self.policy_sha256))
            .field("entry", &crate::withheld::one(&self.entry))
            .field("inclusion_proof", &crate::withheld::all(&self.inclusion_proof))
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .field("expected_size_bytes", &self.expected_size_bytes)
            .field("expected_sha256", &crate::withheld::one(&self.expected_sha256))
            .field("charter_version", &self.charter_version)
            .field("key_id", &self.key_id)
            .finish()
    }
}
impl ::core::fmt::Debug for RetrievalCompletion {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrievalCompletion")
            .field("format", &self.format)
            .field("grant_sha256", &crate::withheld::one(&self.grant_sha256))
            .field("bytes_sent", &self.bytes_sent)
            .field("content_sha256", &crate::withheld::one(&self.content_sha256))
            .field("status", &self.status())
            .field("charter_version", &self.charter_version)
            .field("key_id", &self.key_id)
            .finish()
    }
}
impl ::core::fmt::Debug for RetrievalAcknowledgement {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrievalAcknowledgement")
            .field("format", &self.format)
            .field("completion_sha256", &crate::withheld::one(&self.completion_sha256))
            .field("status", &self.status())
            .field("charter_version", &self.charter_version)
            .field("key_id", &self.key_id)
            .finish()
    }
}
impl ::core::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Receipt")
            .field("format", &self.format)
            .field("heads", &self.heads)
            .field("members", &self.members)
            .field("request", &self.request)
            .field("grant", &self.grant)
            .field("completion", &self.completion)
            .field("acknowledgement", &self.acknowledgement)
            .field("payload_blob", &crate::withheld::one(&self.payload_blob))
            .field("detail_blob", &crate::withheld::one(&self.detail_blob))
            .finish()
    }
}
impl ::core::fmt::Debug for ReceiptHead {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ReceiptHead")
            .field("head", &crate::withheld::one(&self.head))
            .field("signatures", &self.signatures)
            .finish()
    }
}
impl ::core::fmt::Debug for ReceiptMember {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ReceiptMember")
            .field("charter_version", &self.charter_version)
            .field("entry", &crate::withheld::one(&self.entry))
            .field("index", &self.index)
            .field("inclusion_proof", &crate::withheld::all(&self.inclusion_proof))
            .finish()
    }
}
impl ::core::fmt::Debug for evidence::Contradiction {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::TwoEntries(it) => f.debug_tuple("TwoEntries").field(&it).finish(),
            Self::TwoCheckpoints(it) => f.debug_tuple("TwoCheckpoints").field(&it).finish(),
            Self::TwoTrees(it) => f.debug_tuple("TwoTrees").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Evidence")
            .field("format", &self.format)
            .field("contradiction", &self.contradiction)
            .finish()
    }
}
impl ::core::fmt::Debug for TwoEntries {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("TwoEntries")
            .field("a", &crate::withheld::one(&self.a))
            .field("b", &crate::withheld::one(&self.b))
            .finish()
    }
}
impl ::core::fmt::Debug for TwoCheckpoints {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("TwoCheckpoints")
            .field("a", &crate::withheld::one(&self.a))
            .field("b", &crate::withheld::one(&self.b))
            .finish()
    }
}
impl ::core::fmt::Debug for TwoTrees {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("TwoTrees")
            .field("position", &self.position)
            .field("a", &self.a)
            .field("b", &self.b)
            .finish()
    }
}
impl ::core::fmt::Debug for TreeSide {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("TreeSide")
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .field("leaf_hash", &crate::withheld::one(&self.leaf_hash))
            .field("inclusion_proof", &crate::withheld::all(&self.inclusion_proof))
            .finish()
    }
}
impl ::core::fmt::Debug for EvidenceFile {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("EvidenceFile")
            .field("format", &self.format)
            .field("heads", &self.heads)
            .field("members", &self.members)
            .field("evidence", &crate::withheld::one(&self.evidence))
            .finish()
    }
}
