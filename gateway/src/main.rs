//! The one binary, `sundbro`: reads the command line, runs one command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;
use sundbro_gateway::cli::{self, Cli, Exit};

/// Replication allocates and frees many small buffers on several threads; the system's allocator fragments.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A machine without entropy must fail here, and not in the middle of somebody's handshake.
    if let Err(error) = sundbro_gateway::tls::draw_first_random() {
        eprintln!("error: {error}");
        return Exit::Failed.into();
    }
    cli::run(cli).into()
}
