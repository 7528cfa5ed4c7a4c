"""The gRPC door: sockets and calls on one side, `ranking` on the other. `call` is the seam between them."""
