"""Judges what testssl.sh found at one door: everything is OK or information, but for what is listed with its reason.

    testssl.py federation|local FINDINGS.json
"""

import json
import sys

FINE = {"OK", "INFO", "DEBUG"}

# id of a finding at a door -> why it is as it should be.
EVERYWHERE = {
    "cert_chain_of_trust": "the CA is the federation's own, or the house's: no public one may certify a member",
    "cert_revocation": "revocation lists are files at each gateway: no outside service is needed to serve care",
}
# About the machine that runs the test: its OpenSSL, what its resolver says of 127.0.0.1, and whether a client without a
# certificate ends before it reads the alert that a TLS 1.3 server sends it after the handshake, or says that it failed.
OF_THIS_MACHINE = {"engine_problem", "DNS_CAArecord", "optimal_proto"}
EXCEPTIONS: dict[str, dict[str, str]] = {"federation": EVERYWHERE, "local": EVERYWHERE}

# Protocols at each door, by testssl.sh's names; what it does not offer is "not offered".
PROTOCOLS = {
    "federation": {"TLS1_3"},
    "local": {"TLS1_2", "TLS1_3"},
}


def main(door: str, file: str) -> int:
    findings = json.load(open(file, encoding="utf-8"))
    found = {one["id"]: one for one in findings}
    wrong = []
    for protocol in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3"):
        said = found.get(protocol, {}).get("finding", "nothing")
        offered = said.startswith("offered")
        if protocol not in found or offered != (protocol in PROTOCOLS[door]):
            wrong.append(f"{protocol}: {said}")
    unused = set(EXCEPTIONS[door])
    for one in findings:
        if one["severity"] in FINE or one["id"] in OF_THIS_MACHINE:
            continue
        if one["id"] in EXCEPTIONS[door]:
            unused.discard(one["id"])
            print(f"as it should be: {one['id']}: {one['finding']}: {EXCEPTIONS[door][one['id']]}")
        elif one["id"] not in PROTOCOLS[door]:
            wrong.append(f"{one['id']} ({one['severity']}): {one['finding']}")
    wrong += [f"{one}: an exception that is not needed any more" for one in unused]
    print(f"{len(findings)} findings at the {door} door, {len(wrong)} unexpected", *wrong, sep="\n")
    return 1 if wrong or len(findings) < 20 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
