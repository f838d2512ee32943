//! The one type that holds a personal identifier.
//!
//! It has no `Display`, its `Debug` says nothing, it is wiped when dropped, and it is read through one method whose
//! name says what for. Whoever searches the code for that name has found every place an identifier can leave from.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Longest system URI in bytes. A tag frames it with a 16-bit length; real ones are below 100.
pub const MAX_SYSTEM_BYTES: usize = 1024;

/// Longest identifier value in bytes, for the same reason.
pub const MAX_VALUE_BYTES: usize = 1024;

/// A personal identifier as a local system gives it: a system URI and a value normalised by the profile.
///
/// Only [`Profile::accept`](crate::profile::Profile::accept) makes one, so that both spellings of a number end as the
/// same tag.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LocalSubject {
    system: String,
    value: String,
}

impl LocalSubject {
    pub(crate) fn new(system: String, value: String) -> Self {
        Self { system, value }
    }

    /// System URI and value, for the computation of a subject tag and nothing else.
    ///
    /// What this gives back must not be logged, stored, put in an error or sent.
    pub fn expose_for_tag(&self) -> (&str, &str) {
        (&self.system, &self.value)
    }
}

impl fmt::Debug for LocalSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalSubject(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_system_nor_value() {
        let subject = LocalSubject::new("urn:oid:1.2.3".into(), "010190AB12".into());
        assert_eq!(format!("{subject:?}"), "LocalSubject(…)");
        assert_eq!(format!("{:?}", Some(vec![subject])), "Some([LocalSubject(…)])");
    }

    #[test]
    fn gives_system_and_value_to_the_tag() {
        let subject = LocalSubject::new("s".into(), "v".into());
        assert_eq!(subject.expose_for_tag(), ("s", "v"));
    }
}
