//! What an outsider who sees everything writes down: each entry that was ever signed, who vouched for it, and what each
//! local system was told.

use std::collections::{BTreeMap, BTreeSet};

use sundbro_ledger::ids::LeafHash;
use sundbro_ledger::merkle::leaf_hash;

use crate::executor::Owner;
use crate::process::Process;

/// What a local system was told: this entry is in the log.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub position: u64,
    pub leaf: LeafHash,
}

/// The members of the federation, as the journal needs them.
#[derive(Debug, Clone)]
pub struct Cast {
    pub members: usize,
    /// Whose gateway is dishonest.
    pub byzantine: Option<usize>,
    /// Whose machine may be restored, copied, or lie about what it synced; the others keep what they promised.
    pub victim: usize,
    /// How many honest members who vouch make an entry witnessed.
    pub witnesses: usize,
}

impl Cast {
    pub fn is_honest(&self, member: usize) -> bool {
        self.byzantine != Some(member)
    }
}

/// The journal. Members and their logs are places in the list of members.
pub struct Journal {
    pub cast: Cast,
    logs: Vec<sundbro_ledger::ids::LogId>,
    /// Every entry of an honest member's log that a gateway of that member had, in the order of their signatures.
    signed: BTreeMap<(usize, u64), Vec<LeafHash>>,
    /// The first position of a log at which two entries were signed.
    pub twice: BTreeMap<usize, u64>,
    /// Who vouched for which entry.
    vouched: BTreeMap<(usize, u64), BTreeMap<usize, LeafHash>>,
    pub acknowledged: BTreeMap<usize, Vec<Acknowledged>>,
    /// Whose machine has been restored or copied, or lies.
    pub accidents: BTreeSet<usize>,
    /// Of those: whose signing gate was taken back or copied with the database, or set aside by the operator. Only they may
    /// sign twice, and never what was witnessed.
    pub gate_lost: BTreeSet<usize>,
    /// Of those: how much of the log honest others held then, and so keep.
    pub kept_by_others: BTreeMap<usize, u64>,
    held: BTreeMap<(Owner, usize), Vec<LeafHash>>,
    /// What broke a rule first.
    pub violation: Option<String>,
}

impl Journal {
    pub fn new(cast: Cast, logs: Vec<sundbro_ledger::ids::LogId>) -> Self {
        Self {
            cast,
            logs,
            signed: BTreeMap::new(),
            twice: BTreeMap::new(),
            vouched: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            accidents: BTreeSet::new(),
            gate_lost: BTreeSet::new(),
            kept_by_others: BTreeMap::new(),
            held: BTreeMap::new(),
            violation: None,
        }
    }

    pub fn breaks(&mut self, rule: &str, how: String) {
        self.violation.get_or_insert(format!("{rule}: {how}"));
    }

    /// Looks at what is new in the store of an honest gateway.
    pub fn look(&mut self, process: &Process) {
        if !self.cast.is_honest(process.member) {
            return;
        }
        // Own entries first: what others hold was signed before.
        let own = process.member;
        let others = (0..self.cast.members).filter(|member| *member != own);
        for log in core::iter::once(own).chain(others) {
            self.look_at(process, log);
        }
        self.look_for_vouchers(process);
    }

    fn look_at(&mut self, process: &Process, log: usize) {
        // A disk that fails shows nothing.
        let Ok(status) = process.store.log_status(&self.logs[log]) else { return };
        let mut held = self.held.remove(&(process.number, log)).unwrap_or_default();
        held.truncate(status.committed_size as usize);
        while (held.len() as u64) < status.committed_size {
            let range = held.len() as u64..status.committed_size;
            let Ok(entries) = process.store.entries(&self.logs[log], range) else { break };
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let (position, leaf) = (held.len() as u64, leaf_hash(&entry));
                held.push(leaf);
                if !self.cast.is_honest(log) {
                    continue;
                }
                if process.member == log {
                    self.was_signed(log, position, leaf);
                } else if !self.signed.get(&(log, position)).is_some_and(|all| all.contains(&leaf))
                {
                    let holder = process.name.to_string();
                    self.breaks(
                        "invariant_everything_held_was_signed",
                        format!("{holder} holds what member {log} never signed at {position}"),
                    );
                }
            }
        }
        self.held.insert((process.number, log), held);
    }

    /// `invariant_one_header_at_a_witnessed_position`.
    fn was_signed(&mut self, log: usize, position: u64, leaf: LeafHash) {
        let all = self.signed.entry((log, position)).or_default();
        if all.contains(&leaf) {
            return;
        }
        all.push(leaf);
        let (first, is_second) = (all[0], all.len() > 1);
        if !is_second {
            return;
        }
        let at = self.twice.entry(log).or_insert(position);
        *at = (*at).min(position);
        let vouchers = self.vouched.get(&(log, position));
        let witnesses =
            vouchers.map_or(0, |vouchers| vouchers.values().filter(|by| **by != leaf).count());
        if witnesses >= self.cast.witnesses {
            self.breaks(
                "invariant_one_header_at_a_witnessed_position",
                format!(
                    "member {log} signed again at {position}, which {witnesses} had vouched for"
                ),
            );
        } else if !self.gate_lost.contains(&log) {
            self.breaks(
                "invariant_one_header_at_a_position",
                format!("member {log} signed {first:?} and {leaf:?} at {position} under its gate"),
            );
        }
    }

    fn look_for_vouchers(&mut self, process: &Process) {
        let by = process.member;
        for log in 0..self.cast.members {
            if log == by || !self.cast.is_honest(log) {
                continue;
            }
            let head = process.store.observed_head(&process.log, &self.logs[log]);
            let Ok(Some(head)) = head else { continue };
            let Some(held) = self.held.get(&(process.number, log)) else { continue };
            for position in (0..head.size.min(held.len() as u64)).rev() {
                let vouchers = self.vouched.entry((log, position)).or_default();
                if vouchers.contains_key(&by) {
                    break;
                }
                vouchers.insert(by, held[position as usize]);
            }
        }
    }

    /// A local system is told.
    pub fn acknowledge(&mut self, member: usize, told: Acknowledged) {
        self.acknowledged.entry(member).or_default().push(told);
    }

    /// A machine is restored or copied, or its disk lies: what no honest other holds of its log may be lost from here on.
    pub fn has_an_accident(
        &mut self,
        member: usize,
        is_gate_lost: bool,
        others: impl Iterator<Item = Owner>,
    ) {
        let held = others.map(|process| self.held_by(process, member)).max().unwrap_or(0);
        let kept = self.kept_by_others.entry(member).or_insert(held);
        *kept = (*kept).min(held);
        self.accidents.insert(member);
        if is_gate_lost {
            self.gate_lost.insert(member);
        }
    }

    /// How much of a log the store of a process holds.
    pub fn held_by(&self, process: Owner, log: usize) -> u64 {
        self.held.get(&(process, log)).map_or(0, |held| held.len() as u64)
    }

    /// A process is gone: what is read of it again is read anew.
    pub fn forget(&mut self, process: Owner) {
        self.held.retain(|(number, _), _| *number != process);
    }

    /// How many entries were signed, and how many of them were witnessed.
    pub fn counts(&self) -> (usize, usize) {
        let witnessed = self.vouched.values().filter(|by| by.len() >= self.cast.witnesses).count();
        (self.signed.len(), witnessed)
    }
}
