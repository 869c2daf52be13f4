"""Logs of a process: one JSON object a line on standard error. Never a row, never a secret."""

import logging
import sys
from collections.abc import Callable
from typing import Final, cast

import orjson
import structlog


class _FromLibraries(logging.Handler):
    """Hands on what libraries say (uvicorn.error, asyncio), which would leave unmasked otherwise."""

    def emit(self, record: logging.LogRecord) -> None:
        about = {"logger": record.name}
        if record.exc_info:
            about["exception"] = _text(_TRACES.formatException(record.exc_info))
        logger = structlog.get_logger()
        tell = logger.error if record.levelno >= logging.ERROR else logger.warning
        tell(_text(_message(record)), **about)


_TRACES: Final = logging.Formatter()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # its words and its values do not fit
        return str(record.msg)


def _text(said: str) -> str:
    """Without halves of characters, which no JSON holds."""
    return said.strip().encode("utf-8", "replace").decode()


def set_up_logging(level: str, mask: Callable[[bytes], bytes]) -> None:
    """One JSON object a line on standard error. Loggers of libraries stay at WARNING.

    `mask` has the last word on every line, those of libraries too.
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
    root = logging.getLogger()
    if not any(isinstance(each, _FromLibraries) for each in root.handlers):
        root.addHandler(_FromLibraries(logging.WARNING))
    # They tell a failure with the values that it met, and were never heard of before.
    for silent in ("pgqueuer", "sqlalchemy"):
        logger = logging.getLogger(silent)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())  # with no handler at all, Python itself prints
    # Its pool tells every second with a traceback that the database is away; `live.lost` said so.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
