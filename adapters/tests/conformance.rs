//! The documents adapter keeps the laws of every adapter, for each of the three formats.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use std::ops::ControlFlow;

use futures_util::future::BoxFuture;
use sundbro_adapters::conformance::{Bench, check};
use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
use sundbro_adapters::{
    Adapter, Change, Content, DocumentIdDigest, Emit, Fingerprint, Health, KnownItems, MemoryItems,
    OpenError, Profile, ScanError, ScanReport, SourceKey,
};

/// A folder whose items are all of one format.
struct Folder {
    directory: tempfile::TempDir,
    write: fn(item: u32, version: u32) -> Vec<(String, String)>,
    fault: Option<Fault>,
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Bench for Folder {
    fn adapter(&self) -> Arc<dyn Adapter> {
        let systems = IdentifierSystems::All;
        let folder = self.directory.path();
        let mut settings = DocumentsSettings::new("bench", folder, systems, Profile::Dk);
        settings.settle = Duration::ZERO;
        let adapter = DocumentsAdapter::new(settings);
        match self.fault {
            Some(fault) => Arc::new(Faulty { adapter, fault }),
            None => Arc::new(adapter),
        }
    }

    fn put(&mut self, item: u32, version: u32) {
        for (name, content) in (self.write)(item, version) {
            std::fs::write(self.path(&name), content).unwrap();
        }
    }

    fn put_bad(&mut self, item: u32) {
        std::fs::write(self.path(&format!("{item}.bad")), "<x").unwrap();
    }

    fn remove(&mut self, item: u32) {
        let names = (self.write)(item, 1).into_iter().map(|(name, _)| name);
        for name in names.chain([format!("{item}.bad")]) {
            if self.path(&name).exists() {
                std::fs::remove_file(self.path(&name)).unwrap();
            }
        }
    }
}

async fn keeps_the_laws(write: fn(u32, u32) -> Vec<(String, String)>) {
    let mut folder = Folder { directory: tempfile::tempdir().unwrap(), write, fault: None };
    check(&mut folder).await.unwrap();
}

#[tokio::test]
async fn cda_keeps_the_laws() {
    keeps_the_laws(|item, version| {
        // Larger than one frame.
        let body = "x".repeat(300_000 + version as usize);
        let text = format!(
            "<ClinicalDocument xmlns='urn:hl7-org:v3'><id root='1.2' extension='{item}'/>\
             <recordTarget><patientRole><id root='1.2.208.176.1.6.1.1' extension='1503901AB2'/>\
             </patientRole></recordTarget><component>{body}</component></ClinicalDocument>"
        );
        vec![(format!("{item}.xml"), text)]
    })
    .await;
}

#[tokio::test]
async fn fhir_keeps_the_laws() {
    keeps_the_laws(|item, version| {
        let text = format!(
            r#"{{"resourceType":"Bundle","type":"document","identifier":{{"value":"{item}"}},
            "entry":[{{"resource":{{"resourceType":"Composition","status":"final","title":"{}",
            "subject":{{"identifier":{{"system":"http://mrn.example","value":"7"}}}}}}}}]}}"#,
            "x".repeat(version as usize)
        );
        vec![(format!("{item}.json"), text)]
    })
    .await;
}

#[tokio::test]
async fn document_references_keep_the_laws() {
    keeps_the_laws(|item, version| {
        // Larger than one frame, and other than the file.
        let data = "QUJD".repeat(100_000 + version as usize);
        let text = format!(
            r#"{{"resourceType":"DocumentReference","status":"current","identifier":[{{"value":"{item}"}}],
            "subject":{{"identifier":{{"system":"http://mrn.example","value":"7"}}}},
            "content":[{{"attachment":{{"contentType":"text/plain","data":"{data}"}}}}]}}"#
        );
        vec![(format!("{item}.json"), text)]
    })
    .await;
}

#[tokio::test]
async fn sidecars_keep_the_laws() {
    keeps_the_laws(|item, version| {
        let sidecar = r#"{"subjects":[{"system":"http://mrn.example","value":"7"}],
            "media_type":"image/jpeg","confidentiality":"N","lifecycle":"preliminary"}"#;
        vec![
            (format!("{item}.jpg"), "x".repeat(version as usize)),
            (format!("{item}.jpg.meta.json"), sidecar.into()),
        ]
    })
    .await;
}

/// How an adapter can be wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Never says that something is gone.
    ForgetsTheGone,
    /// Says everything again in each scan.
    RepeatsItself,
    /// Ends at the first bad item.
    StopsAtTheBad,
    /// Opens whatever stands under a key.
    OpensAnything,
    /// Scans on when the gateway stops.
    HearsNoStop,
}

/// What is known, without the stop.
struct Deaf<'k>(&'k dyn KnownItems);

impl KnownItems for Deaf<'_> {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.0.fingerprint(source_key)
    }

    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.0.registered(source_key)
    }

    fn is_withheld(&self, folder: &SourceKey) -> bool {
        self.0.is_withheld(folder)
    }

    fn was_emptied(&self) -> bool {
        self.0.was_emptied()
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        self.0.holder_of(document_id)
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>)) {
        self.0.for_each(visit);
    }
}

/// A good adapter with one fault.
struct Faulty {
    adapter: DocumentsAdapter,
    fault: Fault,
}

impl Adapter for Faulty {
    fn name(&self) -> &str {
        self.adapter.name()
    }

    fn settings_digest(&self) -> [u8; 32] {
        self.adapter.settings_digest()
    }

    fn scan(&self, known: &dyn KnownItems, emit: Emit<'_>) -> Result<ScanReport, ScanError> {
        let (nothing, deaf) = (MemoryItems::new(), Deaf(known));
        let known: &dyn KnownItems = match self.fault {
            Fault::RepeatsItself => &nothing,
            Fault::HearsNoStop => &deaf,
            _ => known,
        };
        self.adapter.scan(known, &mut |change| match (&change, self.fault) {
            (Change::Gone { .. }, Fault::ForgetsTheGone) => ControlFlow::Continue(()),
            (Change::Quarantined(_), Fault::StopsAtTheBad) => ControlFlow::Break(()),
            _ => emit(change),
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.adapter.changed()
    }

    fn open<'a>(
        &'a self,
        source_key: &'a SourceKey,
        expected: &'a Fingerprint,
    ) -> BoxFuture<'a, Result<Content, OpenError>> {
        Box::pin(async move {
            match (self.fault, self.adapter.open(source_key, expected).await) {
                (Fault::OpensAnything, Err(OpenError::Changed { current })) => {
                    self.adapter.open(source_key, &current).await
                }
                (_, result) => result,
            }
        })
    }

    fn health(&self) -> Health {
        self.adapter.health()
    }
}

#[tokio::test]
async fn the_kit_finds_each_fault() {
    for (fault, law) in [
        (Fault::ForgetsTheGone, "what is removed is gone, good or bad, and nothing else"),
        (Fault::RepeatsItself, "a new adapter says nothing of what is known"),
        (Fault::StopsAtTheBad, "what stands beside a bad item is found"),
        (Fault::OpensAnything, "only the changed item is refused"),
        (
            Fault::HearsNoStop,
            "a scan whose gateway stops ends before the next item, and calls nothing gone",
        ),
    ] {
        let write = |item: u32, version: u32| {
            let sidecar = r#"{"subjects":[{"system":"http://mrn.example","value":"7"}],
                "media_type":"image/jpeg","confidentiality":"N","lifecycle":"final"}"#;
            let content = "x".repeat(version as usize);
            vec![
                (format!("{item}.jpg"), content),
                (format!("{item}.jpg.meta.json"), sidecar.into()),
            ]
        };
        let directory = tempfile::tempdir().unwrap();
        let mut folder = Folder { directory, write, fault: Some(fault) };
        assert_eq!(check(&mut folder).await.unwrap_err().law, law, "{fault:?}");
    }
}
