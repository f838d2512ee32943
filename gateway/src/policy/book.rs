//! The policy in force and how it changes: whole, or not at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::error::PolicyError;
use super::folder::{digest, find};
use super::{Decision, Policy, Request, Resource};
use crate::reason;

/// The policy in force, read again when its folder changes.
pub struct PolicyBook {
    /// `None`: none is configured, and nothing is permitted.
    dir: Option<PathBuf>,
    in_force: ArcSwap<Policy>,
    /// Why the folder as it is now is not in force. `None`: it is.
    trouble: Mutex<Option<Trouble>>,
    /// How often it was asked: a test compares the work behind two answers.
    #[cfg(test)]
    pub(crate) asked: std::sync::atomic::AtomicUsize,
}

/// What was read and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    /// In one line, which tells one trouble from another.
    message: String,
}

/// What became of reading the folder again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing is different.
    Same,
    /// Another policy is in force.
    Changed,
    /// What is in the folder is not valid; the policy before stays.
    Kept,
}

/// How policy does, for status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyState {
    /// The digest that grants carry.
    pub sha256: [u8; 32],
    /// How many rules there are.
    pub rules: usize,
    /// Reason and message of what is wrong. `None`: nothing.
    pub trouble: Option<(reason::Reason, String)>,
}

impl PolicyBook {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// When it is not valid: a gateway does not start on half a policy.
    pub fn open(dir: Option<PathBuf>) -> Result<Arc<Self>, PolicyError> {
        let policy = match &dir {
            Some(dir) => Policy::load(dir)?,
            None => Policy::deny_all(),
        };
        Ok(Self::new(dir, policy))
    }

    /// A policy that never changes.
    pub fn fixed(policy: Policy) -> Arc<Self> {
        Self::new(None, policy)
    }

    fn new(dir: Option<PathBuf>, policy: Policy) -> Arc<Self> {
        Arc::new(Self {
            dir,
            in_force: ArcSwap::from_pointee(policy),
            trouble: Mutex::new(None),
            #[cfg(test)]
            asked: std::sync::atomic::AtomicUsize::new(0),
        })
    }

    /// The folder. `None`: there is none to watch.
    pub(super) fn dir(&self) -> Option<&PathBuf> {
        self.dir.as_ref()
    }

    /// Decides by the policy in force.
    pub fn decide(&self, request: &Request, resource: &Resource) -> Decision {
        #[cfg(test)]
        self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.in_force.load().decide(request, resource)
    }

    /// Whether the folder holds what is in force; `Err`: what it holds instead, as a digest, if it can be read. Blocking.
    pub(super) fn compare(&self) -> Result<(), Option<[u8; 32]>> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let there = find(dir).ok().map(|found| digest(&found.sources));
        match there {
            Some(there) if there == *self.in_force.load().sha256() => Ok(()),
            other => Err(other),
        }
    }

    /// Reads the folder again. What decides goes on with the policy that it began with. Blocking.
    pub fn refresh(&self) -> Refreshed {
        let Some(dir) = &self.dir else { return Refreshed::Same };
        let sources = match find(dir) {
            Ok(found) => found.sources,
            Err(error) => return self.keep(&error),
        };
        if digest(&sources) == *self.in_force.load().sha256() {
            return match self.clear_trouble() {
                true => {
                    tracing::info!("the policy folder holds the policy in force again");
                    Refreshed::Changed
                }
                false => Refreshed::Same,
            };
        }
        match Policy::parse(&sources) {
            Ok(policy) => {
                let sha256 = hex::encode(policy.sha256());
                tracing::info!(sha256, rules = policy.rules().len(), "policy reloaded");
                self.in_force.store(Arc::new(policy));
                self.clear_trouble();
                Refreshed::Changed
            }
            Err(problems) => self.keep(&PolicyError::Invalid { dir: dir.clone(), problems }),
        }
    }

    /// Notes why the policy before stays; tells it once.
    fn keep(&self, error: &PolicyError) -> Refreshed {
        let trouble = Trouble { message: error.in_one_line() };
        let mut noted = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if noted.as_ref() != Some(&trouble) {
            let reason = error.reason();
            tracing::error!(%reason, error = error.for_a_log(), "the policy before stays in force");
            *noted = Some(trouble);
        }
        Refreshed::Kept
    }

    fn clear_trouble(&self) -> bool {
        let mut noted = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        noted.take().is_some()
    }

    /// How policy does.
    pub fn state(&self) -> PolicyState {
        let policy = self.in_force.load();
        let noted = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let not_taken = noted.clone().map(|trouble| (reason::POLICY_INVALID, trouble.message));
        let failed = || {
            let reason = reason::POLICY_RULE_FAILED;
            policy.failed().map(|place| (reason, format!("{place}: {}", reason.cause)))
        };
        PolicyState {
            sha256: *policy.sha256(),
            rules: policy.rules().len(),
            trouble: not_taken.or_else(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::super::defaults;
    use super::super::facts::Facts;
    use super::*;

    /// A folder with the default policies, and a book of it.
    fn book() -> (tempfile::TempDir, PathBuf, Arc<PolicyBook>) {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("policy");
        defaults::write(&dir).expect("written");
        let book = PolicyBook::open(Some(dir.clone())).expect("valid");
        (folder, dir, book)
    }

    fn permits(book: &PolicyBook, role: &str) -> bool {
        let (request, resource) = Facts::new(role, "TREAT").judged().expect("known");
        book.decide(&request, &resource).permit
    }

    fn replace(dir: &Path, from: &str, to: &str) {
        let file = dir.join("treatment.cedar");
        let text = fs::read_to_string(&file).expect("read");
        assert!(text.contains(from), "nothing to replace");
        fs::write(file, text.replace(from, to)).expect("written");
    }

    fn trouble(book: &PolicyBook) -> Option<String> {
        book.state().trouble.map(|(reason, message)| format!("{reason}: {message}"))
    }

    #[test]
    fn what_is_not_valid_changes_nothing_but_what_status_says() {
        let (_folder, dir, book) = book();
        let before = book.state();
        assert_eq!((before.rules, book.refresh()), (3, Refreshed::Same));
        assert!(permits(&book, "midwife"));

        replace(&dir, "Purpose::\"TREAT\"", "Purpose::\"TREET\"");
        assert_eq!((book.refresh(), book.refresh()), (Refreshed::Kept, Refreshed::Kept));
        let told = trouble(&book).expect("it is told");
        assert!(
            told.starts_with("POLICY_INVALID: ") && told.contains("treatment.cedar:"),
            "{told}"
        );
        assert_eq!((book.state().sha256, book.state().rules), (before.sha256, 3));
        assert!(permits(&book, "midwife") && !permits(&book, "clerk"));

        // Another file is good and would permit more: half a folder is not taken.
        fs::write(
            dir.join("more.cedar"),
            "@id(\"more\") @says(\"for a test\")\n\
             permit (principal in Role::\"clerk\", action == Action::\"read\", resource);",
        )
        .expect("written");
        assert_eq!(book.refresh(), Refreshed::Kept);
        assert!(!permits(&book, "clerk"));

        replace(&dir, "TREET", "TREAT");
        assert_eq!(book.refresh(), Refreshed::Changed);
        assert!(permits(&book, "clerk") && trouble(&book).is_none());
        assert_eq!(book.state().rules, 4);

        // Back to what was in force before there was any trouble.
        replace(&dir, "@says", "@sais");
        assert_eq!(book.refresh(), Refreshed::Kept);
        replace(&dir, "@sais", "@says");
        assert_eq!(book.refresh(), Refreshed::Changed);
        assert!(trouble(&book).is_none());

        // As an editor does before it writes, or a disk that is full.
        fs::write(dir.join("treatment.cedar"), "").expect("emptied");
        assert_eq!(book.refresh(), Refreshed::Kept);
        assert!(permits(&book, "midwife"));
    }

    #[test]
    fn a_folder_that_is_gone_takes_nobodys_permission_and_an_empty_one_takes_all() {
        let (folder, dir, book) = book();
        let away = folder.path().join("away");
        fs::rename(&dir, &away).expect("moved");
        assert_eq!(book.refresh(), Refreshed::Kept);
        assert!(permits(&book, "midwife"));
        fs::create_dir(&dir).expect("made");
        assert_eq!(book.refresh(), Refreshed::Changed);
        assert!(!permits(&book, "midwife"));
        assert!(PolicyBook::open(Some(folder.path().join("nowhere"))).is_err());
    }

    async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waiting).await.expect(what);
    }

    #[tokio::test]
    async fn a_change_of_the_folder_takes_effect_by_itself() {
        let (folder, dir, book) = book();
        let stop = CancellationToken::new();
        let watching = tokio::spawn(super::super::watch(book.clone(), stop.clone()));
        replace(&dir, "Role::\"midwife\"", "Role::\"midwife\", Role::\"clerk\"");
        until("a file is written over", || permits(&book, "clerk")).await;
        replace(&dir, "permit (", "permit ((");
        until("a file is damaged", || trouble(&book).is_some()).await;
        assert!(permits(&book, "clerk"));
        // As a whole: the folder that is watched becomes another one.
        let next = folder.path().join("next");
        defaults::write(&next).expect("written");
        fs::rename(&dir, folder.path().join("before")).expect("moved");
        fs::rename(&next, &dir).expect("moved");
        until("the folder is replaced", || !permits(&book, "clerk")).await;
        replace(&dir, "Role::\"midwife\", ", "");
        until("a file of the new folder is written over", || !permits(&book, "midwife")).await;
        assert!(trouble(&book).is_none() && permits(&book, "doctor"));
        stop.cancel();
        watching.await.expect("ends when it is told to");
    }
}
