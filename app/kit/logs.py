"""Logs of a process: one JSON object a line on standard error. Never a row, never a secret."""

import logging
import sys
from collections.abc import Callable
from typing import cast

import orjson
import structlog


def set_up_logging(level: str, mask: Callable[[bytes], bytes]) -> None:
    """One JSON object a line on standard error. Loggers of libraries stay at WARNING.

    `mask` has the last word on every line.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
            lambda _logger, _method, line: mask(cast(bytes, line)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    # Its pool tells every second with a traceback that the database is away; `live.lost` said so.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
