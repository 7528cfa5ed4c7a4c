"""One structured log line per event, to standard error. Queries, ids and features never enter one."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from server.config import Logs


def configure(logs: Logs) -> Any:
    """Set up structlog for this process and return the logger."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if logs.format == "json" else structlog.dev.ConsoleRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[logs.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()
