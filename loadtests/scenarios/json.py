"""What does a real piece of JSON cost?

`POST /order`: an order of 20 lines, 2 kB, is parsed, and each line is validated. The answer has the cost of each line.
"""

from types import MappingProxyType

from loadtests.generator.lean_user import LeanUser

PIECES = range(1, 21)
LINE = '{"article": "A-%04d", "name": "Article number %d, in a box of its own", "pieces": %d, "cents": 995}'
LINES = ", ".join(LINE % (n, n, n) for n in PIECES)
COST = '{"article":"A-%04d","cents":%d}'
COSTS = ",".join(COST % (n, n * 995) for n in PIECES)


class Json(LeanUser):
    """Orders 20 articles."""

    method, path = "POST", "/order"
    headers = MappingProxyType({"Content-Type": "application/json"})
    body = f'{{"customer": "ana@example.org", "lines": [{LINES}]}}'.encode()
    reply = f'{{"lines":[{COSTS}],"total":208950}}'.encode()
