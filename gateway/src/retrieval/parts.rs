//! A stream of parts that cannot end without saying how: its end needs no room, and a missing one is an error.
//!
//! A reader that stalls fills the channel. An end that waited for room there would be lost with the patience of the
//! sender, and a stream that then simply ended would pass half a document off as a whole one.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{FRAME_TIMEOUT, PARTS_IN_FLIGHT};

/// The sending half. Dropped without [`end`](Self::end), the stream ends with the error for what broke off.
pub(crate) struct PartSender<T> {
    parts: mpsc::Sender<T>,
    end: oneshot::Sender<Vec<T>>,
    patience: Duration,
}

/// The reader takes nothing: it is gone, or let the time for one frame pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTaken;

/// The parts in order, then the end, which comes however long the reader waited.
pub struct PartStream<T> {
    parts: mpsc::Receiver<T>,
    /// `None`: the end is known.
    end: Option<oneshot::Receiver<Vec<T>>>,
    last: std::vec::IntoIter<T>,
    broken_off: fn() -> T,
    /// Dropped with the stream.
    _kept: Option<Box<dyn Any + Send>>,
}

/// A stream and its sender; `broken_off` is its end if the sender goes away without one.
pub(crate) fn parts<T>(broken_off: fn() -> T) -> (PartSender<T>, PartStream<T>) {
    let (to, parts) = mpsc::channel(PARTS_IN_FLIGHT);
    let (ending, end) = oneshot::channel();
    let to = PartSender { parts: to, end: ending, patience: FRAME_TIMEOUT };
    (
        to,
        PartStream { parts, end: Some(end), last: Vec::new().into_iter(), broken_off, _kept: None },
    )
}

impl<T> PartStream<T> {
    /// Keeps something until the reader has gone.
    pub(crate) fn keeping(self, kept: impl Any + Send) -> Self {
        Self { _kept: Some(Box::new(kept)), ..self }
    }
}

impl<T> PartSender<T> {
    /// Waits for room, for the time of one frame.
    pub(crate) async fn send(&self, part: T) -> Result<(), NotTaken> {
        match timeout(self.patience, self.parts.send(part)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotTaken),
        }
    }

    /// Says the last things. They stand beside the channel, so this waits for nobody; a reader that is gone hears
    /// nothing.
    pub(crate) fn end(self, last: Vec<T>) {
        drop(self.end.send(last));
    }
}

impl<T: Unpin> Stream for PartStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let stream = self.get_mut();
        if let Some(end) = &mut stream.end {
            // The sender keeps both halves, so once no more parts come the end is there or never comes.
            if let Some(part) = ready!(stream.parts.poll_recv(context)) {
                return Poll::Ready(Some(part));
            }
            let last = ready!(end.poll_unpin(context));
            stream.last = last.unwrap_or_else(|_| vec![(stream.broken_off)()]).into_iter();
            stream.end = None;
        }
        Poll::Ready(stream.last.next())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn the_end_comes_after_everything_else_however_long_the_reader_waited() {
        let (mut to, stream) = parts(|| "broken off");
        to.patience = Duration::ZERO;
        for _ in 0..PARTS_IN_FLIGHT {
            to.send("part").await.expect("room");
        }
        assert_eq!(to.send("no room").await, Err(NotTaken));
        to.end(vec!["last", "end"]);
        let read: Vec<_> = stream.collect().await;
        assert_eq!(read, [&["part"; PARTS_IN_FLIGHT][..], &["last", "end"]].concat());
    }

    #[tokio::test]
    async fn a_sender_that_goes_away_without_an_end_is_an_error_and_not_an_end() {
        let (to, stream) = parts(|| "broken off");
        to.send("part").await.expect("room");
        let task = tokio::spawn(async move {
            let _to = to;
            panic!("as a defect would");
        });
        assert!(task.await.is_err());
        assert_eq!(stream.collect::<Vec<_>>().await, ["part", "broken off"]);
    }
}
