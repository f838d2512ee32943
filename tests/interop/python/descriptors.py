"""Compares two FileDescriptorSets file by file: do two compilers read the same thing in our .proto files?

    descriptors.py OURS THEIRS

Comments and positions are left out (compilers differ there), and so are files of others that only one set has.
"""

import pathlib
import sys

from google.protobuf import descriptor_pb2


def files(path: str) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    found = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(path).read_bytes())
    for file in found.file:
        file.ClearField("source_code_info")
        for message in file.message_type:
            clear_json_names(message)
    return {file.name: file for file in found.file if file.name.startswith("sundbro/")}


def clear_json_names(message: descriptor_pb2.DescriptorProto) -> None:
    """The JSON name follows from the name; whether it is spelt out is the compiler's habit."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        clear_json_names(nested)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ours, theirs = files(sys.argv[1]), files(sys.argv[2])
    if not ours or ours.keys() != theirs.keys():
        sys.exit(f"the sets hold different files: {sorted(ours)} and {sorted(theirs)}")
    differing = [name for name in sorted(ours) if ours[name] != theirs[name]]
    if differing:
        sys.exit(f"the compilers disagree about {differing}")
    print(f"{len(ours)} files agree")


if __name__ == "__main__":
    main()
