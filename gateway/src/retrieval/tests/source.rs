//! A fake local system that holds one document, and everything that can be wrong with it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use sundbro_adapters::adapter::{
    Adapter, Content, Emit, Health, KnownItems, OpenError, ReadError, ScanError, ScanReport,
};
use sundbro_adapters::item::{Fingerprint, SourceKey};

use super::content;

/// What the fake source does when a record is opened or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::retrieval) enum Mode {
    Whole,
    ChangedOnOpen,
    ChangedWhileRead,
    OtherBytes,
    Longer,
    Fails,
    /// Does not come to an end of opening it.
    Hangs,
    /// Whole, in so many pieces that no buffer on the way holds them all.
    InSmallPieces,
}

/// A local system that holds one document.
pub(in crate::retrieval) struct FakeSource {
    pub(in crate::retrieval) mode: Mutex<Mode>,
    pub(in crate::retrieval) opened: AtomicUsize,
}

pub(in crate::retrieval) const FINGERPRINT: Fingerprint =
    Fingerprint { size_bytes: 600_000, modified_ns: 1, inode: 2, companion: 0 };

impl Adapter for FakeSource {
    fn name(&self) -> &str {
        "documents"
    }

    fn settings_digest(&self) -> [u8; 32] {
        [0; 32]
    }

    fn scan(&self, _: &dyn KnownItems, _: Emit<'_>) -> Result<ScanReport, ScanError> {
        Ok(ScanReport::default())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    fn open<'a>(
        &'a self,
        _: &'a SourceKey,
        expected: &'a Fingerprint,
    ) -> BoxFuture<'a, Result<Content, OpenError>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let mode = *self.mode.lock().expect("lock");
        assert_eq!(*expected, FINGERPRINT);
        let mut bytes = content();
        match mode {
            Mode::ChangedOnOpen => {
                let current = Fingerprint { modified_ns: 9, ..FINGERPRINT };
                return async move { Err(OpenError::Changed { current }) }.boxed();
            }
            Mode::Hangs => return std::future::pending().boxed(),
            Mode::OtherBytes => bytes[400_000] ^= 1,
            Mode::Longer => bytes.push(0),
            Mode::Whole | Mode::ChangedWhileRead | Mode::Fails | Mode::InSmallPieces => {}
        }
        let piece_bytes = if matches!(mode, Mode::InSmallPieces) { 100 } else { 256 * 1024 };
        let pieces = bytes.chunks(piece_bytes).map(Bytes::copy_from_slice).map(Ok);
        let mut pieces: Vec<Result<Bytes, ReadError>> = pieces.collect();
        match mode {
            Mode::ChangedWhileRead => pieces[1] = Err(ReadError::Changed),
            Mode::Fails => pieces[1] = Err(ReadError::Failed(std::io::Error::other("gone"))),
            _ => {}
        }
        let stream = futures_util::stream::iter(pieces).boxed();
        async move { Ok(Content { size_bytes: FINGERPRINT.size_bytes, stream }) }.boxed()
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}
