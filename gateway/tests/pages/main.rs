//! The tables of `docs/` that say what the code says: compared here, and written with `SUNDBRO_WRITE_DOCS=1`.

mod configuration;
mod errors;
mod metrics;
mod page;
