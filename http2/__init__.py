"""HTTP/2 (RFC 9113) and gRPC's wire over it, as values: bytes in, events and bytes out; no I/O, no clock."""
