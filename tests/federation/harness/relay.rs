//! A line between two gateways that a test can hold or cut: the network between two organisations.
//!
//! Held, it swallows nothing and passes nothing, as a network does that loses every packet; what waits goes on when it
//! is whole again. Cut, every connection is closed and no new one lives.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The state of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Bytes pass.
    Whole,
    /// Bytes wait.
    Held,
    /// Connections are closed.
    Cut,
}

/// Listens on a port of its own and passes every connection on to `target`. Lives as long as the test process.
#[derive(Debug, Clone)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    line: Mutex<Line>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// A whole line to `target`.
    pub fn to(target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared {
            line: Mutex::new(Line::Whole),
            changed: Condvar::new(),
            open: Mutex::new(Vec::new()),
        });
        let passing = shared.clone();
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                passing.accept(caller, &target);
            }
        });
        Self { address, shared }
    }

    /// Where to dial instead of the target.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes the state of the line.
    pub fn set(&self, line: Line) {
        *self.shared.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
        self.shared.changed.notify_all();
        if line == Line::Cut {
            self.shared.close_all();
        }
    }
}

impl Shared {
    fn line(&self) -> Line {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_all(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn accept(self: &Arc<Self>, caller: TcpStream, target: &str) {
        if self.line() == Line::Cut {
            return;
        }
        // Nobody listens there: the caller sees its connection close.
        let Ok(callee) = TcpStream::connect(target) else { return };
        for (from, to) in [(&caller, &callee), (&callee, &caller)] {
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone())
            else {
                return;
            };
            self.open.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
            let shared = self.clone();
            std::thread::spawn(move || shared.pass(from, to));
        }
        // Cut while it was being opened.
        if self.line() == Line::Cut {
            self.close_all();
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let held = |line: &mut Line| *line == Line::Held;
            let line = self.changed.wait_while(line, held).unwrap_or_else(PoisonError::into_inner);
            if *line == Line::Cut {
                break;
            }
            drop(line);
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
        drop(from.shutdown(Shutdown::Both));
    }
}
