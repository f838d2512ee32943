//! Reads the folder of policies: which files there are, within limits, in one order on every machine.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::defaults::SCHEMA;
use super::error::{PolicyError, Problem};

/// Largest policy file in bytes.
pub const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Most policy files. With [`MAX_FILE_BYTES`] no more than 16 MiB are ever read.
pub const MAX_FILES: usize = 64;
/// Most names in the folder that are looked at, whatever they are.
const MAX_NAMES: usize = 1024;
/// Ending of policy files.
const ENDING: &str = ".cedar";
/// Ending of the schema's copy.
const SCHEMA_ENDING: &str = ".cedarschema";

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, without the folder.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What a folder holds.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The policy files, in order of their names' bytes.
    pub sources: Vec<Source>,
    /// A copy of the schema lies there, and it is not the one of this version.
    pub other_schema: Option<String>,
    /// Names of files that are no policies and are not read.
    pub unread: Vec<String>,
}

/// Reads a folder. Names that begin with a dot are passed over: Kubernetes keeps its own there.
///
/// # Errors
/// When it cannot be read or breaks a limit.
pub fn find(dir: &Path) -> Result<Found, PolicyError> {
    let mut found = Found::default();
    let mut problems = Vec::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        // Follows links, as Kubernetes mounts files.
        let is_dir = fs::metadata(&path)
            .map_err(|error| PolicyError::Unreadable(path.clone(), error))?
            .is_dir();
        if is_dir {
            // Somebody who put a rule there that forbids must not believe that it holds.
            let what = "is a folder, and rules are read from the policy folder alone";
            problems.push(Problem::new((&name, None), what, "move its files up, or elsewhere"));
        } else if name.ends_with(ENDING) {
            match read(&path)? {
                Ok(text) => found.sources.push(Source { name, text }),
                Err((what, cure)) => problems.push(Problem::new((&name, None), what, cure)),
            }
        } else if name.ends_with(SCHEMA_ENDING) {
            if read(&path)?.map_or(true, |text| text != SCHEMA) {
                found.other_schema = Some(name);
            }
        } else {
            found.unread.push(name);
        }
    }
    if found.sources.len() > MAX_FILES {
        let what = format!("there are more than {MAX_FILES} policy files");
        problems.push(Problem::new(("", None), what, "join some"));
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(PolicyError::Invalid { dir: dir.to_owned(), problems }),
    }
}

/// The names in the folder, in order.
fn names(dir: &Path) -> Result<Vec<String>, PolicyError> {
    let unreadable = |error| PolicyError::Unreadable(dir.to_owned(), error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PolicyError::Absent(dir.to_owned()));
        }
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
        if names.len() > MAX_NAMES {
            let what = format!("there are more than {MAX_NAMES} files in it");
            let problem = Problem::new(("", None), what, "give policies a folder of their own");
            return Err(PolicyError::Invalid { dir: dir.to_owned(), problems: vec![problem] });
        }
    }
    names.sort();
    Ok(names)
}

type Complaint = (String, &'static str);

/// The text of a file, or what is wrong with it.
fn read(path: &PathBuf) -> Result<Result<String, Complaint>, PolicyError> {
    let unreadable = |error| PolicyError::Unreadable(path.clone(), error);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Ok(Err((format!("is longer than {MAX_FILE_BYTES} bytes"), "split it")));
    }
    let text = String::from_utf8(bytes);
    Ok(text.map_err(|_| ("is not UTF-8 text".to_owned(), "save it as UTF-8")))
}

/// The digest that grants carry: of the schema and of each file with its name, in order. Nothing else has this first
/// line, so it is no digest of anything else that we hash.
pub(super) fn digest(sources: &[Source]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"sundbro/v1/policy\n");
    let mut part = |text: &str| {
        // Limited to 256 KiB above; a schema is as long as we make it.
        hash.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(text);
    };
    part(SCHEMA);
    for source in sources {
        part(&source.name);
        part(&source.text);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("written");
        }
        folder
    }

    fn names_of(found: &Found) -> Vec<&str> {
        found.sources.iter().map(|source| source.name.as_str()).collect()
    }

    #[test]
    fn reads_policy_files_in_order_and_tells_what_it_leaves() {
        let files: [(&str, &[u8]); 6] = [
            ("b.cedar", b""),
            ("a.cedar", b"// a"),
            ("a.cedar~", b""),
            (".hidden.cedar", b"no policy"),
            ("old.cedarschema", b"entity Role;"),
            ("README", b""),
        ];
        let found = find(folder(&files).path()).expect("a folder");
        assert_eq!(names_of(&found), ["a.cedar", "b.cedar"]);
        assert_eq!(found.unread, ["README", "a.cedar~"]);
        assert_eq!(found.other_schema.as_deref(), Some("old.cedarschema"));
        let ours = folder(&[("sundbro.cedarschema", SCHEMA.as_bytes())]);
        assert_eq!(find(ours.path()).expect("a folder").other_schema, None);
    }

    #[test]
    fn keeps_to_its_limits() {
        let check = |folder: &Path, says: &str| {
            let error = find(folder).expect_err(says);
            assert!(crate::status::chain(&error).contains(says), "{error}");
        };
        let whole = vec![b' '; MAX_FILE_BYTES as usize + 1];
        check(folder(&[("a.cedar", &whole)]).path(), "a.cedar: is longer than 262144 bytes: split");
        assert!(find(folder(&[("a.cedar", &whole[1..])]).path()).is_ok());
        check(folder(&[("a.cedar", b"\xff")]).path(), "a.cedar: is not UTF-8");
        let many = folder(&[]);
        for n in 0..=MAX_FILES {
            fs::write(many.path().join(format!("{n}.cedar")), "").expect("written");
        }
        check(many.path(), "more than 64 policy files");
        fs::remove_file(many.path().join("0.cedar")).expect("removed");
        assert_eq!(find(many.path()).expect("64 files").sources.len(), MAX_FILES);
        let nested = folder(&[]);
        fs::create_dir(nested.path().join("more")).expect("a folder");
        check(nested.path(), "more: is a folder");
        check(&nested.path().join("absent"), "there is no policy folder");
        // There is something, so `sundbro init` is not what helps.
        let file = folder(&[("policy", b"")]);
        check(&file.path().join("policy"), "policy cannot be read: check that it exists");
    }

    #[test]
    fn looks_at_so_many_names_and_no_more() {
        let folder = folder(&[(".not-counted", b"")]);
        let add =
            |n: usize| fs::write(folder.path().join(format!("{n}.txt")), "").expect("written");
        (0..MAX_NAMES).for_each(add);
        assert_eq!(find(folder.path()).expect("as many as may be").unread.len(), MAX_NAMES);
        for n in MAX_NAMES..MAX_NAMES + 2 {
            add(n);
            let error = find(folder.path()).expect_err("too many");
            let told = crate::status::chain(&error);
            assert!(told.contains("there are more than 1024 files in it"), "{told}");
        }
    }

    #[test]
    fn the_digest_tells_where_one_file_ends() {
        let source =
            |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        let one = digest(&[source("a.cedar", "xy"), source("b.cedar", "")]);
        assert_ne!(one, digest(&[source("a.cedar", "x"), source("b.cedar", "y")]));
        assert_ne!(one, digest(&[source("a.cedar", "xy")]));
        // The order of names decides which of two rules is named.
        assert_ne!(one, digest(&[source("a.cedar", "xy"), source("c.cedar", "")]));
        assert_eq!(one, digest(&[source("a.cedar", "xy"), source("b.cedar", "")]));
    }
}
