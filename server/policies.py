"""Configuration to scheduler: the plan, or the baseline that it is compared with."""

from __future__ import annotations

from server.config import Config
from server.core.fifo import FifoLimits, FifoScheduler
from server.core.policy import Policy
from server.core.scheduler import Limits, Scheduler


def policy(config: Config) -> Policy:
    """The scheduler that `admission.policy` names."""
    batch, admission, executors = config.batch, config.admission, config.engine.executors
    if admission.policy == "fifo":
        fifo = admission.fifo
        queue = FifoLimits(
            rows_max=batch.rows_max,
            requests_max=batch.requests_max,
            queue_max=fifo.queue_max,
            timeout_ns=round(fifo.timeout_ms * 1e6),
            delay_ns=round(fifo.delay_ms * 1e6),
        )
        return FifoScheduler(queue, executors)
    limits = Limits(
        rows_max=batch.rows_max,
        requests_max=batch.requests_max,
        queue_max=admission.queue_max,
        margin_ns=round(admission.margin_ms * 1e6),
    )
    return Scheduler(limits, executors)
