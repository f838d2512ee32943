//! The demo's commands and gateways: this same binary, started as an operator would start it.
//!
//! A gateway gets a pipe as its standard input and stops when the pipe closes: so it ends with the demo, however the
//! demo ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a gateway may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often something awaited is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ended {
    /// What it printed, as JSON. `Null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or(serde_json::Value::Null)
    }
}

/// Runs one command of this binary to its end.
///
/// # Errors
/// When it cannot be started.
pub fn run<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> io::Result<Ended> {
    run_with_input(folder, arguments, "")
}

/// As [`run`], with standard input.
///
/// # Errors
/// When it cannot be started.
pub fn run_with_input<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: &[A],
    input: &str,
) -> io::Result<Ended> {
    use io::Write as _;
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .current_dir(folder)
        .env_remove("SUNDBRO_CLIENT")
        .env_remove("SUNDBRO_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input closes it; that is no failure.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output()?;
    Ok(Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A running gateway. Stops when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
}

impl Gateway {
    /// Starts the gateway of `folder`, whose configuration is `gateway.toml` there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let log = folder.join("gateway.log");
        let lines = File::options().create(true).append(true).open(log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["run", "--config", "gateway.toml", "--until-stdin-closes"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(lines.try_clone()?)
            .stderr(lines)
            .spawn()?;
        Ok(Self { child })
    }

    /// Lets it finish what it has begun, and waits for its end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        let stopped = wait_until(STOP_TIMEOUT, || !matches!(self.child.try_wait(), Ok(None)));
        if !stopped {
            // Our own child, by its handle. It survives being killed; the store is made for that.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// Looks again and again until it is so, or the time is over.
pub fn wait_until(timeout: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if started.elapsed() >= timeout {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
