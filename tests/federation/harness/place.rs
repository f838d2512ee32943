//! Where the processes of a member run: on this machine as it is, or in a network namespace of their own; and with which
//! environment.

use std::ffi::OsStr;
use std::process::Command;

/// A network namespace, or none, and the address under which other members reach what runs there.
#[derive(Debug, Clone)]
pub struct Place {
    namespace: Option<String>,
    host: String,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    /// This machine as it is.
    pub fn here() -> Self {
        Self { namespace: None, host: "127.0.0.1".to_owned(), variables: Vec::new() }
    }

    /// A namespace that is there, and its address.
    pub fn inside(namespace: String, host: String) -> Self {
        Self { namespace: Some(namespace), host, variables: Vec::new() }
    }

    /// The same place, with a variable in the environment of what runs there.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    /// The address for other members.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether its ports cannot be reached from where the test runs.
    pub fn is_apart(&self) -> bool {
        self.namespace.is_some()
    }

    /// A command that will run here. `ip netns exec` becomes the program, so that its process id is the program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}
