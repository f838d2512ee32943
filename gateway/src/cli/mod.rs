//! The command line: one file for each command, one way to report an error.

mod backup;
mod certs;
mod charter;
mod config;
pub mod connect;
mod demo;
mod doctor;
mod exit;
mod files;
mod index;
mod init;
mod log;
mod manifest;
mod member;
mod operate;
mod policy;
mod record;
mod renew;
mod restore;
mod run;
mod verify;

use std::error::Error;
use std::io::{self, Write};

use clap::{Parser, Subcommand};
pub use exit::Exit;
pub(crate) use init::open_options;

use crate::config::ConfigError;
use crate::policy::PolicyError;
use crate::status::chain;

/// A federation gateway for health records: every organisation keeps its own.
#[derive(Debug, Parser)]
#[command(name = "sundbro", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a new gateway up in a federation whose id you know.
    Init(init::Init),
    /// Run the gateway.
    Run(run::Run),
    /// Run a federation of five on this machine, and its story.
    Demo(demo::Demo),
    /// Make a newcomer's keys and card.
    Member(member::Member),
    /// Found a federation; propose, sign, show, verify and publish its charter.
    Charter(charter::Charter),
    /// Find out who holds what about a person, and fetch records.
    Record(record::Record),
    /// List, show and export logs.
    Log(log::Log),
    /// Check data folders and receipts, without trusting any gateway.
    Verify(verify::Verify),
    /// Copy the data of a gateway, which may run meanwhile.
    Backup(backup::Backup),
    /// Put a backup back, or prove that it could be.
    Restore(restore::Restore),
    /// Derive the index anew.
    Index(index::Index),
    /// Show how a running gateway does.
    Status(operate::Status),
    /// Find out what is wrong with a gateway, or with the way to a peer, and what to do.
    Doctor(doctor::Doctor),
    /// See what could not be registered.
    Quarantine(operate::Quarantine),
    /// See own records that no source derives any more.
    Orphans(operate::Orphans),
    /// See who asked for what.
    Audit(operate::Audit),
    /// Make certificates for development.
    Certs(certs::Certs),
    /// Check, explain and test policies without starting anything.
    Policy(policy::Policy),
    /// Look at a configuration without starting anything.
    Config(config::ConfigCommand),
}

/// How a command ends when it does not end well.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// The constant that programs match, where there is one.
    pub reason: Option<&'static str>,
    /// What happened, and what to do.
    pub error: Box<dyn Error + Send + Sync>,
}

impl CliError {
    /// An error with its exit code.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, reason: None, error: error.into() }
    }

    /// With a reason for programs.
    #[must_use]
    pub fn reason(mut self, reason: crate::reason::Reason) -> Self {
        self.reason = Some(reason.code);
        self
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        let reason = error.reason();
        Self::new(Exit::Usage, error).reason(reason)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// Where results go: text for people, or one JSON value for programs.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints a result in the form that was asked for.
    pub fn print(self, text: &str, json: &serde_json::Value) {
        let mut line = if self.json { json.to_string() } else { text.to_owned() };
        line.push('\n');
        if let Err(error) = put(&mut io::stdout().lock(), &line) {
            self.fail(&CliError::new(Exit::Failed, error));
            std::process::exit(Exit::Failed as i32);
        }
    }

    /// Whether programs read what is printed.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints an error with its causes to standard error.
    fn fail(self, error: &CliError) {
        if self.json {
            let text = chain(error.error.as_ref());
            let json = serde_json::json!({
                "error": text, "reason": error.reason, "exit_code": error.exit as u8,
            });
            tell(&format!("{json}\n"));
            return;
        }
        let mut text = format!("error: {}\n", error.error);
        let mut source = error.error.source();
        while let Some(cause) = source {
            text.push_str(&format!("  because: {cause}\n"));
            source = cause.source();
        }
        tell(&text);
    }
}

/// Writes all of it, unless the reader has gone: `| head` has read enough, and that is no failure of ours.
fn put(to: &mut dyn Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// To standard error. If even that cannot be written there is nobody left to tell.
fn tell(text: &str) {
    drop(put(&mut io::stderr().lock(), text));
}

/// Runs one command line to its end.
pub fn run(cli: Cli) -> Exit {
    let output = Output { json: cli.json };
    let result = match cli.command {
        Command::Init(command) => command.run(output),
        Command::Run(command) => command.run(output),
        Command::Demo(command) => command.run(output),
        Command::Member(command) => command.run(output),
        Command::Charter(command) => command.run(output),
        Command::Record(command) => command.run(output),
        Command::Log(command) => command.run(output),
        Command::Verify(command) => command.run(output),
        Command::Backup(command) => command.run(output),
        Command::Restore(command) => command.run(output),
        Command::Index(command) => command.run(output),
        Command::Status(command) => command.run(output),
        Command::Doctor(command) => command.run(output),
        Command::Quarantine(command) => command.run(output),
        Command::Orphans(command) => command.run(output),
        Command::Audit(command) => command.run(output),
        Command::Certs(command) => command.run(output),
        Command::Policy(command) => command.run(output),
        Command::Config(command) => command.run(output),
    };
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            output.fail(&error);
            error.exit
        }
    }
}
