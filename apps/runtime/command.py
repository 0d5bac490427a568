"""Runs a command in the application's environment: its variables, its secrets, and the address of its database.

`python3 -m app_runtime.command python manage.py migrate` is the form that `make run` and APP_RELEASE use.
"""

import os
import sys

from . import serve


def main() -> None:
    """Replaces this process by the command."""
    try:
        serve.complete_environment()
        os.execvp(sys.argv[1], sys.argv[1:])
    except (serve.SettingsError, OSError) as error:
        sys.exit(f"run: {error}")
    except IndexError:
        sys.exit("run: no command: give one, such as python manage.py migrate")


if __name__ == "__main__":
    main()
