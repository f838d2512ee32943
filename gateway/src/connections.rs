//! Every open connection, with what let it in, so that a change of trust can close exactly those it concerns.
//!
//! HTTP/2 connections live for days and TLS checks a certificate once: without this list a revoked peer would stay
//! until it hangs up by itself.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use rustls_pki_types::CertificateDer;
use sundbro_ledger::ids::MemberName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::tls::Role;
use crate::tls::Standing;

/// Bytes read to hear the other end's first word: an HTTP/2 settings frame or a request line is shorter.
const FIRST_WORD_BYTES: usize = 4_096;

/// Waits for the other end's first word, which [`Guarded`] then gives to whoever reads.
pub(crate) async fn first_word<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Bytes> {
    let mut early = BytesMut::with_capacity(FIRST_WORD_BYTES);
    match stream.read_buf(&mut early).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(early.freeze()),
    }
}

/// What let a connection in.
#[derive(Debug)]
pub struct Open {
    /// The member at the other end. `None` for a local system.
    pub(crate) peer: Option<MemberName>,
    /// The certificates that the other end showed, its own first. Empty when it showed none.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// What they had to be good for.
    pub(crate) role: Role,
    /// Where the member stood in the charter. `None` for a local system.
    pub(crate) standing: Option<Standing>,
}

/// The open connections of one listener or dialler.
#[derive(Debug, Default)]
pub struct Connections {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: BTreeMap<u64, (Arc<Open>, CancellationToken)>,
}

impl Connections {
    /// None open.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.inner().open.len()
    }

    /// How many are open with `member`, in and out.
    pub fn count_of(&self, member: &MemberName) -> usize {
        self.inner().open.values().filter(|(open, _)| open.peer.as_ref() == Some(member)).count()
    }

    /// Which are open with `member`, in and out: a number that no other connection of this list ever had.
    pub fn open_with(&self, member: &MemberName) -> Vec<u64> {
        let inner = self.inner();
        let with = inner.open.iter().filter(|(_, (open, _))| open.peer.as_ref() == Some(member));
        with.map(|(id, _)| *id).collect()
    }

    /// Closes every connection with `member`. Returns how many.
    pub fn close_member(&self, member: &MemberName) -> usize {
        self.close_unless(|open| open.peer.as_ref() != Some(member))
    }

    /// Closes those that `keep` does not want. Returns how many.
    pub(crate) fn close_unless(&self, keep: impl Fn(&Open) -> bool) -> usize {
        // Judging takes signatures: it happens outside the lock, on a copy of the list.
        let all: Vec<_> = self.inner().open.values().cloned().collect();
        let mut closed = 0;
        for (open, close) in all {
            if !close.is_cancelled() && !keep(&open) {
                close.cancel();
                closed += 1;
            }
        }
        closed
    }

    /// Enters a connection until its [`Registration`] is dropped.
    pub(crate) fn register(self: &Arc<Self>, open: Open) -> Registration {
        let (open, close) = (Arc::new(open), CancellationToken::new());
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        inner.open.insert(id, (open.clone(), close.clone()));
        drop(inner);
        Registration { id, open, close, connections: self.clone() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place in the list.
#[derive(Debug)]
pub(crate) struct Registration {
    id: u64,
    open: Arc<Open>,
    close: CancellationToken,
    connections: Arc<Connections>,
}

impl Registration {
    /// What let it in.
    pub(crate) fn open(&self) -> &Open {
        &self.open
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.inner().open.remove(&self.id);
    }
}

/// A connection that ends with an error as soon as its registration is told to close.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    io: S,
    /// Bytes that were read before anybody asked for them.
    early: Bytes,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    registration: Registration,
}

impl<S> Guarded<S> {
    /// Guards `io`, of which `early` was read already.
    pub(crate) fn new(io: S, early: Bytes, registration: Registration) -> Self {
        let closed = Box::pin(registration.close.clone().cancelled_owned());
        Self { io, early, closed, registration }
    }

    fn check(&self) -> io::Result<()> {
        if self.registration.close.is_cancelled() { Err(closed()) } else { Ok(()) }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the peer's certificate or standing changed")
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // HTTP/2 always has a read pending, so this is what wakes an idle connection to its end.
        if self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(closed()));
        }
        if !self.early.is_empty() {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(self.early.get(..length).unwrap_or_default());
            self.early.advance(length);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
