"""Calls a running gateway as a stranger would: with server reflection, and no .proto file at hand.

    reflection.py HOST:PORT --ca ca.pem [--cert client.pem --key client.key] [--expect SERVICE]…
                  [--call SERVICE/METHOD [JSON]]

Asks by reflection v1 and by v1alpha (Python's own client still speaks only the latter) which services there are,
fetches every descriptor, and makes one unary call with messages built from them. Ends with 1 and the reason
if anything is missing.
"""

import argparse
import pathlib
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2

# The two versions of the service differ in their name only; their messages are the same bytes.
VERSIONS = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]
DEADLINE_SECONDS = 20


def ask(channel: grpc.Channel, version: str, requests: list[reflection_pb2.ServerReflectionRequest]) -> list:
    stream = channel.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = list(stream(iter(requests), timeout=DEADLINE_SECONDS))
    for answer in answers:
        if answer.HasField("error_response"):
            sys.exit(f"{version}: {answer.error_response.error_message}")
    return answers


def services(channel: grpc.Channel, version: str) -> list[str]:
    (answer,) = ask(channel, version, [reflection_pb2.ServerReflectionRequest(list_services="")])
    return sorted(service.name for service in answer.list_services_response.service)


def describe(channel: grpc.Channel, version: str, names: list[str]) -> descriptor_pool.DescriptorPool:
    """Fetches the files of these services with everything that they import, and builds one pool from them."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def keep(answer: reflection_pb2.ServerReflectionResponse) -> None:
        for serialized in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
            files[file.name] = file

    for name in names:
        keep(ask(channel, version, [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)])[0])
    while lacking := {needed for file in files.values() for needed in file.dependency} - files.keys():
        for name in lacking:
            keep(ask(channel, version, [reflection_pb2.ServerReflectionRequest(file_by_filename=name)])[0])
            if name not in files:
                sys.exit(f"{version}: {name} is imported, but reflection does not give it")

    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file: descriptor_pb2.FileDescriptorProto) -> None:
        if file.name not in added:
            added.add(file.name)
            for needed in file.dependency:
                add(files[needed])
            pool.Add(file)

    for file in files.values():
        add(file)
    return pool


def call(channel: grpc.Channel, pool: descriptor_pool.DescriptorPool, path: str, body: str) -> str:
    service, _, method = path.partition("/")
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request = json_format.Parse(body, message_factory.GetMessageClass(described.input_type)(), descriptor_pool=pool)
    invoke = channel.unary_unary(
        f"/{path}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
    )
    return json_format.MessageToJson(invoke(request, timeout=DEADLINE_SECONDS), descriptor_pool=pool)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("address")
    arguments.add_argument("--ca", required=True, type=pathlib.Path)
    arguments.add_argument("--cert", type=pathlib.Path)
    arguments.add_argument("--key", type=pathlib.Path)
    arguments.add_argument("--expect", action="append", default=[], metavar="SERVICE")
    arguments.add_argument("--call", nargs="+", metavar=("SERVICE/METHOD", "JSON"))
    given = arguments.parse_args()
    credentials = grpc.ssl_channel_credentials(
        given.ca.read_bytes(),
        given.key and given.key.read_bytes(),
        given.cert and given.cert.read_bytes(),
    )
    with grpc.secure_channel(given.address, credentials) as channel:
        try:
            for version in VERSIONS:
                found = services(channel, version)
                print(f"{version}: {', '.join(found)}")
                if absent := set(given.expect) - set(found):
                    sys.exit(f"{version} does not list {sorted(absent)}")
                pool = describe(channel, version, found)
                print(f"{version}: every service is described")
            if given.call:
                print(call(channel, pool, given.call[0], (given.call[1:] or ["{}"])[0]))
        except grpc.RpcError as error:
            sys.exit(f"{given.address} answered {error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
