"""A refusal read back from the wire, for the parts that build on the contracts; see `podium.v1.refusal`."""

from podium.v1.refusal import DETAILS_KEY, DOMAIN, PUSHBACK_KEY, RefusalDetails, of_status, read

__all__ = ["DETAILS_KEY", "DOMAIN", "PUSHBACK_KEY", "RefusalDetails", "of_status", "read"]
