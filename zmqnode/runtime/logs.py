"""The node's log: text for people or JSON lines for machines, on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
Context = Callable[[], dict[str, object]]


class _Lines(logging.Formatter):
    """One record a line, with where the node stands."""

    def __init__(self, context: Context, *, as_json: bool) -> None:
        super().__init__()
        self._context = context
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        at = when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"
        context = self._context()
        message = record.getMessage()
        if self._as_json:
            line = {"at": at, "level": record.levelname.lower(), "message": message, **context}
            return json.dumps(line, ensure_ascii=False)
        where = (
            f"{context.get('address', '')} {context.get('height', '')}/{context.get('round', '')}"
        )
        return f"{at} {record.levelname.lower():7} {where}  {message}"


def open_log(
    context: Context, *, level: str = "info", form: str = "text", stream: IO[str] | None = None
) -> logging.Logger:
    """A logger of its own; nothing is installed globally."""
    logger = logging.Logger("zmqnode", LEVELS[level])
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Lines(context, as_json=form == "json"))
    logger.addHandler(handler)
    return logger


def quiet_log() -> logging.Logger:
    """For nodes inside another program: no handler, records go nowhere."""
    logger = logging.Logger("zmqnode", logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger
