//! Whole gateways for tests: processes of the one binary, real certificates, real databases, folders of documents.
//!
//! A [`Federation`] is founded with the commands that an operator types. A [`Member`] is one organisation: its folder,
//! its documents, and its gateway, which can be stopped, killed, and asked through its command line. What a client was
//! told is kept in a [`Journal`], which knows nothing but what the command line answered.

#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]

mod answer;
mod binary;
mod configuration;
mod dice;
mod documents;
mod federation;
mod gateway;
mod heads;
mod journal;
mod member;
mod place;
mod relay;
mod wait;

pub use answer::{Coverage, LogCoverage, Pointer};
pub use binary::{Ended, run, sundbro};
pub use dice::Dice;
pub use documents::{Document, SUBJECT_SYSTEM, SUBJECT_VALUE};
pub use federation::Federation;
pub use heads::{Heads, await_equal};
pub use journal::Journal;
pub use member::{Located, Member};
pub use place::Place;
pub use relay::{Line, Relay};
pub use wait::{PATIENCE, eventually, holds_within, holds_within_looking, hurried};

/// How much the counted tests do, times the least that shows what they are about.
pub fn scale() -> usize {
    std::env::var("SUNDBRO_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}
