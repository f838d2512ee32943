//! What `Debug` shows of text and bytes in a message: how long they are.

use core::fmt;

/// The length of something that is not shown.
pub(crate) struct Withheld(usize);

impl fmt::Debug for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// Text or bytes, not shown.
pub(crate) fn one(of: &impl AsRef<[u8]>) -> Withheld {
    Withheld(of.as_ref().len())
}

/// Many of them, none shown.
pub(crate) fn all(of: &[impl AsRef<[u8]>]) -> Vec<Withheld> {
    of.iter().map(one).collect()
}
