//! Reads a page: fenced blocks that are run, and files that a reader is told to write.
//!
//! ```` ```console ```` holds commands after `$ `, continued after `> `, each followed by lines that it prints.
//! ```` ```console eventually ```` is tried again until it prints them. ```` ```toml file=PATH ```` is a file.
//! Other blocks are for the eye.

/// A page, in order.
#[derive(Debug)]
pub(crate) struct Page {
    /// What is done.
    pub(crate) steps: Vec<Step>,
}

/// One thing that a reader does.
#[derive(Debug)]
pub(crate) enum Step {
    /// Types a command.
    Command(Command),
    /// Writes a file.
    File {
        /// Path, relative to the page's folder.
        path: String,
        /// Content.
        text: String,
    },
}

/// A command, and what the page says about it.
#[derive(Debug)]
pub(crate) struct Command {
    /// Line of the page.
    pub(crate) line: usize,
    /// What is typed; several lines if it is continued.
    pub(crate) text: String,
    /// Lines that it prints, in this order, others between them allowed. `…` stands for anything.
    pub(crate) prints: Vec<String>,
    /// Whether it is tried again until it does.
    pub(crate) eventually: bool,
}

impl Page {
    /// Reads a page.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        while let Some((opened, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let mut block = Vec::new();
            loop {
                match lines.next() {
                    Some((_, "```")) => break,
                    Some(line) => block.push(line),
                    None => return Err(format!("line {opened}: the block is not closed")),
                }
            }
            let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
            if language == "console" {
                let eventually = match rest {
                    "" => false,
                    "eventually" => true,
                    other => {
                        return Err(format!(
                            "line {opened}: `{other}` is not a way to run a block"
                        ));
                    }
                };
                steps.extend(commands(&block, eventually)?.into_iter().map(Step::Command));
            } else if let Some(path) = rest.strip_prefix("file=") {
                let text: String = block.iter().flat_map(|(_, line)| [line, "\n"]).collect();
                steps.push(Step::File { path: path.to_owned(), text });
            }
        }
        Ok(Self { steps })
    }
}

fn commands(block: &[(usize, &str)], eventually: bool) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    for (line, text) in block {
        if let Some(typed) = text.strip_prefix("$ ") {
            let text = typed.to_owned();
            commands.push(Command { line: *line, text, prints: Vec::new(), eventually });
            continue;
        }
        let Some(last) = commands.last_mut() else {
            return Err(format!("line {line}: output without a command"));
        };
        match text.strip_prefix("> ") {
            Some(more) => {
                last.text.push('\n');
                last.text.push_str(more);
            }
            None if !text.trim().is_empty() => last.prints.push(text.trim().to_owned()),
            None => {}
        }
    }
    Ok(commands)
}

impl Command {
    /// The first line of the page that `output` does not print, if there is one.
    pub(crate) fn missing(&self, output: &str) -> Option<&str> {
        let mut printed = output.lines();
        let mut missing = |line: &&String| !printed.any(|found| fits(line, found.trim()));
        self.prints.iter().find(|line| missing(line)).map(String::as_str)
    }

    /// The command in one line, for a message.
    pub(crate) fn short(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// Whether a line is what the page says, `…` standing for anything.
fn fits(stated: &str, found: &str) -> bool {
    let mut parts = stated.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_line_fits_whole_or_around_its_wildcards() {
    for (stated, found, fit) in [
        ("a b", "a b", true),
        ("a", "a b", false),
        ("a …", "a b", true),
        ("… b", "a b", true),
        ("a … c … e", "a b c d e", true),
        ("a … x … e", "a b c d e", false),
        ("…", "", true),
    ] {
        assert_eq!(fits(stated, found), fit, "{stated} / {found}");
    }
}
