"""Every user of every scenario: the file from which Locust's page offers its users (loadtests/ui/compose.yaml).

The scenarios are imported under their full names, because Locust would load their `json.py` as the standard library's.
"""

import importlib

from loadtests.scenarios import scenarios

for name, scenario in scenarios().items():
    module = importlib.import_module(f"loadtests.scenarios.{name}")
    globals().update({user: getattr(module, user) for user in scenario.users})
