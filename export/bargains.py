"""Products that are a bad bargain in int8: much of the disagreement for little of the work.

This is about more than passing the gates: a few sensitive products, not int8 as such, are what usually
costs a ranker its order. In the movies example one with 3 % of the multiplications made half of the
disagreement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from export.sites import Site

BARGAIN_MAX = 4.0
"""A product may bring this many times its share of the multiplications as its share of the lost Kendall
tau."""
LOSS_NEGLIGIBLE = 2e-3
"""Lost Kendall tau, summed over products, below which no bargain is looked at."""
PRODUCTS_MAX = 64
"""Each takes a judgement of its own: with more products than this nobody looks."""


def bad_bargains(sites: Sequence[Site], harm: Mapping[str, float]) -> dict[str, str]:
    """Site name -> why it is better left in fp32.

    Args:
        sites: products that could be quantised.
        harm: site name -> Kendall tau lost when it alone is.
    """
    loss_total = sum(harm.values())
    work_total = sum(site.weight.size for site in sites)
    if loss_total <= LOSS_NEGLIGIBLE:
        return {}
    reasons: dict[str, str] = {}
    for site in sites:
        loss_share, work_share = harm[site.name] / loss_total, site.weight.size / work_total
        if loss_share > BARGAIN_MAX * work_share:
            reasons[site.name] = (
                f"{loss_share:.0%} of the disagreement for {work_share:.0%} of the multiplications"
            )
    return reasons
