//! Compiles the `.proto` files to Rust and to a descriptor set, without `protoc`.
//!
//! The result is committed under `proto/src/gen/`, so that users compile no proto files; a test compares.

pub mod debug;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use prost::Message as _;

/// Every `.proto` file of the project, relative to `proto/`.
pub const FILES: &[&str] = &[
    "sundbro/ledger/v1/transaction.proto",
    "sundbro/ledger/v1/payload.proto",
    "sundbro/ledger/v1/charter.proto",
    "sundbro/ledger/v1/retrieval.proto",
    "sundbro/ledger/v1/evidence.proto",
    "sundbro/federation/v1/federation.proto",
    "sundbro/federation/v1/retrieval.proto",
    "sundbro/gateway/v1/coverage.proto",
    "sundbro/gateway/v1/records.proto",
    "sundbro/gateway/v1/ledger.proto",
    "sundbro/gateway/v1/audit.proto",
    "sundbro/admin/v1/admin.proto",
];

/// Compiles the files below `proto_dir` and writes for each package what prost generates and
/// `PACKAGE.debug.rs`, and `descriptor.binpb`, to `out_dir`.
///
/// # Errors
/// Fails when a file does not compile or `out_dir` cannot be written.
pub fn generate(proto_dir: &Path, out_dir: &Path) -> anyhow::Result<()> {
    let mut compiler = protox::Compiler::new([proto_dir]).context("proto folder")?;
    compiler.include_source_info(true).include_imports(true);
    for file in FILES {
        compiler.open_file(proto_dir.join(file)).with_context(|| format!("compile {file}"))?;
    }
    let descriptors = compiler.file_descriptor_set();
    // Reflection serves names and types; comments are read in the .proto files.
    let mut served = descriptors.clone();
    for file in &mut served.file {
        file.source_code_info = None;
    }
    std::fs::write(out_dir.join("descriptor.binpb"), served.encode_to_vec())?;

    let packages: BTreeSet<_> = descriptors.file.iter().map(|file| file.package()).collect();
    for package in packages.into_iter().filter(|package| package.starts_with("sundbro.")) {
        let text = debug::package(&descriptors, package);
        std::fs::write(out_dir.join(format!("{package}.debug.rs")), text)?;
    }
    let written_by_us = debug::messages(&descriptors);

    tonic_prost_build::configure()
        .out_dir(out_dir)
        .bytes(".")
        .skip_debug(&written_by_us)
        .client_mod_attribute(".", "#[cfg(feature = \"services\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"services\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
