// This file is written by sundbro-proto-codegen.
impl ::core::fmt::Debug for SynchroniseRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SynchroniseRequest")
            .field("frame", &self.frame)
            .finish()
    }
}
impl ::core::fmt::Debug for SynchroniseResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SynchroniseResponse")
            .field("frame", &self.frame)
            .finish()
    }
}
impl ::core::fmt::Debug for frame::Kind {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::Hello(it) => f.debug_tuple("Hello").field(&it).finish(),
            Self::Heads(it) => f.debug_tuple("Heads").field(&it).finish(),
            Self::Consistency(it) => f.debug_tuple("Consistency").field(&it).finish(),
            Self::Want(it) => f.debug_tuple("Want").field(&it).finish(),
            Self::Chunk(it) => f.debug_tuple("Chunk").field(&it).finish(),
            Self::Payloads(it) => f.debug_tuple("Payloads").field(&it).finish(),
            Self::Charter(it) => f.debug_tuple("Charter").field(&it).finish(),
            Self::KeyGrant(it) => f.debug_tuple("KeyGrant").field(&it).finish(),
            Self::Problem(it) => f.debug_tuple("Problem").field(&it).finish(),
            Self::Ack(it) => f.debug_tuple("Ack").field(&it).finish(),
            Self::Evidence(it) => f.debug_tuple("Evidence").field(&it).finish(),
            Self::StartQuestion(it) => f.debug_tuple("StartQuestion").field(&it).finish(),
            Self::StartAnswer(it) => f.debug_tuple("StartAnswer").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .finish()
    }
}
impl ::core::fmt::Debug for Hello {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Hello")
            .field("protocol_min", &self.protocol_min)
            .field("protocol_max", &self.protocol_max)
            .field("software", &crate::withheld::one(&self.software))
            .field("member", &crate::withheld::one(&self.member))
            .field("federation_id", &crate::withheld::one(&self.federation_id))
            .field("incarnation", &self.incarnation)
            .field("instance_id", &crate::withheld::one(&self.instance_id))
            .field("charter_version", &self.charter_version)
            .field("subject_epochs", &self.subject_epochs)
            .finish()
    }
}
impl ::core::fmt::Debug for Heads {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Heads")
            .field("heads", &self.heads)
            .finish()
    }
}
impl ::core::fmt::Debug for Head {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Head")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .finish()
    }
}
impl ::core::fmt::Debug for Consistency {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Consistency")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("old_size", &self.old_size)
            .field("new_size", &self.new_size)
            .field("proof", &self.proof)
            .finish()
    }
}
impl ::core::fmt::Debug for ConsistencyProof {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ConsistencyProof")
            .field("hashes", &crate::withheld::all(&self.hashes))
            .finish()
    }
}
impl ::core::fmt::Debug for want::What {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::Entries(it) => f.debug_tuple("Entries").field(&it).finish(),
            Self::Blobs(it) => f.debug_tuple("Blobs").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for Want {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Want")
            .field("what", &self.what)
            .finish()
    }
}
impl ::core::fmt::Debug for WantEntries {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("WantEntries")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("start", &self.start)
            .field("tree_size", &self.tree_size)
            .field("end", &self.end)
            .finish()
    }
}
impl ::core::fmt::Debug for WantBlobs {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("WantBlobs")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("keys", &self.keys)
            .finish()
    }
}
impl ::core::fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("BlobKey")
            .field("position", &self.position)
            .field("kind", &self.kind())
            .field("commitment", &crate::withheld::one(&self.commitment))
            .finish()
    }
}
impl ::core::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Chunk")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("start", &self.start)
            .field("tree_size", &self.tree_size)
            .field("bundle", &crate::withheld::one(&self.bundle))
            .field("proof", &crate::withheld::all(&self.proof))
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .finish()
    }
}
impl ::core::fmt::Debug for Payloads {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Payloads")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("blobs", &self.blobs)
            .field("missing", &self.missing)
            .finish()
    }
}
impl ::core::fmt::Debug for Blob {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Blob")
            .field("key", &self.key)
            .field("bytes", &crate::withheld::one(&self.bytes))
            .finish()
    }
}
impl ::core::fmt::Debug for CharterFrame {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("CharterFrame")
            .field("charters", &self.charters)
            .finish()
    }
}
impl ::core::fmt::Debug for KeyGrant {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("KeyGrant")
            .field("grant", &self.grant)
            .finish()
    }
}
impl ::core::fmt::Debug for StartQuestion {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("StartQuestion")
            .field("round", &self.round)
            .finish()
    }
}
impl ::core::fmt::Debug for StartAnswer {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("StartAnswer")
            .field("round", &self.round)
            .field("incarnation", &self.incarnation)
            .field("is_yours", &self.is_yours)
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .finish()
    }
}
impl ::core::fmt::Debug for Problem {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Problem")
            .field("reason", &crate::withheld::one(&self.reason))
            .field("message", &crate::withheld::one(&self.message))
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("closing", &self.closing)
            .finish()
    }
}
impl ::core::fmt::Debug for Ack {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Ack")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("durable_size", &self.durable_size)
            .finish()
    }
}
impl ::core::fmt::Debug for EvidenceFrame {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("EvidenceFrame")
            .field("evidence", &crate::withheld::one(&self.evidence))
            .finish()
    }
}
impl ::core::fmt::Debug for RetrieveRecordRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrieveRecordRequest")
            .field("request", &self.request)
            .finish()
    }
}
impl ::core::fmt::Debug for retrieve_record_response::Part {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::Grant(it) => f.debug_tuple("Grant").field(&it).finish(),
            Self::Data(it) => f.debug_tuple("Data").field(&crate::withheld::one(it)).finish(),
            Self::Completion(it) => f.debug_tuple("Completion").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for RetrieveRecordResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrieveRecordResponse")
            .field("part", &self.part)
            .finish()
    }
}
impl ::core::fmt::Debug for AcknowledgeRetrievalRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("AcknowledgeRetrievalRequest")
            .field("acknowledgement", &self.acknowledgement)
            .finish()
    }
}
impl ::core::fmt::Debug for AcknowledgeRetrievalResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("AcknowledgeRetrievalResponse")
            .finish()
    }
}
