//! The small checks that every signed message shares: lengths, texts, order, and enums that are closed or may grow.

use bytes::Bytes;

/// Reads a field of exactly `N` bytes.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Whether a text may stand in a signed message: within `max` bytes and without control characters, which could
/// rewrite the terminal of whoever reads a charter or a receipt.
pub(crate) fn fits(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}

/// As [`fits`], and not empty.
pub(crate) fn fits_and_says(text: &str, max: usize) -> bool {
    !text.is_empty() && fits(text, max)
}

/// Copies fixed bytes into a field of a message.
pub(crate) fn field(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// An enum of a signed message that never grows: a number that it does not list is refused.
macro_rules! closed_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            pub(crate) fn from_wire(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            pub(crate) fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)+
                }
            }
        }
    };
}
pub(crate) use closed_enum;

/// An enum of a signed message that may grow: a number that this version does not know is kept, and means nothing here.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A number that a later version defines. Made by parsing; never one of the numbers above, never below 1.
            Other(i32),
        }

        impl $name {
            pub(crate) fn from_wire(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    number if number > 0 => Some(Self::Other(number)),
                    _ => None,
                }
            }

            pub(crate) fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(number) => number,
                }
            }
        }
    };
}
pub(crate) use open_enum;
