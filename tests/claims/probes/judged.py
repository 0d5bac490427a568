"""A WSGI application between a server and the judge, `wsgiref.validate`, whose objections are written to the log.

An objection does not end the request, as the judge would have it: all are heard, and not the first alone.
"""

import json
import sys
import warnings
from collections.abc import Iterable
from typing import Any
from wsgiref import validate

from apps.wsgi.bare import plain


def objection(fair: Any, *words: Any) -> None:
    """In place of the judge's `assert_`, which would raise."""
    if not fair:
        say(" ".join(map(str, words)))


def say(words: Any, *more: Any) -> None:
    """One line of the log; of a warning, its message."""
    print("JUDGED " + json.dumps(str(words)), file=sys.stderr, flush=True)


vars(validate)["assert_"] = objection
vars(warnings)["showwarning"] = say
warnings.simplefilter("always")
judged = validate.validator(plain)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Passes everything on; where the judge stumbles over what is not there, that is an objection, too."""
    # The judge forbids read() without a size, which PEP 3333 allows: the application is not to try.
    environ.pop("wsgi.input_terminated", None)
    try:
        return judged(environ, start_response)
    except (KeyError, TypeError, AttributeError) as error:
        say(repr(error))
        raise
