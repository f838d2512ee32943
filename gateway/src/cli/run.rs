//! `sundbro run`: the gateway itself, until it is told to stop.

use std::path::PathBuf;

use clap::Args;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use super::{CliError, Exit, Output};
use crate::config::Config;
use crate::node;

/// `sundbro run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration.
    #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
    config: PathBuf,
    /// Stop when standard input closes: for whoever starts the gateway as a child.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
    /// Write a missing or damaged signing gate anew. Only when all other members were reachable and none knew a longer
    /// log of ours: otherwise two entries may be signed at one position.
    #[arg(long)]
    recreate_signing_gate: bool,
}

impl Run {
    pub(super) fn run(self, _output: Output) -> Result<(), CliError> {
        let config = Config::load(&self.config)?;
        crate::telemetry::start(&config.log);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("gateway")
            .build()
            .map_err(|error| CliError::new(Exit::Failed, error))?;
        let stop = CancellationToken::new();
        let options = node::Options { recreate_signing_gate: self.recreate_signing_gate };
        let until_stdin_closes = self.until_stdin_closes;
        let grace_period = config.shutdown_grace_period;
        let ended = runtime.block_on(async move {
            let running = node::start(config, options, stop.clone()).await?;
            tokio::spawn(asked_to_stop(stop.clone(), until_stdin_closes));
            running.ended().await;
            Ok(())
        });
        // A thread that waits for a share that hangs hears of nothing: it ends with the process, not the other way round.
        runtime.shutdown_timeout(grace_period);
        ended
    }
}

/// Waits for the first reason to stop, tells everybody, and ends at once on a second signal.
async fn asked_to_stop(stop: CancellationToken, until_stdin_closes: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: the gateway must be stopped by killing it");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed(), if until_stdin_closes => {}
    }
    tracing::info!("stopping: what is in hand is finished; a second signal ends at once");
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    std::process::exit(Exit::Failed as i32);
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0; 64];
    while matches!(stdin.read(&mut bytes).await, Ok(read) if read > 0) {}
}
