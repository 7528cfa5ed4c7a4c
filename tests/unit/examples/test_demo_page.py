"""The demo's page reads the load test's `run.json`."""

import pytest

from examples.demo_page import milliseconds


@pytest.mark.parametrize(("value", "shown"), [(12.34, "12.3 ms"), ("inf", "∞"), (None, "too few requests")])
def test_a_time_that_is_no_number_is_said_in_words(value: object, shown: str) -> None:
    """Never answered and too few requests are not 0 ms, and do not break the page."""
    assert shown == milliseconds(value)
