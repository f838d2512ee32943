//! Test only: a protocol version from the future, to run gateways of several versions side by side.
//!
//! It is version 1 with one frame more, which means nothing: whoever hears it says so in the log, and whoever speaks
//! version 1 must never get it.

use std::ops::RangeInclusive;

use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Frame, Problem};

use super::frames;
use super::link::Link;

/// The version.
const PROTOCOL: u32 = 2;
/// What the frame carries as its reason.
const REASON: &str = "PROTOCOL_2";

/// The versions that the environment names.
pub(super) fn spoken() -> Option<RangeInclusive<u32>> {
    let named = std::env::var("SUNDBRO_PROTOCOLS").ok()?;
    let (min, max) = named.split_once('-')?;
    Some(min.parse().ok()?..=max.parse().ok()?)
}

impl Link {
    /// The frame, where the stream is of this version.
    pub(super) fn frame_of_protocol_2(&self) -> Option<Frame> {
        let problem = || frames::problem(REASON, "a frame that means nothing", None, false);
        (self.greeting.protocol == PROTOCOL).then(|| frames::frame(Kind::Problem(problem())))
    }

    /// Says that the frame came.
    pub(super) fn hear_protocol_2(&self, problem: &Problem) {
        if problem.reason == REASON && self.says_first("protocol 2") {
            tracing::info!(peer = %self.peer, settled = self.greeting.protocol, "protocol 2 was heard");
        }
    }
}
