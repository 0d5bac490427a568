"""Every user of every scenario: the file that Locust's page picks from (ui.yaml).

Imported by their own names: Locust would load the folder's `json.py` as the standard library's.
"""

import importlib

from loadtests.scenarios import scenarios

for name, scenario in scenarios().items():
    module = importlib.import_module(f"loadtests.scenarios.{name}")
    globals().update({user: getattr(module, user) for user in scenario.users})
