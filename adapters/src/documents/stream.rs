//! Opens a registered file and streams it, if it still is what was registered.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::task;

use super::attachment::Place;
use super::beneath::{Root, sidecar_of};
use super::pointing::{described_by, has_sidecar};
use super::{attachment, beneath, walk};
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
    let opened = task::spawn_blocking(move || open_now(&folder, &key, &expected));
    let body = opened.await.map_err(|error| OpenError::Unreadable(io::Error::other(error)))??;
    let size_bytes = body.left;
    Ok(Content { size_bytes, stream: frames(body).boxed() })
}

fn open_now(folder: &Path, key: &SourceKey, expected: &Fingerprint) -> Result<Body, OpenError> {
    let root = Root::open(folder).map_err(OpenError::Unreadable)?;
    let (file, looks) = match root.file(key) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Gone),
        Err(error) => return Err(OpenError::Unreadable(error)),
    };
    // A changed sidecar may have made the document restricted, so it counts as a change of the record.
    match root.looks(&sidecar_of(key)) {
        Ok(sidecar) => {
            let companion = walk::companion(&sidecar.fingerprint);
            let current = Fingerprint { companion, ..looks };
            is(current, expected)?;
            // What a sidecar describes is the file, whatever is in it.
            Body::whole(file, current).map_err(OpenError::Unreadable)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::Unreadable(error)),
        Err(_) if expected.companion == 0 => {
            is(looks, expected)?;
            Body::inside(file, looks).map_err(OpenError::Unreadable)
        }
        // A sidecar that is gone, or a file beside this one that holds the bytes.
        Err(_) => {
            is(Fingerprint { companion: expected.companion, ..looks }, expected)?;
            let changed = OpenError::Changed { current: looks };
            let Some(beside) = described_by(&root, key, expected.size_bytes) else {
                return Err(changed);
            };
            if has_sidecar(&root, &beside) {
                return Err(changed);
            }
            let (file, beside) = root.file(&beside).map_err(|_| changed)?;
            is(Fingerprint { companion: walk::companion(&beside), ..looks }, expected)?;
            Body::whole(file, beside).map_err(OpenError::Unreadable)
        }
    }
}

fn is(current: Fingerprint, expected: &Fingerprint) -> Result<(), OpenError> {
    if current == *expected { Ok(()) } else { Err(OpenError::Changed { current }) }
}

/// The bytes of a record that are still to be read.
struct Body {
    bytes: Box<dyn Read + Send>,
    left: u64,
    /// The file that they come from, and what it looked like.
    file: File,
    expected: Fingerprint,
}

/// The bytes of a record, then a last comparison of its file's looks.
fn frames(body: Body) -> impl Stream<Item = Result<Bytes, ReadError>> + Send {
    stream::unfold(Some(body), |body| async {
        let mut body = body?;
        let read = task::spawn_blocking(move || (body.frame(), body)).await;
        let (frame, body) = match read {
            Ok((frame, body)) => (frame, Some(body)),
            Err(error) => (Err(ReadError::Failed(io::Error::other(error))), None),
        };
        match frame {
            Ok(frame) => frame.map(|frame| (Ok(frame), body)),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Body {
    /// All bytes of a file.
    fn whole(file: File, expected: Fingerprint) -> io::Result<Self> {
        let mut bytes = file.try_clone()?;
        io::Seek::rewind(&mut bytes)?;
        Ok(Self { bytes: Box::new(bytes), left: expected.size_bytes, file, expected })
    }

    /// The document inside a file, if there is one, else the file.
    fn inside(file: File, expected: Fingerprint) -> io::Result<Self> {
        let Some(Place::Inside(path)) = attachment::place(&file)? else {
            return Self::whole(file, expected);
        };
        let left = io::copy(&mut attachment::inside(&file, &path)?, &mut io::sink())?;
        Ok(Self { bytes: attachment::inside(&file, &path)?, left, file, expected })
    }

    /// The next piece; `None` once everything was read and the file still looks as it did. Blocks.
    fn frame(&mut self) -> Result<Option<Bytes>, ReadError> {
        // One byte more than is left, so that a file that grew shows it.
        let room = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let mut frame = BytesMut::zeroed(room.min(MAX_FRAME_BYTES));
        let count = self.fill(&mut frame).map_err(ReadError::Failed)?;
        frame.truncate(count);
        let left = self.left.checked_sub(count as u64).ok_or(ReadError::Changed)?;
        if count > 0 {
            self.left = left;
            return Ok(Some(frame.freeze()));
        }
        let now = beneath::looks_now(&self.file).map_err(ReadError::Failed)?;
        let now = Fingerprint { companion: self.expected.companion, ..now };
        if left == 0 && now == self.expected { Ok(None) } else { Err(ReadError::Changed) }
    }

    fn fill(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < frame.len() {
            match self.bytes.read(&mut frame[count..]) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
