"""What does a request that computes cost, and what do more workers bring?

`GET /burn/1600`: about a millisecond of Python. One worker computes on one core only, whatever its server.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {"WORKERS": "1,2", "PROXIES": "direct"}


class Burn(LeanUser):
    """Has the application compute 1600 rounds of SHA-256."""

    path = "/burn/1600"
    reply = b'{"digest":"e4a482a181c195d3231364fe72b14370214812b7001eff996867f423799e6b67","rounds":1600}'
