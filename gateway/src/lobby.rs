//! Where connections wait until it is known who calls: few places, and the newest always gets one.
//!
//! Whoever can reach a listener can open connections and say nothing. What waits here is counted apart from callers who
//! have shown a certificate, in all and for each source; when there is no room, the one that has waited longest goes.
//! A member's handshake takes a moment, so it is long through when others, who came before it, are shown out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Connections of unknown callers at once on one listener. Each costs a socket and some kilobytes.
pub const MAX_UNKNOWN: usize = 1_024;
/// Of those, how many may come from one source. An integration engine that opens all its connections at once, and the
/// gateways of a region behind one address, get through; one machine gets no more than a quarter.
pub const MAX_UNKNOWN_PER_SOURCE: usize = 256;

/// How many unknown callers one listener has room for.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// In all.
    pub all: usize,
    /// From one source.
    pub per_source: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: MAX_UNKNOWN, per_source: MAX_UNKNOWN_PER_SOURCE }
    }
}

/// Who is counted as one: an IPv4 address, or an IPv6 network of 64 bits, of which anybody has 2⁶⁴ addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self(address),
        }
    }
}

/// The unknown callers of one listener.
#[derive(Debug)]
pub(crate) struct Lobby {
    places: Places,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// In the order in which they came.
    callers: BTreeMap<u64, (Source, CancellationToken)>,
    by_source: BTreeMap<Source, usize>,
}

impl Lobby {
    /// With so many places.
    pub(crate) fn new(places: Places) -> Arc<Self> {
        Arc::new(Self { places, waiting: Mutex::default() })
    }

    /// Lets a new caller in, and shows another one out where there is no room.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Ticket {
        let source = Source::of(from);
        let shown_out = CancellationToken::new();
        let mut waiting = self.waiting();
        let goes = if waiting.count_of(source) >= self.places.per_source {
            waiting.longest_of(source)
        } else if waiting.callers.len() >= self.places.all {
            waiting.longest_of_the_greediest()
        } else {
            None
        };
        if let Some((_, shown_out)) = goes.and_then(|number| waiting.remove(number)) {
            shown_out.cancel();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.callers.insert(number, (source, shown_out.clone()));
        *waiting.by_source.entry(source).or_default() += 1;
        drop(waiting);
        Ticket { number, shown_out, lobby: self.clone() }
    }

    /// How many wait.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.waiting().callers.len()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn count_of(&self, source: Source) -> usize {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    fn longest_of(&self, source: Source) -> Option<u64> {
        let mut callers = self.callers.iter();
        callers.find(|(_, (other, _))| *other == source).map(|(number, _)| *number)
    }

    /// Of the sources that hold the most, whoever has waited longest: many silent callers never cost a lone one its place,
    /// and where all are lone ones, none is shown out for its address.
    fn longest_of_the_greediest(&self) -> Option<u64> {
        let most = self.by_source.values().max()?;
        let mut callers = self.callers.iter();
        let greedy = callers.find(|(_, (source, _))| self.count_of(*source) == *most);
        greedy.map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) -> Option<(Source, CancellationToken)> {
        let left = self.callers.remove(&number)?;
        if let Some(count) = self.by_source.get_mut(&left.0) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&left.0);
            }
        }
        Some(left)
    }
}

/// One caller's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    shown_out: CancellationToken,
    lobby: Arc<Lobby>,
}

impl Ticket {
    /// Returns when the place is needed for somebody else.
    pub(crate) async fn shown_out(&self) {
        self.shown_out.cancelled().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.lobby.waiting().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn is_out(ticket: &Ticket) -> bool {
        ticket.shown_out.is_cancelled()
    }

    #[test]
    fn the_one_that_waits_longest_makes_room_within_its_source() {
        let lobby = Lobby::new(Places { all: 8, per_source: 2 });
        let other = lobby.enter(from("192.0.2.9"));
        let mine: Vec<_> = (0..4).map(|_| lobby.enter(from("192.0.2.1"))).collect();
        assert_eq!(mine.iter().map(is_out).collect::<Vec<_>>(), [true, true, false, false]);
        assert!(!is_out(&other), "it came first, and is no part of it");
        assert_eq!(lobby.count(), 3);
    }

    #[test]
    fn a_full_lobby_takes_the_place_from_the_source_that_holds_most() {
        let lobby = Lobby::new(Places { all: 4, per_source: 3 });
        let lone = lobby.enter(from("192.0.2.9"));
        let greedy: Vec<_> = (0..3).map(|_| lobby.enter(from("192.0.2.1"))).collect();
        let late = lobby.enter(from("192.0.2.2"));
        assert_eq!(greedy.iter().map(is_out).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_out(&lone) && !is_out(&late));
        assert_eq!(lobby.count(), 4);
    }

    #[test]
    fn among_lone_callers_the_one_that_waits_longest_makes_room() {
        for member in ["2001:db8::1", "192.0.2.1", "1.2.3.4"] {
            let lobby = Lobby::new(Places { all: 64, per_source: 8 });
            let silent: Vec<_> =
                (0..63).map(|last| lobby.enter(from(&format!("10.0.0.{last}")))).collect();
            let member = lobby.enter(from(member));
            let more: Vec<_> =
                (0..63).map(|last| lobby.enter(from(&format!("10.0.1.{last}")))).collect();
            assert!(!is_out(&member) && silent.iter().all(is_out));
            assert!(!more.iter().any(is_out));
        }
    }

    #[test]
    fn who_leaves_makes_room_and_is_counted_once() {
        let lobby = Lobby::new(Places { all: 2, per_source: 2 });
        let (first, second) = (lobby.enter(from("192.0.2.1")), lobby.enter(from("192.0.2.1")));
        drop(first);
        let third = lobby.enter(from("192.0.2.1"));
        assert!(!is_out(&second) && !is_out(&third));
        // One that was shown out leaves later: that frees nothing a second time.
        let fourth = lobby.enter(from("192.0.2.1"));
        assert!(is_out(&second));
        drop(second);
        assert_eq!(lobby.count(), 2);
        drop((third, fourth));
        assert_eq!((lobby.count(), lobby.waiting().by_source.len()), (0, 0));
    }

    #[test]
    fn one_network_of_64_bits_is_one_source() {
        let check = |one: &str, other: &str, same| {
            assert_eq!(Source::of(from(one)) == Source::of(from(other)), same, "{one} {other}");
        };
        check("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true);
        check("2001:db8:1:2::1", "2001:db8:1:3::1", false);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
    }
}
