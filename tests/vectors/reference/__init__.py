"""A second implementation of what protocol.md says, from that page alone."""
