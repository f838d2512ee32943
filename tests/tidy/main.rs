//! Tidiness is an ordinary test: file shape, layers, words, and the pin of the protocol.

mod accidents;
mod commands;
mod files;
mod layering;
mod protocol;
mod reasons;
mod repository;
