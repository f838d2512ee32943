//! Who holds what about whom, from our own index, and how much that answer looked at.

pub mod coverage;
mod finder;

pub use finder::{Finder, LocateContext, LocateError, Located, Person, Wanted};
