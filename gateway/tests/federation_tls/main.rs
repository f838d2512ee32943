//! Who gets through the federation door, who does not, what each learns, and what a change of trust closes.

mod admission;
mod dialling;
mod reload;
mod resumption;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod under_load;
mod world;
