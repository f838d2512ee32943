//! The schema and the default policies: files of this repository, built in, written by `sundbro init`.

use std::path::Path;
use std::sync::LazyLock;
use std::{fs, io};

use cedar_policy::Schema;

use super::folder::Source;

/// What policies can speak of.
pub const SCHEMA: &str = include_str!("../../policy/sundbro.cedarschema");
/// The name of the schema's copy in an operator's folder.
pub const SCHEMA_FILE: &str = "sundbro.cedarschema";
/// The default policies: file name and text.
pub const POLICIES: [(&str, &str); 2] = [
    ("break-glass.cedar", include_str!("../../policy/break-glass.cedar")),
    ("treatment.cedar", include_str!("../../policy/treatment.cedar")),
];

static PARSED: LazyLock<Schema> = LazyLock::new(|| {
    let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA)
        .expect("the schema is a file of this repository, which a test parses");
    schema
});

/// The schema, parsed once.
pub(super) fn schema() -> &'static Schema {
    &PARSED
}

/// The default policies as if they lay in a folder.
pub fn sources() -> Vec<Source> {
    let source =
        |(name, text): (&str, &str)| Source { name: name.to_owned(), text: text.to_owned() };
    POLICIES.map(source).into()
}

/// Writes schema and default policies into a folder that is not there yet.
///
/// The folder appears whole or not at all: half a policy may lack the rule that forbids.
///
/// # Errors
/// When it is there or cannot be written.
pub fn write(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let draft = tempfile::Builder::new().prefix(".policy-").tempdir_in(parent)?;
    for (name, text) in POLICIES.into_iter().chain([(SCHEMA_FILE, SCHEMA)]) {
        fs::write(draft.path().join(name), text)?;
    }
    // A temporary folder is its owner's alone; policies are no secret, and who runs the gateway need not be who set it up.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755))?;
    }
    fs::rename(draft.keep(), dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_is_built_in_and_nothing_over_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("etc/policy");
        write(&dir).expect("written");
        let found = super::super::find(&dir).expect("read back");
        assert_eq!(found.sources, sources());
        assert_eq!((found.other_schema, found.unread), (None, Vec::new()));
        assert_eq!(write(&dir).expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
    }
}
