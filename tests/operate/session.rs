//! Runs a page in one Bash, in a folder of its own, with the binary that this build made.

use std::fmt::Write as _;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::PORTS;
use crate::page::{Page, Step};

/// How long a block `eventually` is tried, in seconds. Usually it takes three.
const PATIENCE_SECONDS: u32 = 60;

/// A folder, a binary and ports.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    bin: PathBuf,
    ports: Vec<u16>,
    patience_seconds: u32,
}

impl Session {
    pub(crate) fn new(binary: &Path) -> io::Result<Self> {
        // Held all at once, so that no port is handed out twice.
        let listeners = PORTS
            .iter()
            .map(|_| TcpListener::bind(("127.0.0.1", 0)))
            .collect::<io::Result<Vec<_>>>()?;
        let ports = listeners
            .iter()
            .map(|listener| Ok(listener.local_addr()?.port()))
            .collect::<io::Result<Vec<_>>>()?;
        let bin = binary.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { folder: tempfile::tempdir()?, bin, ports, patience_seconds: PATIENCE_SECONDS })
    }

    /// With less patience, for what will not come.
    pub(crate) fn impatient(self) -> Self {
        Self { patience_seconds: 1, ..self }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("page")
    }

    /// Leaves everything for whoever looks at the failure.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// With the ports of this session in place of the page's.
    fn ported(&self, text: &str) -> String {
        PORTS
            .iter()
            .zip(&self.ports)
            .fold(text.to_owned(), |text, (of_page, ours)| text.replace(of_page, &ours.to_string()))
    }

    /// Runs a page to its end, or to the first command that does not do what the page says.
    pub(crate) fn run(&self, page: &Page) -> Result<(), String> {
        let failed = |error: io::Error| format!("the session cannot be run: {error}");
        std::fs::create_dir_all(self.folder()).map_err(failed)?;
        let script = self.script(page).map_err(failed)?;
        let file = self.folder.path().join("script.sh");
        std::fs::write(&file, script).map_err(failed)?;
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap_or_default());
        let status = Command::new("bash")
            .arg(&file)
            .current_dir(self.folder())
            .env("PATH", path)
            .env_remove("SUNDBRO_CLIENT")
            .env_remove("SUNDBRO_CONFIG")
            .env_remove("SUNDBRO_FEDERATION")
            .stdin(Stdio::null())
            .status()
            .map_err(failed)?;
        self.judge(page)?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the session ended with {status}")),
        }
    }

    /// One Bash script: variables, folders and background gateways live from block to block, as they do for a reader.
    fn script(&self, page: &Page) -> io::Result<String> {
        // Whatever a failed page leaves running ends with the session.
        let mut script = String::from("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\nTOP=$PWD\n");
        for (number, step) in page.steps.iter().enumerate() {
            let here = self.folder.path().join(number.to_string());
            let here = here.display();
            match step {
                Step::File { path, text } => {
                    std::fs::write(format!("{here}.file"), self.ported(text))?;
                    let _ = writeln!(
                        script,
                        "mkdir -p \"$(dirname \"$TOP/{path}\")\" && cp {here}.file \"$TOP/{path}\" || exit 8"
                    );
                }
                Step::Command(command) => {
                    let text = self.ported(&command.text);
                    let run = format!(
                        "{{\n{text}\n}} >{here}.out 2>&1; code=$?; echo $code >{here}.code\n"
                    );
                    if !command.eventually {
                        let _ = writeln!(script, "{run}[ $code -eq 0 ] || exit 9");
                        continue;
                    }
                    let mut printed = String::from("[ $code -eq 0 ]");
                    for line in command.prints.iter().map(|line| self.ported(line)) {
                        // Their order is judged when the session has ended.
                        let pattern = pattern_of(&line);
                        let _ = write!(printed, " && grep -qE -e '{pattern}' {here}.out");
                    }
                    let patience = self.patience_seconds;
                    let _ = write!(
                        script,
                        "until=$((SECONDS + {patience}))\nwhile :; do\n{run}{printed} && break\n\
                         [ $SECONDS -lt $until ] || exit 9\nsleep 0.3\ndone\n"
                    );
                }
            }
        }
        Ok(script)
    }

    /// Compares what was printed with what the page says.
    fn judge(&self, page: &Page) -> Result<(), String> {
        for (number, step) in page.steps.iter().enumerate() {
            let Step::Command(command) = step else { continue };
            let read = |ending: &str| {
                let file = self.folder.path().join(format!("{number}.{ending}"));
                std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            };
            let (line, short) = (command.line, command.short());
            let Ok(code) = read("code") else {
                return Err(format!("line {line}: `{short}`: did not come to its turn"));
            };
            let output = read("out").unwrap_or_default();
            let told = || format!("; it printed:\n{output}");
            let code = code.trim();
            if code != "0" {
                return Err(format!("line {line}: `{short}`: ended with {code}{}", told()));
            }
            let stated = crate::page::Command {
                prints: command.prints.iter().map(|line| self.ported(line)).collect(),
                text: String::new(),
                ..*command
            };
            if let Some(missing) = stated.missing(&output) {
                return Err(format!("line {line}: `{short}`: did not print `{missing}`{}", told()));
            }
        }
        Ok(())
    }
}

/// The extended regular expression, for a shell's single quotes, of a line in which `…` stands for anything.
fn pattern_of(line: &str) -> String {
    let mut pattern = String::from("^ *");
    for character in line.chars() {
        match character {
            '…' => pattern.push_str(".*"),
            '\'' => pattern.push('.'),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' | '\\' => {
                pattern.push('\\');
                pattern.push(character);
            }
            other => pattern.push(other),
        }
    }
    pattern.push_str(" *$");
    pattern
}
