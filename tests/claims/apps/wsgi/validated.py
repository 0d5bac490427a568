"""The bare application inside the validator `wsgiref.validate`, which checks the server. Objections go to the log.

The validator itself raises at the first objection. Here the request goes on, so that the log has all objections.
"""

import json
import sys
import warnings
from collections.abc import Iterable
from typing import Any
from wsgiref import validate

from apps.wsgi.bare import plain


def log_objection(condition: Any, *words: Any) -> None:
    """Replaces the validator's `assert_`, which raises."""
    if not condition:
        log(" ".join(map(str, words)))


def log(words: Any, *_: Any) -> None:
    """Writes one line to the log. Also called with a warning, of which it writes the message."""
    print("OBJECTION " + json.dumps(str(words)), file=sys.stderr, flush=True)


vars(validate)["assert_"] = log_objection
vars(warnings)["showwarning"] = log
warnings.simplefilter("always")
validated = validate.validator(plain)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Passes the request on. An error of the validator, for a key that is missing, counts as an objection."""
    # The validator forbids `read()` without a size, which PEP 3333 allows. Without this key the application gives it.
    environ.pop("wsgi.input_terminated", None)
    try:
        return validated(environ, start_response)
    except (KeyError, TypeError, AttributeError) as error:
        log(repr(error))
        raise
