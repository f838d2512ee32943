//! Network namespaces on one switch, each with one member's gateway, and what goes wrong between them.
//!
//! The switch stands in a namespace of its own, so that faults are set where the packets pass and nowhere else: neither
//! this machine's network nor the way from a test to a gateway, which leads through the gateway's own namespace.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::Place;

/// Every namespace of these tests is named `<PREFIX><process id>-<lan>-<what>`.
const PREFIX: &str = "sbnet";
/// Each member's gateway is `<NETWORK>.<index + 1>` here; the namespaces know no other network.
const NETWORK: &str = "10.77.0";
/// How slow a slow line is, as `tc` reads it: slow enough that what one member publishes at once has to wait.
const SLOW_LINE: &str = "rate 512kbit burst 4k latency 400ms";

/// What is wrong with the network between members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between these members and the others.
    Split(Vec<usize>),
    /// Nothing passes from the first to the second; back it does.
    OneWay(usize, usize),
    /// So many of a hundred packets are lost, anywhere.
    Loss(u32),
    /// Every member's line is slow.
    Slow,
}

impl Fault {
    /// Whether two members cannot keep a connection: it needs both ways.
    pub fn parts(&self, one: usize, other: usize) -> bool {
        match self {
            Self::Split(side) => side.contains(&one) != side.contains(&other),
            Self::OneWay(from, to) => (one, other) == (*from, *to) || (other, one) == (*from, *to),
            Self::Loss(_) | Self::Slow => false,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Split(side) => write!(f, "members {side:?} apart from the others"),
            Self::OneWay(from, to) => write!(f, "nothing passes from {from} to {to}"),
            Self::Loss(percent) => write!(f, "{percent} of 100 packets lost"),
            Self::Slow => write!(f, "every line at {SLOW_LINE}"),
        }
    }
}

/// A switch and its members' namespaces, gone when this is dropped.
#[derive(Debug)]
pub struct Lan {
    name: String,
    members: usize,
}

impl Lan {
    /// Makes the namespaces.
    pub fn new(members: usize) -> Self {
        static LANS: AtomicU32 = AtomicU32::new(0);
        let number = LANS.fetch_add(1, Ordering::Relaxed);
        let lan = Self { name: format!("{PREFIX}{}-{number}", std::process::id()), members };
        let switch = lan.switch();
        ip(&["netns", "add", &switch]);
        ip(&["-n", &switch, "link", "add", "switch", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "switch", "up"]);
        for index in 0..members {
            let (inside, port) = (lan.namespace(index), port(index));
            let address = format!("{}/24", host(index));
            ip(&["netns", "add", &inside]);
            let veth = ["type", "veth", "peer", "name", "eth0", "netns", &inside];
            ip(&[&["-n", &switch, "link", "add", &port], &veth[..]].concat());
            ip(&["-n", &switch, "link", "set", &port, "master", "switch", "up"]);
            ip(&["-n", &inside, "address", "add", &address, "dev", "eth0"]);
            ip(&["-n", &inside, "link", "set", "eth0", "up"]);
            ip(&["-n", &inside, "link", "set", "lo", "up"]);
        }
        lan
    }

    /// Where the member's processes run.
    pub fn place(&self, index: usize) -> Place {
        Place::inside(self.namespace(index), host(index))
    }

    /// Sets a fault, from the next packet on.
    pub fn set(&self, fault: &Fault) {
        match fault {
            Fault::Slow => {
                for index in 0..self.members {
                    let slow: Vec<&str> = SLOW_LINE.split(' ').collect();
                    let port = port(index);
                    let head = ["qdisc", "replace", "dev", &port, "root", "tbf"];
                    self.in_switch("tc", &[&head[..], &slow].concat(), "");
                }
            }
            fault => {
                self.in_switch("nft", &["-f", "-"], &self.rules(fault));
            }
        }
    }

    /// The network is whole again; says how many packets the fault had met.
    pub fn heal(&self, fault: &Fault) -> u64 {
        match fault {
            Fault::Slow => {
                let met = self.in_switch("tc", &["-s", "qdisc", "show"], "");
                for index in 0..self.members {
                    self.in_switch("tc", &["qdisc", "del", "dev", &port(index), "root"], "");
                }
                numbers_after(&met, "overlimits ")
            }
            _ => {
                let met = self.in_switch("nft", &["list", "ruleset"], "");
                self.in_switch("nft", &["flush", "ruleset"], "");
                numbers_after(&met, "packets ")
            }
        }
    }

    fn rules(&self, fault: &Fault) -> String {
        let ports = |members: &[usize]| {
            let names: Vec<_> =
                members.iter().map(|index| format!("\"{}\"", port(*index))).collect();
            format!("{{ {} }}", names.join(", "))
        };
        let drop = |from: &[usize], to: &[usize]| {
            format!("    iifname {} oifname {} counter drop\n", ports(from), ports(to))
        };
        let rules = match fault {
            Fault::Split(side) => {
                let others: Vec<_> = (0..self.members).filter(|it| !side.contains(it)).collect();
                drop(side, &others) + &drop(&others, side)
            }
            Fault::OneWay(from, to) => drop(&[*from], &[*to]),
            Fault::Loss(percent) => format!("    numgen random mod 100 < {percent} counter drop\n"),
            Fault::Slow => String::new(),
        };
        format!(
            "table bridge faults {{\n  chain forward {{\n    type filter hook forward priority 0\n{rules}  }}\n}}\n"
        )
    }

    fn in_switch(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let switch = self.switch();
        succeeds("ip", &[&["netns", "exec", &switch, program], arguments].concat(), input)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn namespace(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        remove(|name| name.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with('-')));
    }
}

/// Removes what a test left that was killed: namespaces of processes that are gone.
pub fn remove_leftovers() {
    remove(|name| {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        process.is_some_and(|id| !std::path::Path::new("/proc").join(id).exists())
    });
}

/// Why no namespaces can be made here. `None`: they can.
pub fn unavailable() -> Option<String> {
    let probe = format!("{PREFIX}{}-probe", std::process::id());
    let tried = tried("ip", &["netns", "add", &probe], "")
        .and_then(|_| tried("ip", &["netns", "exec", &probe, "nft", "list", "ruleset"], ""))
        .and_then(|_| tried("ip", &["netns", "exec", &probe, "tc", "qdisc", "show"], ""));
    remove(|name| name == probe);
    tried.err()
}

fn remove(which: impl Fn(&str) -> bool) {
    let listed = tried("ip", &["netns", "list"], "").unwrap_or_default();
    for name in listed.lines().filter_map(|line| line.split(' ').next()).filter(|name| which(name))
    {
        if let Err(error) = tried("ip", &["netns", "delete", name], "") {
            eprintln!("the namespace {name} stays: {error}");
        }
    }
}

fn host(index: usize) -> String {
    format!("{NETWORK}.{}", index + 1)
}

fn port(index: usize) -> String {
    format!("port{index}")
}

fn ip(arguments: &[&str]) {
    succeeds("ip", arguments, "");
}

fn succeeds(program: &str, arguments: &[&str], input: &str) -> String {
    tried(program, arguments, input).unwrap_or_else(|error| panic!("{error}"))
}

fn tried(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |error: String| format!("`{program} {}`: {error}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    // A command that does not read its input closes it; that is no failure.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// The sum of the numbers that follow a word.
fn numbers_after(text: &str, word: &str) -> u64 {
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    };
    text.split(word).skip(1).filter_map(number).sum()
}
