"""The charter: who is a member, with which keys, and how one version follows another (§7)."""

import ipaddress
import re

from . import crypto, logs, messages, tables, trees
from .messages import ascending, at_most, from_one, member_name, text
from .wire import Refused, decode, encode, require

TRANSACTION, CHECKPOINT, SERVICE = (
    tables.PURPOSE.names[name] for name in ("TRANSACTION", "CHECKPOINT", "SERVICE"))
SEALING = tables.PURPOSE.names["SEALING"]
ED25519, X25519 = (tables.ALGORITHM.names[name] for name in ("ED25519", "X25519"))
PRODUCTION = tables.ENVIRONMENT.names["PRODUCTION"]
ACTIVE = tables.STATE.names["ACTIVE"]


def without_gaps(name, numbers):
    require(numbers == list(range(1, len(numbers) + 1)), 7, f"{name}: not from 1 without gaps")


# Heads


def digest(head_bytes):
    return crypto.sha256(head_bytes)


def signing_id(version, federation_id):
    """The federation id under which a version is signed (§2)."""
    return crypto.NO_FEDERATION if version == 1 else federation_id


def read_head(data):
    head = decode(tables.HEAD, data)
    require(head["format"] == 1, 7, "format is not 1")
    from_one(7, head, "version")
    previous, first = head["previous"], head["version"] == 1
    require(first or previous, 7, "nothing before a version that is not the first")
    require(not (first and previous), 7, "something before version 1")
    at_most(7, "previous", previous, 256)
    ascending(7, "previous", previous)
    at_most(7, "branches", head["branches"], 256)
    ascending(7, "branches", [branch["log_id"] for branch in head["branches"]])

    stewards = head["stewards"]
    at_most(7, "stewards", stewards, 64)
    ascending(7, "stewards", [steward["ordinal"] for steward in stewards])
    for steward in stewards:
        from_one(7, steward, "ordinal")
        text(7, "a steward's name", steward["name"], 128)
        crypto.admit_ed25519(steward["public_key"])
    keys = {steward["public_key"] for steward in stewards}
    require(len(keys) == len(stewards), 7, "two stewards with one key")
    majority = len(stewards) < 2 * head["threshold"] <= 2 * len(stewards)
    require(majority, 7, "a threshold of no more than half, or of more than all")

    at_most(7, "authorities", head["authorities"], 64)
    ascending(7, "authorities", [a["certificate_sha256"] for a in head["authorities"]])
    for authority in head["authorities"]:
        certificate = authority["certificate"]
        require(1 <= len(certificate) <= 8_192, 7, "a certificate of 0 or above 8,192 bytes")
        named = crypto.sha256(certificate) == authority["certificate_sha256"]
        require(named, 7, "an authority with another digest")
        for name in authority["members"]:
            member_name("authorities", name)
        ascending(7, "an authority's members", [n.encode() for n in authority["members"]])

    if head["limits"] is not None:
        require(any(head["limits"].values()), 7, "limits that are there and empty")
    epochs = head["subject_epochs"]
    at_most(7, "subject_epochs", epochs, 1_024)
    without_gaps("subject_epochs", [epoch["epoch"] for epoch in epochs])
    require(all(epoch["scheme"] == 1 for epoch in epochs), 7, "a scheme that is not 1")
    return head


def keys_of(head):
    return {steward["ordinal"]: steward["public_key"] for steward in head["stewards"]}


def check_head_signatures(before, head_bytes, head, signatures, federation_id, forked=()):
    """Signed by those who must, and nobody else; before is the head that it follows, or None.

    forked are the heads that it heals, if it heals any.
    """
    old = keys_of(before) if before else {}
    new = keys_of(head)
    added = new.keys() - old.keys()
    signers = [signature["ordinal"] for signature in signatures]
    ascending(7, "signatures", signers)
    require(set(signers) <= old.keys() | added, 7, "a signature by somebody else")
    require(added <= set(signers), 7, "an added steward who did not sign")
    if forked:
        honest = old.keys() - signed_twice(forked)
        enough = 2 * len(honest & set(signers)) > len(honest)
        require(enough, 7, "healed by no more than half of those who did not sign two heads")
    else:
        threshold = before["threshold"] if before else 0
        enough = len(old.keys() & set(signers)) >= threshold
        require(enough, 7, "signed by fewer than the threshold")
    under = signing_id(head["version"], federation_id)
    for signature in signatures:
        key = old.get(signature["ordinal"]) or new[signature["ordinal"]]
        crypto.verify(key, signature["signature"], "charter", under, head_bytes)


def signed_twice(forked):
    """The ordinals that signed two or more of some heads."""
    signers = [ordinal for one in forked for ordinal in one["signers"]]
    return {ordinal for ordinal in signers if signers.count(ordinal) > 1}


def check_follows(before_bytes, before, head, used_ordinals):
    """What two heads show of one following the other; used are the ordinals of all before."""
    require(head["version"] == before["version"] + 1, 7, "another version than the next")
    require(head["previous"] == [digest(before_bytes)], 7, "previous is another digest")
    _check_goes_on(before, head, used_ordinals)


def check_heals(before, forked, head, used_ordinals):
    """What heads show of one healing others; before is the last one in force."""
    require(head["version"] == forked[0]["head"]["version"] + 1, 7, "another version than the next")
    require(len(head["previous"]) > 1, 7, "a version after one that stands twice heals nothing")
    known = set(head["previous"]) <= {one["digest"] for one in forked}
    require(known, 7, "previous is the digest of a head that is not here")
    _check_goes_on(before, head, used_ordinals)


def _check_goes_on(before, head, used_ordinals):
    old = keys_of(before)
    others = {ordinal for ordinal, key in keys_of(head).items() if old.get(ordinal) != key}
    require(not others & used_ordinals, 7, "a steward with an ordinal that another key had")
    kept = head["subject_epochs"][: len(before["subject_epochs"])]
    require(kept == before["subject_epochs"], 7, "a subject epoch that is changed or taken off")
    stays = before["environment"] != PRODUCTION or head["environment"] == PRODUCTION
    require(stays, 7, "a production charter that becomes another")
    branches = {branch["log_id"]: branch for branch in head["branches"]}
    for branch in before["branches"]:
        now = branches.get(branch["log_id"])
        goes_on = now == branch or (now is not None and now["size"] > branch["size"])
        require(goes_on, 7, "a branch that is taken back")


MOST_FORKED = 16  # heads of one version in a file (§9)


def read_heads(signed_heads, federation_id):
    """The heads of versions 1, 2, 3 … of one federation, each with its signatures.

    Of each version a list: of one that stood twice it has several, which the next version heals.
    """
    require(signed_heads, 9, "no heads")
    versions = []
    for at, signed in enumerate(signed_heads):
        head = read_head(signed["head"])
        again = len(versions) > 1 and head["version"] == len(versions)
        below = versions[:-1] if again else versions
        ordinals = [signature["ordinal"] for signature in signed["signatures"]]
        one = {"head": head, "digest": digest(signed["head"]), "signers": ordinals, "at": at}
        followed = [heads[0]["head"] for heads in below if len(heads) == 1]
        before = followed[-1] if followed else None
        forked = below[-1] if below and len(below[-1]) > 1 else []
        if before is None:
            require(head["version"] == 1, 7, "the first head is not version 1")
            require(one["digest"] == federation_id, 7, "version 1 of another federation")
        elif forked:
            check_heals(before, forked, head, _ordinals(followed))
        else:
            before_bytes = signed_heads[below[-1][0]["at"]]["head"]
            check_follows(before_bytes, before, head, _ordinals(followed))
        named = [other for other in forked if other["digest"] in head["previous"]]
        check_head_signatures(
            before, signed["head"], head, signed["signatures"], federation_id, named)
        if again:
            versions[-1].append(one)
            ascending(9, "heads of one version", [other["digest"] for other in versions[-1]])
            at_most(9, "heads of one version", versions[-1], MOST_FORKED)
        else:
            versions.append([one])
    for heads, above in zip(versions, versions[1:]):
        named = {digest for one in above for digest in one["head"]["previous"]}
        shown = {one["digest"] for one in heads}
        require(shown <= named, 9, "a head that the next version does not name")
    require(len(versions[-1]) == 1, 9, "the newest version stands twice")
    return versions


def _ordinals(heads):
    return {ordinal for head in heads for ordinal in keys_of(head)}


def check_heads(signed_heads, federation_id):
    """The head that is followed at each version, or None where it stood twice."""
    versions = read_heads(signed_heads, federation_id)
    return [heads[0]["head"] if len(heads) == 1 else None for heads in versions]


def judging(followed, version):
    """The version by which something is judged that names one: of a healed one what healed it."""
    return next(at for at, one in enumerate(followed, 1) if at >= version and one is not None)


# Member entries


def endpoint(value):
    require(value.isascii() and len(value) <= 259, 7, "an endpoint of more than 259 bytes")
    host, colon, port = value.rpartition(":")
    require(colon and host, 7, "an endpoint without a port")
    require(len(host) <= 253, 7, "a host of more than 253 bytes")
    number = re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= 65_535
    require(number, 7, "a port that is not 1 to 65535 without leading zeros")
    require(is_host(host), 7, "a host that is not in its one spelling")


def is_host(host):
    if host.startswith("[") and host.endswith("]"):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return False
        mapped = address.ipv4_mapped
        return host[1:-1] == (f"::ffff:{mapped}" if mapped else str(address))
    if host.split(".")[-1].isdigit():
        try:
            return str(ipaddress.IPv4Address(host)) == host
        except ValueError:
            return False
    return messages.is_dns_name(host)


def read_entry(data):
    entry = decode(tables.ENTRY, data)
    member_name("name", entry["name"])
    text(7, "display_name", entry["display_name"], 200)
    at_most(7, "identifiers", entry["identifiers"], 16)
    for identifier in entry["identifiers"]:
        messages.identifier(7, "identifiers", identifier)
    ascending(7, "identifiers", [
        (i["system"].encode(), i["value"].encode()) for i in entry["identifiers"]])
    at_most(7, "roles", entry["roles"], 16)
    ascending(7, "roles", entry["roles"])
    endpoint(entry["endpoint"])

    epochs = entry["log_epochs"]
    require(1 <= len(epochs) <= 64, 7, "log_epochs: none, or more than 64")
    without_gaps("log_epochs", [epoch["epoch"] for epoch in epochs])
    ended = all(epoch["end"] is not None for epoch in epochs[:-1])
    require(ended, 7, "a log epoch without an end before another")

    keys = entry["keys"]
    at_most(7, "keys", keys, 512)
    ascending(7, "keys", [key["key_id"] for key in keys])
    for key in keys:
        _check_key(key, len(epochs))
    publics = {key["public_key"] for key in keys}
    require(len(publics) == len(keys), 7, "one public key twice")
    return entry


def _check_key(key, epochs):
    from_one(7, key, "key_id")
    sealing = key["purpose"] == SEALING
    wanted = X25519 if sealing else ED25519
    require(key["algorithm"] == wanted, 7, "a key of another algorithm than its purpose has")
    (crypto.admit_x25519 if sealing else crypto.admit_ed25519)(key["public_key"])
    if key["purpose"] in (TRANSACTION, CHECKPOINT):
        named = 1 <= key["log_epoch"] <= epochs
        require(named, 7, "a key of an epoch that the entry has not")
    else:
        require(key["log_epoch"] == 0, 7, "a log epoch of a key that signs no log")
    require(key["to"] != 0, 7, "a range that ends at 0")


def covers(entry, key, number):
    """A position, a tree size or a charter version, as the purpose of the key says."""
    if key["purpose"] != CHECKPOINT:
        return key["from"] <= number and (key["to"] is None or number < key["to"])
    if number == 0:
        same = [k for k in entry["keys"]
                if k["purpose"] == CHECKPOINT and k["log_epoch"] == key["log_epoch"]]
        return key["key_id"] == same[0]["key_id"]
    end = entry["log_epochs"][key["log_epoch"] - 1]["end"]
    within = end is None or number <= end["size"]
    return within and key["from"] < number and (key["to"] is None or number <= key["to"])


def find_key(entry, key_id, purpose, number, log_epoch=0):
    """The key that an entry lists for this and that covers the number."""
    for key in entry["keys"]:
        if key["key_id"] == key_id:
            require(key["purpose"] == purpose, 7, "a key of another purpose")
            require(key["log_epoch"] == log_epoch, 7, "a key of another log epoch")
            require(covers(entry, key, number), 7, "a key that does not cover what it signed")
            return key
    raise Refused(7, "a key that the entry does not list")


def check_entry_follows(before, entry):
    """What a new version may not do to the entry of a member."""
    keys = {key["key_id"]: key for key in entry["keys"]}
    old = {key["key_id"]: key for key in before["keys"]}
    require(old.keys() <= keys.keys(), 7, "a key that is taken off")
    for key_id, key in keys.items():
        if key_id not in old:
            require(key_id > max(old, default=0), 7, "a new key with an id below an older one's")
            entered = key["to"] is None or key["to"] > key["from"]
            require(entered, 7, "a new key whose range is empty")
            continue
        require(key == {**old[key_id], "to": key["to"]}, 7, "a key that is changed")
        if old[key_id]["to"] is not None:
            lowered = key["to"] is not None and key["to"] <= old[key_id]["to"]
            require(lowered, 7, "the end of a key that is raised")
    kept = entry["log_epochs"][: len(before["log_epochs"])]
    require(len(kept) == len(before["log_epochs"]), 7, "a log epoch that is taken off")
    for epoch, old_epoch in zip(kept, before["log_epochs"]):
        same = old_epoch["end"] in (None, epoch["end"])
        require(same, 7, "the end of a log epoch that is changed")


# Whole charters


def members_root(entries):
    return trees.Tree(trees.leaf(entry) for entry in entries).root()


def check_members(head, entries):
    """The entries of a version are those that its head covers, in order of name."""
    members = [read_entry(entry) for entry in entries]
    ascending(7, "members", [member["name"].encode() for member in members])
    require(len(entries) == head["members_count"], 7, "members_count is another")
    require(members_root(entries) == head["members_root"], 7, "members_root is another")
    return {member["name"]: member for member in members}


def check_version(head, members, federation_id):
    """What holds for one version and its members, by itself."""
    for authority in head["authorities"]:
        listed = set(authority["members"]) <= members.keys()
        require(listed, 7, "an authority that certifies somebody who is no member")
    others = max(0, sum(member["state"] == ACTIVE for member in members.values()) - 1)
    quorums = head["recovery_quorum"], head["witness_quorum"]
    fit = all(1 <= quorum <= others for quorum in quorums) and sum(quorums) > others
    require(quorums == (0, 0) or fit, 7, "quorums that need not meet")
    ids = [logs.log_id(logs.origin(name, federation_id, epoch["epoch"]))
           for name, member in members.items() for epoch in member["log_epochs"]]
    require(len({one[:8] for one in ids}) == len(ids), 7, "two logs whose ids begin alike")
    branches = {branch["log_id"] for branch in head["branches"]}
    require(branches <= set(ids), 7, "a branch of a log that nobody has")


def check_charters(charters, federation_id):
    """Whole versions from the first, with their members; the one followed at each, or None."""
    followed, old_epochs, old = [], [], {}
    for heads in read_heads(charters, federation_id):
        for one in heads:
            members = check_members(one["head"], charters[one["at"]]["members"])
            check_version(one["head"], members, federation_id)
            _check_members_follow(old, members, old_epochs, one["head"])
        if len(heads) > 1:
            followed.append(None)
            continue
        old_epochs, old = heads[0]["head"]["subject_epochs"], members
        followed.append(charters[heads[0]["at"]])
    return followed


def _check_members_follow(old, members, old_epochs, head):
    require(old.keys() <= members.keys(), 7, "a member who is taken off")
    for name, member in members.items():
        blank = {"keys": [], "log_epochs": []}
        check_entry_follows(old.get(name, blank), member)
    leaves = any(members[name]["state"] not in (ACTIVE, member["state"])
                 for name, member in old.items())
    adds = len(head["subject_epochs"]) > len(old_epochs)
    require(adds or not leaves, 7, "a member who becomes SUSPENDED or LEFT, and no epoch added")


def listed_members(followed, wanted):
    """Entries, by version and name in that order, as a file for outsiders carries them."""
    listed = []
    for version, name in sorted(wanted):
        entries = followed[version - 1]["members"]
        index = [read_entry(entry)["name"] for entry in entries].index(name)
        tree = trees.Tree(trees.leaf(entry) for entry in entries)
        listed.append({"charter_version": version, "entry": entries[index], "index": index,
                       "inclusion_proof": tree.inclusion_proof(index)})
    return listed


def signed_heads(charters):
    return [{"head": one["head"], "signatures": one["signatures"]} for one in charters]


# Member cards


def signing_keys(entry):
    return {key["key_id"]: key["public_key"]
            for key in entry["keys"] if key["algorithm"] == ED25519}


def make_card(entry_bytes, signatures):
    return encode(tables.CARD, {"entry": entry_bytes, "signatures": [
        {"key_id": key_id, "signature": signature} for key_id, signature in signatures]})


def read_card(data, federation_id):
    """The entry of a card, signed by each of its Ed25519 keys."""
    card = decode(tables.CARD, data)
    entry = read_entry(card["entry"])
    keys = signing_keys(entry)
    signers = [signature["key_id"] for signature in card["signatures"]]
    require(signers == list(keys), 7, "a card that is not signed once by each key that signs")
    for signature in card["signatures"]:
        key = keys[signature["key_id"]]
        crypto.verify(key, signature["signature"], "member-card", federation_id, card["entry"])
    return card
