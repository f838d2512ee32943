//! What a program learns from how `sundbro` ends.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked is done.
    Done = 0,
    /// It failed for another reason than those below.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was opened.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// It is there, but not for this caller.
    Denied = 4,
    /// The gateway, a peer or a local system does not answer.
    Unavailable = 5,
    /// Bytes, signatures or digests do not fit: something was changed.
    Integrity = 6,
}

impl Exit {
    /// What a gRPC status means for the exit code.
    pub fn of_grpc(code: tonic::Code) -> Self {
        use tonic::Code;
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::NotFound => Self::NotFound,
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                Self::Unavailable
            }
            Code::DataLoss => Self::Integrity,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
