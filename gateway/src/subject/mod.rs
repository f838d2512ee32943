//! People are tags: the keys of the epochs, the one place where an identifier becomes a tag, and how keys travel.

pub mod grant;
pub mod keys;
pub mod tag;

pub use keys::SubjectKeys;
