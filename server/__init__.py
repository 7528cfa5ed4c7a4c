"""The product: wire -> admission -> batch -> engine -> split -> reply."""
