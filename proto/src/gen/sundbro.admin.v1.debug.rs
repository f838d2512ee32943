// This file is written by sundbro-proto-codegen.
impl ::core::fmt::Debug for GetStatusRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetStatusRequest")
            .finish()
    }
}
impl ::core::fmt::Debug for GetStatusResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetStatusResponse")
            .field("member", &crate::withheld::one(&self.member))
            .field("federation_id", &crate::withheld::one(&self.federation_id))
            .field("software", &crate::withheld::one(&self.software))
            .field("incarnation", &self.incarnation)
            .field("signing_stopped_reason", &crate::withheld::one(&self.signing_stopped_reason))
            .field("signing_stopped_cure", &crate::withheld::one(&self.signing_stopped_cure))
            .field("coverage", &self.coverage)
            .field("start_time", &self.start_time)
            .field("adapters", &self.adapters)
            .field("policy", &self.policy)
            .field("endings", &self.endings)
            .field("own_log", &self.own_log)
            .field("scrub", &self.scrub)
            .field("outbox", &self.outbox)
            .finish()
    }
}
impl ::core::fmt::Debug for OutboxStatus {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("OutboxStatus")
            .field("waiting", &self.waiting)
            .field("since", &self.since)
            .field("full", &self.full)
            .finish()
    }
}
impl ::core::fmt::Debug for ScrubStatus {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ScrubStatus")
            .field("finish_time", &self.finish_time)
            .field("findings", &self.findings)
            .finish()
    }
}
impl ::core::fmt::Debug for OwnLogStatus {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("OwnLogStatus")
            .field("size", &self.size)
            .field("replicated_size", &self.replicated_size)
            .field("witnessed_size", &self.witnessed_size)
            .field("witness_quorum", &self.witness_quorum)
            .finish()
    }
}
impl ::core::fmt::Debug for PolicyStatus {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("PolicyStatus")
            .field("sha256", &crate::withheld::one(&self.sha256))
            .field("rules", &self.rules)
            .field("trouble_reason", &crate::withheld::one(&self.trouble_reason))
            .field("trouble", &crate::withheld::one(&self.trouble))
            .finish()
    }
}
impl ::core::fmt::Debug for Ending {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Ending")
            .field("kind", &self.kind())
            .field("name", &crate::withheld::one(&self.name))
            .field("end_time", &self.end_time)
            .finish()
    }
}
impl ::core::fmt::Debug for AdapterStatus {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("AdapterStatus")
            .field("name", &crate::withheld::one(&self.name))
            .field("healthy", &self.healthy)
            .field("cause", &crate::withheld::one(&self.cause))
            .field("records", &self.records)
            .field("quarantined", &self.quarantined)
            .field("scanned", &self.scanned)
            .finish()
    }
}
impl ::core::fmt::Debug for PublishCharterRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("PublishCharterRequest")
            .field("charter", &self.charter)
            .field("subject_key", &crate::withheld::one(&self.subject_key))
            .finish()
    }
}
impl ::core::fmt::Debug for PublishCharterResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("PublishCharterResponse")
            .field("charter_version", &self.charter_version)
            .finish()
    }
}
impl ::core::fmt::Debug for ListQuarantineRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListQuarantineRequest")
            .field("page_size", &self.page_size)
            .field("page_token", &crate::withheld::one(&self.page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for ListQuarantineResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListQuarantineResponse")
            .field("items", &self.items)
            .field("next_page_token", &crate::withheld::one(&self.next_page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for QuarantinedItem {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("QuarantinedItem")
            .field("adapter", &crate::withheld::one(&self.adapter))
            .field("source_key", &crate::withheld::one(&self.source_key))
            .field("reason", &crate::withheld::one(&self.reason))
            .field("message", &crate::withheld::one(&self.message))
            .field("time", &self.time)
            .finish()
    }
}
impl ::core::fmt::Debug for ListOrphansRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListOrphansRequest")
            .field("page_size", &self.page_size)
            .field("page_token", &crate::withheld::one(&self.page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for ListOrphansResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListOrphansResponse")
            .field("records", &crate::withheld::all(&self.records))
            .field("next_page_token", &crate::withheld::one(&self.next_page_token))
            .field("scans_finished", &self.scans_finished)
            .finish()
    }
}
impl ::core::fmt::Debug for OverrideQuorumRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("OverrideQuorumRequest")
            .field("reason", &self.reason())
            .finish()
    }
}
impl ::core::fmt::Debug for OverrideQuorumResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("OverrideQuorumResponse")
            .field("size", &self.size)
            .finish()
    }
}
