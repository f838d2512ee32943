//! The rules of Sundbro's ledger, and nothing else: bytes and times come in, decisions go out.
//!
//! This crate never does any I/O, reads no clock, draws no randomness, spawns nothing and allocates nothing whose size
//! came from outside without a limit. What a replica concludes is a function of log, charter and evidence alone.
//!
//! ```
//! # use sundbro_ledger::{blob::Blob, ids::{FederationId, LogId}, log::{KeyBook, KeyVerdict, LogHead}};
//! # use sundbro_ledger::{signing::{SigningKey, VerifyingKey}, transaction::{Audience, Draft}};
//! struct OneKey(VerifyingKey);
//! impl KeyBook for OneKey {
//!     fn federation_id(&self) -> FederationId {
//!         FederationId::new([1; 32])
//!     }
//!     fn transaction_key(&self, _: &LogId, _: u64, _: u32, _: u64) -> KeyVerdict {
//!         KeyVerdict::Key(self.0)
//!     }
//! }
//! let key = SigningKey::from_seed(&[7; 32]);
//! let keys = OneKey(key.public());
//!
//! let blob = Blob::frame(&[3; 32], b"body", Audience::Federation)?;
//! let draft = Draft {
//!     charter_version: 1,
//!     key_id: 1,
//!     incarnation: 1,
//!     recorded_hour: 490_000,
//!     payload_commitment: blob.payload_commitment(),
//!     payload_size: 64,
//!     audience: Audience::Federation,
//! };
//! let mut head = LogHead::new(LogId::new([2; 32]));
//! let signed = head.sign_next(draft, &key, &keys.federation_id());
//! let verified = head.verify(signed, &keys)?; // only what this gives can be appended
//! head.append(&verified)?;
//! assert_eq!(head.size(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod blob;
pub mod book;
pub mod canonical;
pub mod card;
pub mod charter;
pub mod checkpoint;
pub mod chunk;
pub mod drafting;
pub mod evidence;
mod fields;
pub mod fold;
pub mod history;
pub mod ids;
pub mod log;
pub mod member;
pub mod merkle;
pub mod note;
pub mod object_id;
pub mod payload;
pub mod receipt;
pub mod retrieval;
pub mod signing;
pub mod subject;
pub mod tiles;
pub mod transaction;
