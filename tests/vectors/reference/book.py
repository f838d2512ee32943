"""What a file for outsiders proves about the charter: heads and member entries (§9 step 1, §10)."""

from . import charter, trees
from .messages import ascending
from .wire import require

MOST_HEADS, MOST_MEMBERS = 16_384, 16


class Book:
    """Heads that follow one another from the federation id, and entries that stand in them."""

    def __init__(self, heads, members, federation_id):
        require(heads, 9, "no heads")
        require(len(heads) <= MOST_HEADS, 9, "more than 16,384 heads")
        self.federation_id = federation_id or charter.digest(heads[0]["head"])
        self.heads = charter.check_heads(heads, self.federation_id)
        self.newest = len(self.heads)
        self.entries = {}  # by version and name
        require(len(members) <= MOST_MEMBERS, 9, "members: more than 16")
        for member in members:
            self._take(member)
        ascending(9, "members", list(self.entries))

    def _take(self, member):
        version = member["charter_version"]
        head = self.heads[version - 1] if 1 <= version <= self.newest else None
        require(head, 9, "an entry of a version without a head that is followed")
        entry = charter.read_entry(member["entry"])
        trees.check_inclusion(member["index"], head["members_count"],
                              trees.leaf(member["entry"]), member["inclusion_proof"],
                              head["members_root"])
        for before in self.entries_of(entry["name"])[-1:]:
            charter.check_entry_follows(before, entry)
        key = version, entry["name"]
        require(key not in self.entries, 9, "members: one stands twice")
        self.entries[key] = entry

    def judging(self, version):
        """The version by which something that names one is judged."""
        if not 1 <= version <= self.newest:
            return version
        return charter.judging(self.heads, version)

    def entry(self, version, name):
        """The entry by which something of the member's is judged that names a version."""
        key = self.judging(version), name
        require(key in self.entries, 9, "an entry that the file lacks")
        return self.entries[key]

    def entries_of(self, name):
        """In the order in which they stand in the file."""
        return [entry for (_, other), entry in self.entries.items() if other == name]

    def require_newest(self, name):
        shown = (self.newest, name) in self.entries
        require(shown, 9, f"the entry of {name} at the newest version is left out")
