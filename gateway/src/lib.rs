//! The Sundbro gateway: joins ledger, store and adapters into the one process that an organisation runs.
//!
//! The library binds nothing by itself: it serves on listeners that it is given and opens files that it is told of.
//! `main.rs` is the sequence configuration → identity → bind → ready.
//!
//! ```
//! use std::path::Path;
//! use sundbro_gateway::config::Config;
//!
//! // Every problem is reported at once, and nothing is opened before all are gone.
//! let error = Config::parse("member = 'Hospital'\nport = 1", Path::new("gateway.toml"), false).unwrap_err();
//! assert!(error.problems.len() > 2);
//! ```

pub mod caller;
pub mod charter_book;
pub mod cli;
pub mod client;
mod clock;
pub mod config;
pub mod connections;
mod deadline;
pub mod demo;
pub mod dial_cause;
pub mod doctor;
mod http_limits;
pub mod hub;
pub mod identity;
pub mod ingest;
pub mod lobby;
pub mod local;
pub mod locate;
pub mod node;
pub mod own_reach;
pub mod policy;
pub mod publisher;
pub mod reason;
pub mod replication;
pub mod retrieval;
pub mod scrub;
pub mod server;
pub mod services;
pub mod sight;
mod socket;
pub mod status;
pub mod subject;
pub mod telemetry;
pub mod tls;
pub mod wire;
pub mod witness;
pub mod world;
