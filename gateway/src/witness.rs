//! Vouches for other members' logs: whenever something is new in them, after a while, our own log says so.
//!
//! The while is what keeps a busy federation from observing every single entry: whatever grew meanwhile is in the same
//! observation. Nothing is lost by waiting, for an observation tells what is here and not what just came. Where a payload has
//! not come yet, a second look after another while takes it for whatever it may be.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::publisher::{PublishError, PublisherHandle, SigningState};

/// Observes until stopped: `interval` after the start, and after each time that logs changed.
pub async fn run(
    hub: Arc<Hub>,
    publisher: PublisherHandle,
    interval: Duration,
    stop: CancellationToken,
) {
    let (mut heads, mut state) = (hub.watch_heads(), publisher.state());
    let mut complained = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        // What changes from here on is observed the next time.
        heads.mark_unchanged();
        let signing = *state.borrow_and_update() == SigningState::Signing;
        let mut again = false;
        if signing {
            match publisher.observe().await {
                Ok(vouched) => {
                    complained = None;
                    again = vouched.again;
                    if vouched.observations > 0 {
                        let observations = vouched.observations;
                        tracing::debug!(observations, "vouched for what is new in other logs");
                    }
                }
                Err(PublishError::Stopping) => return,
                Err(error) => complain(&error, &mut complained),
            }
        }
        if again {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = heads.changed() => if changed.is_err() { return },
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

/// Says why nothing is observed, once for each cause.
fn complain(error: &PublishError, complained: &mut Option<String>) {
    let cause = crate::status::chain(error);
    if complained.as_ref() != Some(&cause) {
        tracing::warn!(cause, "other members' logs are not vouched for");
        *complained = Some(cause);
    }
}
