"""Writes the request's id into the application's own log lines, without a line of code in the application.

The gateway notes the id of the proxy (`X-Request-ID`) for the present request. Each line that `logging` writes
meanwhile gets it: as the key `request_id` of a JSON line, and at the end of the first line of any other text.
Checked by: test_a_log_line_of_the_application_has_the_id_of_its_request, test_its_log_has_the_id_of_a_request
"""

import json
import logging
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

current: ContextVar[str] = ContextVar("request_id", default="")
in_handler: ContextVar[bool] = ContextVar("in_handler", default=False)
# Where a record keeps the id. (!) Not `request_id`: where an application has an `extra` of that name, logging would
# raise a KeyError in the middle of a request. Checked by: test_an_application_may_give_its_lines_an_id_of_its_own
ATTRIBUTE = "_request_id"


def note(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Notes the id among the headers of an ASGI scope; none where there is none."""
    for name, value in headers:
        if name == b"x-request-id":
            current.set(value.decode("latin-1"))
            return
    current.set("")


def read_id(record: logging.LogRecord) -> str:
    """The id of a record: of the request that made the record, or of the present one."""
    return getattr(record, ATTRIBUTE, "") or current.get()


def add_id(text: str, request_id: str) -> str:
    """A log line with the id, unless it has it already."""
    if not request_id or request_id in text:
        return text
    if text.startswith(('{"', "{}")) and text.endswith("}"):
        key = (
            "proxy_request_id" if '"request_id":' in text else "request_id"
        )  # the application may have an id of its own
        return f'{text[:-1]}{"," if len(text) > 2 else ""}"{key}":{json.dumps(request_id)}}}'
    first, newline, rest = text.partition("\n")
    return f"{first} request_id={request_id}{newline}{rest}"


def install() -> None:
    """Lets every line of `logging` have the id. Calling this again changes nothing.

    A handler formats a record with its own method, or asks its formatter itself. Both ways add the id, once, and at the
    end, because a formatter may put what its base class has made into a JSON line.
    """
    if getattr(logging.Handler.format, "adds_id", False):
        return
    format_by_handler, format_by_formatter = logging.Handler.format, logging.Formatter.format

    def format_with_id(handler: logging.Handler, record: logging.LogRecord) -> str:
        token = in_handler.set(True)
        try:
            text = format_by_handler(handler, record)
        finally:
            in_handler.reset(token)
        return add_id(text, read_id(record))

    def format_alone_with_id(formatter: logging.Formatter, record: logging.LogRecord) -> str:
        text = format_by_formatter(formatter, record)
        return text if in_handler.get() else add_id(text, read_id(record))

    format_with_id.adds_id = True  # type: ignore[attr-defined]
    logging.Handler.format = format_with_id  # type: ignore[assignment, method-assign]
    logging.Formatter.format = format_alone_with_id  # type: ignore[assignment, method-assign]
    make_record = logging.getLogRecordFactory()

    def make_record_with_id(*arguments: Any, **keywords: Any) -> logging.LogRecord:
        record = make_record(*arguments, **keywords)
        if request_id := current.get():  # a queue or another thread may write the record later
            setattr(record, ATTRIBUTE, request_id)
        return record

    logging.setLogRecordFactory(make_record_with_id)
