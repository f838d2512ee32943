//! What a client was told is registered: the one witness of loss that does not live in a gateway.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::documents::Document;
use super::member::Member;

/// Retrievals at once: as many as the machine has something to do with.
const AT_ONCE: usize = 4;

/// What was told of one record.
#[derive(Debug)]
struct Told {
    document: Document,
    position: u64,
}

/// Acknowledged records of one owner: what `record list` at the owner's own gateway showed.
#[derive(Debug)]
pub struct Journal {
    owner: String,
    acknowledged: BTreeMap<String, Told>,
    written: BTreeMap<String, Document>,
}

impl Journal {
    /// Nothing was told yet.
    pub fn of(owner: &Member) -> Self {
        let (acknowledged, written) = (BTreeMap::new(), BTreeMap::new());
        Self { owner: owner.name.clone(), acknowledged, written }
    }

    /// Puts a new document into the owner's folder; it counts only when it is acknowledged.
    pub fn write(&mut self, owner: &Member) -> Document {
        let document = owner.write_document();
        self.written.insert(document.digest(), document.clone());
        document
    }

    /// Keeps what the owner lists now; says how much is acknowledged. A gateway that does not answer tells nothing.
    pub fn note(&mut self, owner: &Member) -> usize {
        for pointer in owner.try_list().into_iter().flatten() {
            if let Some(document) = self.written.get(pointer.digest()) {
                let told = Told { document: document.clone(), position: pointer.position };
                // What was told first stays: a lost record would come again under its name, further back.
                self.acknowledged.entry(pointer.name).or_insert(told);
            }
        }
        self.acknowledged.len()
    }

    /// How many records are acknowledged.
    pub fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Whether one document is acknowledged.
    pub fn has(&self, document: &Document) -> bool {
        self.acknowledged.values().any(|told| told.document == *document)
    }

    /// Names of all acknowledged records.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.acknowledged.keys()
    }

    /// How many documents lie in the owner's folder.
    pub fn written(&self) -> usize {
        self.written.len()
    }

    /// Every acknowledged record is located at `elsewhere`, once, and is given out there byte for byte.
    pub fn is_whole_at(&self, elsewhere: &Member) {
        assert_ne!(elsewhere.name, self.owner, "another member must be asked");
        let located = elsewhere.locate();
        for (name, Told { document, position }) in &self.acknowledged {
            let found: Vec<_> = located.pointers.iter().filter(|it| it.name == *name).collect();
            assert!(!found.is_empty(), "{} lost {name}, which was acknowledged", elsewhere.name);
            assert_eq!(found.len(), 1, "{} locates {name} more than once", elsewhere.name);
            assert_eq!(found[0].digest(), document.digest(), "{name} is another document");
            assert_eq!(found[0].position, *position, "{name} was lost and registered again");
            assert!(!found[0].withdrawn, "{name} is withdrawn");
        }
        // No doubles: one document in the folder, one pointer, under whatever name.
        let of_owner = located.pointers.iter().filter(|it| it.custodian == self.owner);
        let mut digests: Vec<&str> = of_owner.map(|it| it.digest()).collect();
        digests.sort_unstable();
        let expected: Vec<&str> = self.written.keys().map(String::as_str).collect();
        assert_eq!(
            digests, expected,
            "{} locates each document of {} once",
            elsewhere.name, self.owner
        );
        self.is_retrieved_at(elsewhere);
    }

    fn is_retrieved_at(&self, elsewhere: &Member) {
        let records: Vec<_> = self.acknowledged.iter().collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some((name, told)) = records.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let got = elsewhere.retrieve(name);
                        assert_eq!(got, told.document.content, "{name} came as other bytes");
                    }
                });
            }
        });
    }
}
