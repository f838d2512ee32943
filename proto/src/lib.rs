//! The wire and signed messages of Sundbro, generated from the `.proto` files beside this crate.
//!
//! Messages are always there; gRPC clients and servers stand behind the feature `services`, so that the ledger
//! compiles without tonic. What is signed travels as `bytes`; the canonical encoding is checked in `sundbro-ledger`.
//! `{:?}` of a message shows numbers, enums and lengths: text and bytes may hold anything, an identifier too.
//!
//! ```
//! use prost::Message as _;
//! use sundbro_proto::ledger::v1::TransactionHeader;
//!
//! let header = TransactionHeader { format: 1, position: 7, ..Default::default() };
//! assert_eq!(header.encode_to_vec(), [0x08, 1, 0x20, 7]);
//! ```

// Generated code says what the .proto comments say; lints do not apply to it.
#![allow(clippy::all, reason = "generated code below; the crate holds no other")]

mod withheld;

/// Signed things: transactions, payloads, charters, retrieval messages and receipts.
pub mod ledger {
    /// `sundbro.ledger.v1`.
    #[allow(missing_docs, reason = "generated")]
    pub mod v1 {
        include!("gen/sundbro.ledger.v1.rs");
        include!("gen/sundbro.ledger.v1.debug.rs");
    }
}

/// Gateway to gateway.
pub mod federation {
    /// `sundbro.federation.v1`.
    #[allow(missing_docs, reason = "generated")]
    pub mod v1 {
        include!("gen/sundbro.federation.v1.rs");
        include!("gen/sundbro.federation.v1.debug.rs");
    }
}

/// Local systems to their gateway.
pub mod gateway {
    /// `sundbro.gateway.v1`.
    #[allow(missing_docs, reason = "generated")]
    pub mod v1 {
        include!("gen/sundbro.gateway.v1.rs");
        include!("gen/sundbro.gateway.v1.debug.rs");
    }
}

/// Operators to their gateway.
pub mod admin {
    /// `sundbro.admin.v1`.
    #[allow(missing_docs, reason = "generated")]
    pub mod v1 {
        include!("gen/sundbro.admin.v1.rs");
        include!("gen/sundbro.admin.v1.debug.rs");
    }
}

/// The descriptor set of all files, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.binpb");
