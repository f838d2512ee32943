//! Replication between gateways with real stores and streams in memory, and against peers that misbehave.

mod dial;
mod equivocation;
mod fair;
mod faults;
mod follow;
#[path = "../support/founders.rs"]
mod founders;
mod healing;
mod limits;
mod own_branch;
mod own_log;
mod patience;
mod quiet;
mod relay;
mod script;
mod states;
mod streams;
mod support;
mod trust;
