"""`make claims`: measures the talk's claims and writes docs/claims.md. Standard library only.

- `records.py`: the claims' files, and the record that each leaves in docs/claims/<id>.json.
- `measure.py`: runs the claims' tests (tests/claims) and shows the progress.
- `page.py`: turns the records into docs/claims.md.
"""

from tools.claims.measure import pins, progress
from tools.claims.records import names_of_tests, read, write
from tools.markdown import table

__all__ = ["names_of_tests", "pins", "progress", "read", "table", "write"]
