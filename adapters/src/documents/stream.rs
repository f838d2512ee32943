//! Opens a registered file and streams it, if it still is what was registered.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::task;

use super::beneath::{Root, sidecar_of};
use super::{beneath, walk};
use crate::adapter::{Content, MAX_FRAME_BYTES, OpenError, ReadError};
use crate::item::{Fingerprint, SourceKey};

/// Compares the file with what was registered and opens it.
///
/// # Errors
/// Fails if it is gone, changed, or cannot be read.
pub(crate) async fn open(
    folder: PathBuf,
    key: SourceKey,
    expected: Fingerprint,
) -> Result<Content, OpenError> {
    let opened = task::spawn_blocking(move || open_now(&folder, &key, &expected)).await;
    let file = opened.map_err(|error| OpenError::Unreadable(io::Error::other(error)))??;
    let content = frames(File::from_std(file), expected);
    Ok(Content { size_bytes: expected.size_bytes, stream: content.boxed() })
}

fn open_now(folder: &Path, key: &SourceKey, expected: &Fingerprint) -> Result<fs::File, OpenError> {
    let root = Root::open(folder).map_err(OpenError::Unreadable)?;
    let (file, looks) = match root.file(key) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Gone),
        Err(error) => return Err(OpenError::Unreadable(error)),
    };
    // A changed sidecar may have made the document restricted, so it counts as a change of the record.
    let companion = match root.looks(&sidecar_of(key)) {
        Ok(sidecar) => walk::companion(&sidecar.fingerprint),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(OpenError::Unreadable(error)),
    };
    let current = Fingerprint { companion, ..looks };
    if current == *expected { Ok(file) } else { Err(OpenError::Changed { current }) }
}

/// Where the stream stands.
enum Reading {
    At { file: File, left: u64 },
    Over,
}

/// The bytes of a file, then a last comparison of its looks.
fn frames(
    file: File,
    expected: Fingerprint,
) -> impl Stream<Item = Result<Bytes, ReadError>> + Send {
    let start = Reading::At { file, left: expected.size_bytes };
    stream::unfold(start, move |state| async move {
        let Reading::At { mut file, left } = state else { return None };
        match frame(&mut file, left, &expected).await {
            Ok(Some(frame)) => {
                let left = left.saturating_sub(frame.len() as u64);
                Some((Ok(frame), Reading::At { file, left }))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), Reading::Over)),
        }
    })
}

/// The next piece; `None` once everything was read and the file still looks as it did.
async fn frame(
    file: &mut File,
    left: u64,
    expected: &Fingerprint,
) -> Result<Option<Bytes>, ReadError> {
    // One byte more than is left, so that a file that grew shows it.
    let room = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(MAX_FRAME_BYTES);
    let mut frame = BytesMut::with_capacity(room);
    while frame.len() < room {
        let mut rest = (&mut *file).take((room - frame.len()) as u64);
        if rest.read_buf(&mut frame).await.map_err(ReadError::Failed)? == 0 {
            break;
        }
    }
    if frame.len() as u64 > left {
        return Err(ReadError::Changed);
    }
    if !frame.is_empty() {
        return Ok(Some(frame.freeze()));
    }
    let handle = file.try_clone().await.map_err(ReadError::Failed)?.into_std().await;
    let now = task::spawn_blocking(move || beneath::looks_now(&handle)).await;
    let now = now.map_err(|error| ReadError::Failed(io::Error::other(error)))?;
    let now = now.map_err(ReadError::Failed)?;
    let now = Fingerprint { companion: expected.companion, ..now };
    if left == 0 && now == *expected { Ok(None) } else { Err(ReadError::Changed) }
}
