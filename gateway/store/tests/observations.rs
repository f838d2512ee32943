//! Observations: what they vouch for, when there is one, and the rows that follow from them whatever comes late.

mod common;

use common::{
    HOUR, Keys, Member, TakesBack, append, draft_of_blob, fill, keys, register, replicate, says,
};
use sundbro_ledger::blob::Blob;
use sundbro_ledger::evidence::{Evidence, EvidenceEffect};
use sundbro_ledger::fold::{Heads, MemoryIndex};
use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_ledger::payload::{Observation, ObservedHead, Payload};
use sundbro_ledger::transaction::{Audience, SignedTransaction};
use sundbro_store::index::{IndexCounts, LogOwners};
use sundbro_store::verify::verify_with;
use sundbro_store::{
    BlobKind, LogState, NewBlob, Observing, OwnAppend, OwnDraft, Store, StoreError,
};

/// A member with its store.
struct House {
    member: Member,
    folder: tempfile::TempDir,
    store: Store,
}

/// The members `a.example`, `b.example`, … with empty stores, and everybody's keys.
fn houses(count: u8) -> (Vec<House>, Keys) {
    let house = |n: u8| {
        let member = Member::new(&format!("{}.example", char::from(b'a' + n)), n + 1);
        let folder = tempfile::tempdir().expect("folder");
        let store = member.open(folder.path());
        House { member, folder, store }
    };
    let houses: Vec<House> = (0..count).map(house).collect();
    let keys = keys(&houses.iter().map(|house| &house.member).collect::<Vec<_>>());
    (houses, keys)
}

impl House {
    fn log(&self) -> LogId {
        self.member.log()
    }

    fn size(&self) -> u64 {
        self.store.log_head(&self.log()).expect("head").size()
    }

    /// Takes what another house has of its own log, and the payloads.
    fn take_from(&self, other: &Self, keys: &Keys) {
        if other.size() == 0 {
            return;
        }
        replicate(&other.store, &self.store, &other.member, keys);
        self.store.put_blobs(&payloads(&other.store, &other.log())).expect("blobs");
    }

    fn observe_as(
        &self,
        owners: &dyn LogOwners,
        keys: &Keys,
        limit: &dyn Fn(&LogId) -> Option<u64>,
    ) -> Option<OwnAppend> {
        let mut salts = 0_u64..;
        let mut salt = || {
            let mut salt = [0x0b; 32];
            salt[..8].copy_from_slice(&salts.next().expect("endless").to_be_bytes());
            Ok(salt)
        };
        let mut observing = Observing { owners, limit, salt: &mut salt };
        let looked = self.store.observe(&mut observing, &self.member.signer(), HOUR, keys);
        looked.expect("observes").appended
    }

    fn observe(&self, keys: &Keys) -> Option<OwnAppend> {
        self.observe_as(keys, keys, &|_| None)
    }

    /// What its own observations say, of one log: those that count.
    fn vouched(&self, log: &LogId) -> Option<(u64, RootHash)> {
        let mut heads = Heads::new();
        for entry in self.store.entries(&self.log(), 0..1000).expect("entries") {
            let entry = SignedTransaction::parse(&entry).expect("entry");
            let blob = self.store.blob(&entry.header().payload_commitment).expect("read");
            let payload = Payload::read(entry.header(), blob.expect("here"));
            if let Ok(Payload::Observed(it)) = payload {
                heads.judge(entry.header(), &it, false);
            }
        }
        heads.get(log).map(|head| (head.size, head.root))
    }

    fn head(&self, log: &LogId) -> (u64, RootHash) {
        let head = self.store.log_head(log).expect("head");
        (head.size(), head.root())
    }
}

/// The payloads of a log, as far as they are here.
fn payloads(store: &Store, log: &LogId) -> Vec<NewBlob> {
    let blob = |entry: &bytes::Bytes| {
        let commitment =
            SignedTransaction::parse(entry).expect("entry").header().payload_commitment;
        let bytes = store.blob(&commitment).expect("read")?;
        Some(NewBlob { kind: BlobKind::Payload, commitment, bytes })
    };
    store.entries(log, 0..1000).expect("entries").iter().filter_map(blob).collect()
}

fn fold(store: &Store, keys: &Keys) {
    while !store.fold(keys, 7).expect("fold").finished {}
}

#[test]
fn an_observation_vouches_for_every_head_that_is_here() {
    let (houses, keys) = houses(3);
    let [a, b, c] = &houses[..] else { panic!("three") };
    assert!(a.observe(&keys).is_none(), "nothing to vouch for");
    fill(&b.store, &b.member, 1, 3);
    fill(&c.store, &c.member, 1, 1);
    a.take_from(b, &keys);
    a.take_from(c, &keys);
    let observed = a.observe(&keys).expect("two heads are new");
    assert_eq!((observed.head.size(), observed.outcomes.len()), (1, 1));
    assert_eq!(a.vouched(&b.log()), Some(b.head(&b.log())));
    assert_eq!(a.vouched(&c.log()), Some(c.head(&c.log())));
    assert!(a.observe(&keys).is_none(), "nothing is new");
    fill(&b.store, &b.member, 4, 1);
    a.take_from(b, &keys);
    a.observe(&keys).expect("one head is new");
    assert_eq!(a.vouched(&b.log()), Some(b.head(&b.log())));
    assert_eq!(a.size(), 2);
    // Our own entries are nobody else's heads.
    fill(&a.store, &a.member, 1, 1);
    assert!(a.observe(&keys).is_none());
}

// Each observation is an entry that others could observe: five gateways that answered them would never rest again.
#[test]
fn a_federation_in_which_nothing_happens_becomes_silent() {
    let (houses, keys) = houses(5);
    fill(&houses[0].store, &houses[0].member, 1, 2);
    let round = || {
        for to in &houses {
            for from in houses.iter().filter(|from| from.log() != to.log()) {
                to.take_from(from, &keys);
            }
        }
        houses.iter().filter(|house| house.observe(&keys).is_some()).count()
    };
    assert_eq!(round(), 4, "all but the author");
    assert_eq!([round(), round(), round()], [0, 0, 0]);
    fill(&houses[1].store, &houses[1].member, 1, 1);
    assert_eq!(round(), 4);
    assert_eq!(round(), 0);
    // What was written meanwhile is vouched for as soon as there is a reason.
    let [a, _, c, ..] = &houses[..] else { panic!("five") };
    assert_eq!(a.vouched(&c.log()).map(|(size, _)| size), Some(1), "its first, not its second");
    // A start later nobody remembers what was looked at, and comes to the same.
    for house in houses {
        let House { member, folder, store } = house;
        drop(store);
        let store = member.open(folder.path());
        assert!(House { member, folder, store }.observe(&keys).is_none());
    }
}

#[test]
fn a_payload_that_is_not_here_is_waited_for_once_and_then_may_be_anything() {
    let (houses, keys) = houses(3);
    let [a, b, c] = &houses[..] else { panic!("three") };
    fill(&c.store, &c.member, 1, 1);
    b.take_from(c, &keys);
    b.observe(&keys).expect("an observation alone");
    replicate(&b.store, &a.store, &b.member, &keys);
    assert!(a.observe(&keys).is_none(), "it may be on its way");
    a.observe(&keys).expect("it may never come");
    assert_eq!(a.vouched(&b.log()), Some(b.head(&b.log())));
}

#[test]
fn the_payload_of_an_observation_may_come_after_its_entry() {
    let (houses, keys) = houses(3);
    let [a, b, c] = &houses[..] else { panic!("three") };
    let look = |house: &House| {
        let owner = house.member.signer();
        let mut observing =
            Observing { owners: &keys, limit: &|_| None, salt: &mut || Ok([1; 32]) };
        house.store.observe(&mut observing, &owner, HOUR, &keys).expect("observes")
    };
    fill(&c.store, &c.member, 1, 1);
    b.take_from(c, &keys);
    b.observe(&keys).expect("an observation alone");
    replicate(&b.store, &a.store, &b.member, &keys);
    let waits = look(a);
    assert!(waits.appended.is_none() && waits.again);
    a.take_from(b, &keys);
    let read = look(a);
    assert!(read.appended.is_none() && !read.again, "nothing but an observation came");

    // Another entry of it without a payload is waited for like the first; what is read beside it is not.
    fill(&c.store, &c.member, 2, 1);
    b.take_from(c, &keys);
    b.observe(&keys).expect("another observation");
    replicate(&b.store, &a.store, &b.member, &keys);
    assert!(look(a).again);
    let unread = b.size();
    fill(&b.store, &b.member, 3, 1);
    replicate(&b.store, &a.store, &b.member, &keys);
    let late = payloads(&b.store, &b.log()).split_off(unread as usize);
    a.store.put_blobs(&late).expect("the last payload, and no other");
    let looked = look(a);
    assert!(looked.appended.is_some() && !looked.again);
}

#[test]
fn nothing_is_vouched_for_beyond_a_stop_a_charter_or_a_limit() {
    let (houses, keys) = houses(2);
    let [a, b] = &houses[..] else { panic!("two") };
    fill(&b.store, &b.member, 1, 2);
    let at_two = b.head(&b.log());
    fill(&b.store, &b.member, 3, 6);
    a.take_from(b, &keys);
    assert!(a.observe_as(&keys, &keys, &|_| Some(0)).is_none());
    a.observe_as(&keys, &keys, &|_| Some(2)).expect("two may be observed");
    assert_eq!(a.vouched(&b.log()), Some(at_two));
    a.observe_as(&keys, &keys, &|_| Some(5)).expect("five");
    assert_eq!(a.vouched(&b.log()).map(|(size, _)| size), Some(5));
    assert!(a.observe_as(&keys, &keys, &|_| Some(1)).is_none(), "a limit takes nothing back");

    a.observe_as(&TakesBack(&keys, 2), &keys, &|_| None).expect("a charter does");
    assert_eq!(a.vouched(&b.log()), Some(at_two));
    a.observe(&keys).expect("and may give it back");
    assert_eq!(a.vouched(&b.log()), Some(b.head(&b.log())));
    let reason = "BAD_SIGNATURE".to_owned();
    a.store.mark_log(&b.log(), &LogState::Stopped { position: 2, reason }).expect("marks");
    a.observe(&keys).expect("a stop");
    assert_eq!(a.vouched(&b.log()), Some(at_two));

    let nobodys = Strangers(&keys);
    fill(&b.store, &b.member, 20, 1);
    assert!(a.observe_as(&nobodys, &keys, &|_| None).is_none(), "no charter names the log");
}

/// A charter that names no log.
struct Strangers<'a>(&'a Keys);

impl LogOwners for Strangers<'_> {
    fn log_owner(&self, _: &LogId) -> Option<(MemberName, u32)> {
        None
    }

    fn first_refused(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<sundbro_ledger::history::Named, StoreError>,
    ) -> Result<Option<sundbro_ledger::log::Refusal>, StoreError> {
        LogOwners::first_refused(self.0, log, size, named_at)
    }

    fn effect(&self, evidence: &Evidence) -> EvidenceEffect {
        self.0.effect(evidence)
    }
}

#[test]
fn more_heads_than_fit_are_vouched_for_by_several() {
    const LOGS: u16 = 514;
    let member = |n: u16| Member::new(&format!("m{n}.example"), 1);
    let members: Vec<Member> = (0..=LOGS).map(member).collect();
    let keys = keys(&members.iter().collect::<Vec<_>>());
    let folder = tempfile::tempdir().expect("folder");
    let store = members[0].open(folder.path());
    for other in &members[1..] {
        other.one_entry_in(&store, &keys);
    }
    let [member, ..] = <[Member; LOGS as usize + 1]>::try_from(members).ok().expect("as many");
    let house = House { member, folder, store };
    assert!(house.observe(&keys).is_none(), "no payload is here");
    let observed = house.observe(&keys).expect("all are new");
    assert_eq!(observed.outcomes.len(), 2);
    fold(&house.store, &keys);
    let counts = house.store.index_counts(&house.log()).expect("counts");
    assert_eq!((counts.indexed_size, counts.void_payloads), (2, 0));
    assert!(house.observe(&keys).is_none());
}

/// An observation by the owner of a log, after those before it; `spoil` has its way with it.
fn observation(
    heads: &mut Heads,
    log: u8,
    size: u64,
    spoil: impl FnOnce(&mut Observation),
) -> OwnDraft {
    let root = RootHash::new([size as u8; 32]);
    let mut after = heads.clone();
    let mut said = after.observe(vec![ObservedHead { log: LogId::new([log; 32]), size, root }]);
    let sound = said.clone();
    spoil(&mut said);
    if said == sound {
        *heads = after;
    }
    let body = Payload::Observed(said).encode().expect("keeps every rule");
    let salt = [log ^ size as u8; 32];
    draft_of_blob(&Blob::frame(&salt, &body, Audience::Federation).expect("fits"))
}

/// Observations that count, one that does not follow, one of its own log, and records between.
fn story(writer: &Member) -> Vec<OwnDraft> {
    let mut heads = Heads::new();
    let own = *writer.log().as_bytes();
    vec![
        register(writer, 1, &says(1, 1)),
        observation(&mut heads, 7, 3, |_| ()),
        observation(&mut heads, 8, 1, |_| ()),
        observation(&mut heads, 9, 1, |it| it.heads_count = 9),
        register(writer, 2, &says(1, 3)),
        observation(&mut heads, 7, 4, |_| ()),
        observation(&mut heads, 9, 2, |it| it.changed[0].log = LogId::new(own)),
        observation(&mut heads, 7, 2, |_| ()),
        register(writer, 3, &says(2, 1)),
    ]
}

/// The shared root that the ledger's own index in memory comes to.
fn by_the_ledger(store: &Store, writer: &Member, drafts: &[OwnDraft]) -> RootHash {
    let mut index = MemoryIndex::new();
    for entry in store.entries(&writer.log(), 0..100).expect("entries") {
        let entry = SignedTransaction::parse(&entry).expect("entry");
        match store.blob(&entry.header().payload_commitment).expect("read") {
            Some(blob) => index.add(&writer.name, entry.header(), entry.leaf(), blob),
            None => index.add_without_payload(&writer.name, entry.header(), entry.leaf()),
        }
    }
    for (commitment, _) in drafts.iter().filter_map(|draft| draft.detail.as_ref()) {
        if let Some(blob) = store.blob(commitment).expect("read") {
            index.add_detail(*commitment, blob);
        }
    }
    index.root(Audience::Federation)
}

#[test]
fn observations_that_come_late_in_any_order_leave_the_same_rows() {
    let (houses, keys) = houses(1);
    let ours = &houses[0];
    let writer = &ours.member;
    let drafts = story(writer);
    append(&ours.store, writer, drafts.clone());
    fold(&ours.store, &keys);
    let expected = ours.store.index_roots().expect("roots");
    assert_eq!(expected.index_root, by_the_ledger(&ours.store, writer, &drafts));
    let counts = ours.store.index_counts(&writer.log()).expect("counts");
    assert_eq!((counts.void_payloads, counts.pending_payloads), (3, 0));
    for seed in 0..24_usize {
        let folder = tempfile::tempdir().expect("folder");
        let reader = Member::new("reader.example", 99);
        let store = reader.open(folder.path());
        replicate(&ours.store, &store, writer, &keys);
        let mut left = common::blobs(&drafts);
        let mut step = seed;
        while !left.is_empty() {
            if step.is_multiple_of(3) {
                fold(&store, &keys);
                let root = store.index_roots().expect("roots").index_root;
                assert_eq!(root, by_the_ledger(&store, writer, &drafts), "seed {seed}");
            }
            step = (step * 31 + 7) % 1009;
            store.put_blobs(&[left.swap_remove(step % left.len())]).expect("put");
        }
        fold(&store, &keys);
        assert_eq!(store.index_roots().expect("roots"), expected, "seed {seed}");
        let counts = store.index_counts(&writer.log()).expect("counts");
        let settled = IndexCounts { indexed_size: 9, void_payloads: 3, ..IndexCounts::default() };
        assert_eq!(counts, settled, "seed {seed}");
        assert_eq!(store.rebuild_index(&keys).expect("rebuild"), expected);
        drop(store);
        let report = verify_with(folder.path(), &keys, None).expect("verifies");
        assert_eq!(report.damages, [], "seed {seed}");
    }
}

// What a store has of its own log may come another way than by signing: fetched back, or from a copy of the ledger.
#[test]
fn an_observation_follows_what_the_log_holds_and_not_what_is_remembered() {
    let (houses, keys) = houses(2);
    let [a, b] = &houses[..] else { panic!("two") };
    fill(&b.store, &b.member, 1, 1);
    a.take_from(b, &keys);
    // Heads that no append of observations wrote down: without them the next sum is wrong.
    let mut heads = Heads::new();
    append(&a.store, &a.member, vec![observation(&mut heads, 200, 3, |_| ())]);
    a.observe(&keys).expect("observes");
    fill(&a.store, &a.member, 1, 1);
    append(&a.store, &a.member, {
        let (size, root) = b.head(&b.log());
        heads.put(&ObservedHead { log: b.log(), size, root });
        vec![observation(&mut heads, 201, 4, |_| ())]
    });
    fill(&b.store, &b.member, 2, 1);
    a.take_from(b, &keys);
    a.observe(&keys).expect("observes");
    fold(&a.store, &keys);
    let counts = a.store.index_counts(&a.log()).expect("counts");
    assert_eq!((counts.indexed_size, counts.void_payloads), (5, 0));
    assert_eq!(a.vouched(&b.log()), Some(b.head(&b.log())));
}
