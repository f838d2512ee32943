//! One gateway as a process, which ends when its owner stops it, kills it, or goes away.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::binary::{run_at, sundbro};
use super::place::Place;
use super::wait::{PATIENCE, eventually, holds_within};

/// Where a gateway blocks for ever, so that a test can kill it there.
#[derive(Debug, Clone)]
pub struct StopAt {
    /// Name of the window.
    pub point: &'static str,
    /// How many times it is passed first.
    pub skip: u32,
    /// Written when it is reached.
    pub reached: PathBuf,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Gateway {
    /// Starts the gateway of `folder` and waits until it listens at `local`.
    pub fn start(place: &Place, folder: &Path, local: &str, stop_at: Option<&StopAt>) -> Self {
        let log = folder.join("gateway.log");
        let lines = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = place.command(sundbro());
        command
            .args(["run", "--config", "gateway.toml", "--until-stdin-closes"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(lines.try_clone().expect("a second handle"))
            .stderr(lines);
        if let Some(stop_at) = stop_at {
            command
                .env("SUNDBRO_STOP_AT", stop_at.point)
                .env("SUNDBRO_STOP_SKIP", stop_at.skip.to_string())
                .env("SUNDBRO_STOP_FILE", &stop_at.reached);
        }
        let mut gateway = Self { child: command.spawn().expect("the binary starts"), log };
        eventually("the gateway listens", || {
            assert!(gateway.is_running(), "the gateway ended at once:\n{}", gateway.last_lines());
            listens(place, folder, local).then_some(())
        });
        gateway
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing that it holds is finished.
    pub fn kill(mut self) {
        self.end_now();
    }

    /// Lets it finish what it has begun. Fails the test when it does not end well.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        let mut ended = None;
        holds_within(PATIENCE, || {
            ended = self.child.try_wait().expect("our own child");
            ended.is_some()
        });
        match ended {
            Some(status) if status.success() => {}
            other => panic!("the gateway did not stop well ({other:?}):\n{}", self.last_lines()),
        }
    }

    /// The end of its log, for the message of a failed test.
    pub fn last_lines(&self) -> String {
        last_lines(&self.log)
    }

    fn end_now(&mut self) {
        // Our own child, by its handle; it may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// Whether a gateway takes calls. What runs apart is asked by its command line.
fn listens(place: &Place, folder: &Path, local: &str) -> bool {
    match place.is_apart() {
        false => TcpStream::connect(local).is_ok(),
        true => run_at(place, folder, &["status", "--client", "operations.toml"], "").code == 0,
    }
}

/// The end of a log file.
pub fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
