"""The exception that ends an export which no gate refused."""

from __future__ import annotations


class ExportFailed(Exception):
    """The model cannot be turned into a bundle. One sentence."""
