//! A JSON string as it streams: its characters, one after the other, without the whole of it.

use std::io::{self, Read};

/// The characters of a JSON string, without space: FHIR R4 allows it in base64, and several programs escape `/` and `=`.
pub(crate) struct Unquoted<R> {
    string: R,
    at: At,
}

/// Where the reading of a string stands.
#[derive(PartialEq)]
enum At {
    Before,
    Inside,
    Behind,
}

impl<R: Read> Unquoted<R> {
    /// Of a string that begins with its first quote, or with space before it.
    pub(crate) fn new(string: R) -> Self {
        Self { string, at: At::Before }
    }

    fn next(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        match self.string.read_exact(&mut byte) {
            Ok(()) => Ok(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(no_base64()),
            Err(error) => Err(error),
        }
    }

    /// The next character; `None` behind the last quote.
    fn character(&mut self) -> io::Result<Option<u8>> {
        while self.at != At::Behind {
            match self.next()? {
                b'"' if self.at == At::Before => self.at = At::Inside,
                b'"' => self.at = At::Behind,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.at == At::Before => return Err(no_base64()),
                b'\\' => match self.next()? {
                    b'/' => return Ok(Some(b'/')),
                    b'r' | b'n' | b't' => {}
                    b'u' => return self.by_number().map(Some),
                    _ => return Err(no_base64()),
                },
                other => return Ok(Some(other)),
            }
        }
        Ok(None)
    }

    fn by_number(&mut self) -> io::Result<u8> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or_else(no_base64)?;
            number = (number << 4) | digit;
        }
        u8::try_from(number).ok().filter(u8::is_ascii_graphic).ok_or_else(no_base64)
    }
}

fn no_base64() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl<R: Read> Read for Unquoted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len()
            && let Some(character) = self.character()?
        {
            buffer[count] = character;
            count += 1;
        }
        Ok(count)
    }
}
