//! The resources of one FHIR file, and what the references of the one that it is about lead to.

use core::hash::Hash;
use std::collections::HashMap;

use super::json::Node;
use super::metadata::Metadata;
use crate::item::Identifier;

/// The resources of a file, of which one is the document or describes it.
///
/// References are looked up in maps: a search through the entries for each reference would cost a hostile Bundle's
/// square.
pub(crate) struct Resources<'n> {
    /// The whole file.
    pub(crate) root: &'n Node,
    /// Of a Bundle.
    pub(crate) entries: &'n [Node],
    /// The resource whose references are resolved.
    pub(crate) focus: &'n Node,
    /// Its address, if it has one.
    focus_url: Option<&'n str>,
    by_full_url: Only<'n, &'n str>,
    by_type_and_id: Only<'n, (&'n str, &'n str)>,
    contained: Only<'n, &'n str>,
}

/// The one resource of each name; `None` if there are more, because choosing would be guessing.
type Only<'n, K> = HashMap<K, Option<&'n Node>>;

/// Collects what has a name.
fn only<'n, K: Eq + Hash>(named: impl Iterator<Item = Option<(K, &'n Node)>>) -> Only<'n, K> {
    let mut only = HashMap::new();
    for (name, resource) in named.flatten() {
        only.entry(name).and_modify(|other| *other = None).or_insert(Some(resource));
    }
    only
}

impl<'n> Resources<'n> {
    /// The resources of a Bundle, one of whose entries is what it is about.
    pub(crate) fn of_bundle(root: &'n Node, focus: &'n Node) -> Self {
        let entries = root.get("entry").list();
        let full_url =
            |entry: &'n Node| Some((entry.get("fullUrl").text()?, entry.get("resource")));
        let type_and_id = |entry: &'n Node| {
            let (id, resource) = id(entry.get("resource"))?;
            Some(((resource.get("resourceType").text()?, id), resource))
        };
        Self {
            root,
            entries,
            focus: focus.get("resource"),
            focus_url: focus.get("fullUrl").text(),
            by_full_url: only(entries.iter().map(full_url)),
            by_type_and_id: only(entries.iter().map(type_and_id)),
            contained: only(focus.get("resource").get("contained").list().iter().map(id)),
        }
    }

    /// A resource by itself, with those inside it.
    pub(crate) fn of_one(root: &'n Node) -> Self {
        Self {
            root,
            entries: &[],
            focus: root,
            focus_url: None,
            by_full_url: HashMap::new(),
            by_type_and_id: HashMap::new(),
            contained: only(root.get("contained").list().iter().map(id)),
        }
    }

    /// What a reference leads to (FHIR R4 "Resolving references in Bundles"); `None` if that is not exactly one
    /// resource.
    pub(crate) fn resolve(&self, reference: &str) -> Option<&'n Node> {
        let reference = reference.split("/_history/").next().unwrap_or(reference);
        if let Some(id) = reference.strip_prefix('#') {
            return self.contained.get(id).copied().flatten();
        }
        if reference.contains(':') {
            return self.by_full_url.get(reference).copied().flatten();
        }
        let base = self.focus_url.and_then(|url| url.rsplitn(3, '/').nth(2));
        let absolute = base.map(|base| format!("{base}/{reference}"));
        let found = absolute.and_then(|url| self.by_full_url.get(url.as_str()).copied().flatten());
        // Bundles whose fullUrls do not fit their references are common; type and id must then be unambiguous.
        found.or_else(|| self.by_type_and_id.get(&reference.rsplit_once('/')?).copied().flatten())
    }

    /// The organisation behind a reference: itself, or the one that a PractitionerRole acts for. Never a person.
    pub(crate) fn organisation(
        &self,
        reference: &Node,
        metadata: &mut Metadata,
    ) -> Option<Identifier> {
        let target = reference.get("reference").text().and_then(|url| self.resolve(url));
        match target {
            Some(role) if is_a(role, "PractitionerRole") => {
                let organisation = role.get("organization");
                let target = organisation.get("reference").text().and_then(|url| self.resolve(url));
                target
                    .filter(|target| is_a(target, "Organization"))
                    .and_then(|target| first_identifier(target, metadata))
                    .or_else(|| first_identifier(organisation, metadata))
            }
            Some(organisation) if is_a(organisation, "Organization") => {
                first_identifier(organisation, metadata)
            }
            Some(_) => None,
            None => {
                let kind = reference.get("type").text();
                let named = kind == Some("Organization")
                    || reference
                        .get("reference")
                        .text()
                        .is_some_and(|url| url.rsplit('/').nth(1) == Some("Organization"));
                named.then(|| first_identifier(reference, metadata)).flatten()
            }
        }
    }
}

/// Whether it is a resource of that type.
pub(crate) fn is_a(resource: &Node, kind: &str) -> bool {
    resource.get("resourceType").text() == Some(kind)
}

fn id(resource: &Node) -> Option<(&str, &Node)> {
    Some((resource.get("id").text()?, resource))
}

fn first_identifier(holder: &Node, metadata: &mut Metadata) -> Option<Identifier> {
    holder.get("identifier").list().iter().find_map(|identifier| {
        let (system, value) = (identifier.get("system").text()?, identifier.get("value").text()?);
        metadata.organisation(system, value)
    })
}
