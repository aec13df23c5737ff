"""
One event, one line of the log.

    2026-03-01T08:30:00.123Z WARNING broker.connection connection closed peer=127.0.0.1:5000 reason="no such key"

Time (UTC), level, logger, what happened, and then key=value pairs. A value with a space, a quote, an equals sign or a
line break in it is written as a JSON string; so is a traceback, whose lines are joined.
"""

import json
import logging
import re
import time

_PLACEHOLDER = re.compile(r"%[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]|%%")
_PLAIN = re.compile(r"[^\s\"=\\]+")
_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r"})


class OneLine(logging.Formatter):
    """The formatter of `broker serve`."""

    def format(self, record: logging.LogRecord) -> str:
        begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        parts = [f"{begun}.{int(record.msecs):03d}Z {record.levelname} {record.name} {_message(record)}"]
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info), ensure_ascii=False)}")
        return " ".join(parts)


def _message(record: logging.LogRecord) -> str:
    """The message, with the values behind `key=` quoted where they need it."""
    template = record.msg
    arguments = record.args
    if not isinstance(template, str) or not isinstance(arguments, tuple) or not arguments:
        return record.getMessage().translate(_BREAKS)
    left = iter(arguments)

    def shown(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        text = match[0] % next(left)
        is_value = template[: match.start()].endswith("=")
        return text if not is_value or _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)

    try:
        return _PLACEHOLDER.sub(shown, template).translate(_BREAKS)
    except (StopIteration, TypeError, ValueError):
        # A template whose placeholders do not fit: the message itself says so better.
        return record.getMessage().translate(_BREAKS)
