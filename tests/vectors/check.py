"""Recomputes the golden vectors by the rules of docs/protocol.md, and reads them as others would.

Each value follows from its input; a reader takes it, and refuses it with any of many bits flipped, a hash or signature
less or one more. What stands under `accepted` is taken, what stands under `refused` is refused.
"""

import argparse
import json
import pathlib
import sys

from reference import charter_vectors, evidence_vectors, log_vectors
from reference.wire import Refused

FILES = log_vectors.FILES | charter_vectors.FILES | evidence_vectors.FILES
FLIPS = 128  # bits of each value that are flipped in turn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=here,
                        help="the folder of the json files (default: that of this script)")
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="say by which rule each refused item is refused")
    parser.add_argument("--flips", type=int, default=FLIPS, metavar="N",
                        help="flip N bits of each value (default: %(default)s)")
    options = parser.parse_args()
    found = {path.name for path in options.folder.glob("*.json")}
    failed = 0
    for name in [*FILES, *sorted(found - FILES.keys())]:
        result = check_path(options.folder / name, options.flips)
        failed += bool(result.faults)
        print(result.line(name))
        for line in result.details() if options.verbose else []:
            print("     " + line)
    print(f"{len(FILES.keys() | found) - failed} passed, {failed} failed")
    return 1 if failed else 0


class Result:
    def __init__(self):
        self.values = self.flips = 0
        self.faults, self.refusals, self.accepted = [], [], 0

    def line(self, name):
        if not self.faults:
            accepted = f", {self.accepted} accepted" if self.accepted else ""
            return f"ok   {name}: {self.values} values, {len(self.refusals)} refused{accepted}"
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        return f"FAIL {name}: {self.faults[0]}{more}"

    def details(self):
        yield from self.faults[1:]
        yield from (f"refused: {name}: {rule}" for name, rule in self.refusals)
        yield f"refused: each of {self.flips} changes of a value"


def check_path(path, flips):
    """Whatever is wrong with a file is a fault of that file only."""
    result = Result()
    try:
        if path.name not in FILES:
            raise ValueError("no file of the table is named so")
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
        check_document(FILES[path.name], document, flips, result)
    except FileNotFoundError:
        result.faults.append("is absent")
    except Exception as error:  # a reader that crashes has refused nothing
        result.faults.append(f"{type(error).__name__}: {error}")
    return result


def once(pairs):
    """A JSON object, in which no name stands twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return dict(pairs)


def check_document(file, document, flips, result):
    lists = ["cases"] + ["refused"] * (file.judge is not None) + ["accepted"] * file.accepts
    keys(document, {"about", "section", *lists})
    if not all(document[name] for name in lists):
        raise ValueError("a list that is empty")
    state = {}
    for case in document["cases"]:
        keys(case, {"name", "input", "expected"})
        keys(case["input"], file.inputs)
        try:
            check_case(file, case["input"], case["expected"], state, flips, result)
        except Fault as fault:
            result.faults.append(f"{case['name']}: {fault}")
    for item in document.get("refused", []):
        keys(item, {"name", "bytes"} | file.told)
        try:
            file.judge(item)
        except Refused as refused:
            result.refusals.append((item["name"], refused))
        else:
            result.faults.append(f"{item['name']}: is not refused")
    for item in document.get("accepted", []):
        keys(item, {"name", "bytes"} | file.told)
        try:
            file.judge(item)
            result.accepted += 1
        except Refused as refused:
            result.faults.append(f"{item['name']}: {refused}")


class Fault(Exception):
    pass


def keys(found, wanted):
    if found.keys() != wanted:
        odd = ", ".join(sorted(found.keys() ^ wanted))
        raise ValueError(f"names that are missing or not known: {odd}")


def check_case(file, given, expected, state, flips, result):
    try:
        made = {name: as_json(value) for name, value in file.make(given, state).items()}
    except Refused as refused:
        raise Fault(f"the input is refused: {refused}") from None
    for name in sorted(made.keys() | expected.keys()):
        if name not in made:
            raise Fault(f"{name}: not known how to make it")
        if name not in expected:
            raise Fault(f"{name}: not expected")
        if made[name] != expected[name]:
            raise Fault(f"{name}: is {short(expected[name])}, and comes out as {short(made[name])}")
        result.values += 1
    if file.read is None:
        return
    values = {name: as_bytes(value, name in file.text) for name, value in expected.items()}
    try:
        file.read(given, values, state)
    except Refused as refused:
        raise Fault(f"refused: {refused}") from None
    for name, place, spoiled in spoil(values, flips):
        try:
            file.read(given, {**values, name: spoiled}, state)
        except Refused:
            result.flips += 1
        else:
            raise Fault(f"{name}: not refused with {place}")


def as_json(value):
    if isinstance(value, list):
        return [as_json(element) for element in value]
    return value.hex() if isinstance(value, bytes) else value


def as_bytes(value, text):
    if isinstance(value, list):
        return [as_bytes(element, text) for element in value]
    return value.encode() if text else bytes.fromhex(value)


def short(value):
    written = json.dumps(value)
    return written if len(written) <= 80 else written[:70] + "…"


def spoil(values, count):
    """Each value, spoiled by one bit, with bits from its whole length; lists by one element."""
    for name, value in values.items():
        if isinstance(value, list):
            yield name, "one more", [*value, bytes(32)]
            if value:
                yield name, "one less", value[:-1]
        for index, element in enumerate(value if isinstance(value, list) else [value]):
            bits = 8 * len(element)
            for bit in sorted({(i * bits // count + i) % bits for i in range(min(count, bits))}):
                flipped = bytearray(element)
                flipped[bit // 8] ^= 1 << bit % 8
                spoiled = bytes(flipped)
                if isinstance(value, list):
                    spoiled = [*value[:index], spoiled, *value[index + 1 :]]
                yield name, f"bit {bit} of {index} flipped", spoiled


if __name__ == "__main__":
    sys.exit(main())
