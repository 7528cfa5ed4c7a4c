"""The sensitivity search: which products must stay in fp32 so that an int8 variant passes, as few as
possible.

Best first by halves. All products together failed, so they are halved, each half is quantised alone, and the
half that costs the order most is halved again, until the most harmful group is a single product. That one
stays in fp32; if the rest passes, the search is over, else it goes on with the next most harmful group. One
bad product among n is found in 2 log2 n + 2 judgements, where judging each alone takes n. At last every
product put back on the way is tried once more: what need not stay in fp32 does not.

The answer is minimal: no single product of it can be given back. For one culprit it is the minimum, because
nothing excluded has been seen to fail. It is the minimum only if harm is monotone (a group harms at least
as much as each member), which quantisation noise nearly is.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Ended = Literal["not_needed", "passes", "time", "nothing_helps"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What quantising some products does.

    Attributes:
        passes: the thresholds hold.
        harm: Kendall tau lost, 0 = none; orders groups by what they cost.
    """

    passes: bool
    harm: float


Judge = Callable[[Sequence[str]], Judgement]
"""Quantises these products, all others fp32."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found.

    Attributes:
        excluded: product -> why it stays in fp32; in the order found.
        ended: "not_needed": all products together pass; "passes": the others pass; "time": the limit came
            first; "nothing_helps": one product was left and still fails. After the last two `excluded` is
            the best try.
        judgements: variants that were built and judged.
        seconds: wall time.
    """

    excluded: Mapping[str, str] = field(default_factory=dict)
    ended: Ended = "not_needed"
    judgements: int = 0
    seconds: float = 0.0

    def then(self, later: Search) -> Search:
        """This search continued by a later one on what it left."""
        return Search(
            {**self.excluded, **later.excluded},
            self.ended if later.ended == "not_needed" else later.ended,
            self.judgements + later.judgements,
            self.seconds + later.seconds,
        )


def find_sensitive(
    products: Sequence[str], judge: Judge, *, seconds_max: float, clock: Callable[[], float] = time.monotonic
) -> Search:
    """The fewest products without which the others pass.

    Args:
        products: names, in graph order; one of them at least is left quantised.
        judge: measures; the search's time is all its own.
        seconds_max: no judgement starts later than this.
        clock: seconds.
    """
    hunt = _Hunt(products, judge, seconds_max, clock)
    ended: Ended
    try:
        ended = hunt.run()
    except _TimeUp:
        ended = "passes" if hunt.passed else "time"
    return Search(
        {name: _reason(hunt.excluded[name], hunt.passed) for name in hunt.excluded},
        ended,
        hunt.judgements,
        clock() - hunt.began,
    )


class _TimeUp(Exception):
    """The limit is reached; what was found so far stands."""


class _Hunt:
    """One search while it runs.

    Attributes:
        excluded: product -> its harm alone.
        passed: the products that are not excluded were seen to pass.
    """

    def __init__(
        self, products: Sequence[str], judge: Judge, seconds_max: float, clock: Callable[[], float]
    ) -> None:
        self.excluded: dict[str, float] = {}
        self.passed = False
        self.judgements = 0
        self.began = clock()
        self._products = tuple(products)
        self._judge = judge
        self._clock = clock
        self._seconds_max = seconds_max

    def run(self) -> Ended:
        if self._passes():
            return "not_needed"
        # Most harmful first; the number keeps graph order among equals.
        groups: list[tuple[float, int, tuple[str, ...]]] = [(0.0, 0, self._products)]
        while groups and len(self.excluded) < len(self._products) - 1:
            harm, _, group = heapq.heappop(groups)
            if len(group) == 1:
                self.excluded[group[0]] = -harm
                if self._passes():
                    self._give_back()
                    return "passes"
                continue
            middle = len(group) // 2
            for half in (group[:middle], group[middle:]):
                found = self._measure(half)
                heapq.heappush(groups, (-found.harm, self._products.index(half[0]), half))
        return "nothing_helps"

    def _passes(self) -> bool:
        self.passed = self._measure([name for name in self._products if name not in self.excluded]).passes
        return self.passed

    def _give_back(self) -> None:
        """All but the last one found: before that one the others failed."""
        for name in [*self.excluded][-2::-1]:
            harm = self.excluded[name]
            without = [one for one in self._products if one == name or one not in self.excluded]
            if self._measure(without).passes:
                del self.excluded[name]
            else:
                self.excluded[name] = harm

    def _measure(self, names: Sequence[str]) -> Judgement:
        if self._clock() - self.began >= self._seconds_max:
            raise _TimeUp
        self.judgements += 1
        return self._judge(names)


def _reason(harm: float, passed: bool) -> str:
    text = f"alone it lowers Kendall tau by {harm:.4f}"
    return f"{text}; the gates need it in fp32" if passed else f"{text}; without it the gates still refuse"
