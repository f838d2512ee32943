"""Has exported logs judged by other people's checkers, whole and after one flipped byte.

    check_exports.py DIR [--tlogcheck PROGRAM] [--fsck PROGRAM]

DIR holds one folder per log: `checkpoint`, `tile/…`, and `vkey` with the log's verifier key. Each log must be
accepted; each copy of it with one byte flipped, in each kind of file, must be refused. Prints a line
`passed 1` or `failed NAME: why` for each test, and ends with 1 if one failed.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

# A checker that has not answered by then hangs, which is not a refusal.
SECONDS = 120


def tlogcheck(program: str, log: pathlib.Path, vkey: pathlib.Path) -> tuple[bool, str]:
    done = subprocess.run([program, log, vkey], capture_output=True, text=True, timeout=SECONDS)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"tlogcheck broke: {done.stderr}")
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def fsck(program: str, log: pathlib.Path, vkey: pathlib.Path) -> tuple[bool, str]:
    """Three traps: it ends with 0 also when a check fails, so only the line counts; with one worker a damaged tile
    hangs it for ever; without --ui=false it wants a terminal."""
    done = subprocess.run(
        [program, "--ui=false", "-N", "64", f"--storage_url=file://{log.resolve()}", f"--public_key={vkey}"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    said = done.stdout + done.stderr
    return "Successfully fsck'd" in said, said.strip()


def kind_of(path: str) -> str:
    """`checkpoint`, or entries or hashes of a level, full or partial."""
    parts = path.split("/")
    if parts[0] != "tile":
        return parts[0]
    return f"{parts[1]} {'partial' if '.p/' in path else 'full'}"


def victims(log: pathlib.Path) -> list[tuple[str, int]]:
    """One file of each kind, and the byte to flip in it: its middle, and for the checkpoint each of its parts."""
    size = int((log / "checkpoint").read_text().split("\n")[1])
    chosen: dict[str, str] = {}
    for path in sorted(file.relative_to(log).as_posix() for file in log.glob("tile/**/*") if file.is_file()):
        # A partial tile of an older size may still lie there; nobody needs to look at it.
        if ".p/" not in path or is_newest(path, size):
            chosen.setdefault(kind_of(path), path)
    flips = [(path, (log / path).stat().st_size // 2) for path in chosen.values()]
    note = (log / "checkpoint").read_bytes()
    text_end = note.index(b"\n\n")
    origin_end = note.index(b"\n")
    signature = note.rindex(b" ") + 1
    # The origin, the size, the root, and the signature beyond its key id.
    for offset in (origin_end // 2, origin_end + 1, text_end - 20, signature + 40):
        flips.append(("checkpoint", offset))
    return flips


def is_newest(path: str, size: int) -> bool:
    level = path.split("/")[1]
    above = 0 if level == "entries" else int(level)
    return int(path.rsplit("/", 1)[1]) == (size >> (8 * above)) % 256


class Tally:
    def __init__(self) -> None:
        self.failures = 0

    def judge(self, name: str, checker, program: str, log: pathlib.Path, vkey: pathlib.Path, good: bool) -> None:
        try:
            accepted, said = checker(program, log, vkey)
        except subprocess.TimeoutExpired:
            accepted, said = not good, f"no answer within {SECONDS} s"
        print(f"{name}: {said.splitlines()[-1] if said else 'said nothing'}")
        if accepted == good:
            print("passed 1")
        else:
            self.failures += 1
            print(f"failed {name}: {'refused a good log' if good else 'accepted it'}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--tlogcheck")
    arguments.add_argument("--fsck")
    given = arguments.parse_args()
    checkers = [
        (name, checker, program)
        for name, checker, program in (("tlogcheck", tlogcheck, given.tlogcheck), ("fsck", fsck, given.fsck))
        if program
    ]
    logs = sorted(path.parent for path in given.folder.glob("*/checkpoint"))
    if not logs or not checkers:
        sys.exit(f"no log below {given.folder}" if not logs else "no checker was given")
    tally = Tally()
    for log in logs:
        vkey = (log / "vkey").resolve()
        for name, checker, program in checkers:
            tally.judge(f"{log.name}, {name}", checker, program, log, vkey, good=True)
        for path, offset in victims(log):
            with tempfile.TemporaryDirectory() as scratch:
                copy = pathlib.Path(scratch, "log")
                shutil.copytree(log, copy)
                content = bytearray((copy / path).read_bytes())
                content[offset] ^= 1
                (copy / path).write_bytes(content)
                for name, checker, program in checkers:
                    what = f"{log.name}, {name}, byte {offset} of {path} flipped"
                    tally.judge(what, checker, program, copy, vkey, good=False)
    sys.exit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
