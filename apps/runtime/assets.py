"""Copies the static files of the application's image into the volume from which the proxies serve them.

A file that is there already stays: pages of the last version still ask for theirs, and a name with a hash
never changes. A file whose content has changed is replaced in one step.
"""

import filecmp
import os
import shutil
import sys
from pathlib import Path

VOLUME = Path("/srv/static")
PUBLIC = (Path("/app"), Path("/venv"), Path("/usr"))  # the folders whose files a link may show


def copy(source: Path, target: Path) -> int:
    """Copies what is new or has changed; returns the number of files.

    (!) A link that leads out of the image's own folders is left out: it could publish /proc or a secret.
    """
    count = 0
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        if not any(path.resolve().is_relative_to(folder) for folder in (source, *PUBLIC)):
            print(f"assets: {path} leads to {path.resolve()}, and is left out", flush=True)
            continue
        place = target / path.relative_to(source)
        if place.is_file() and filecmp.cmp(path, place, shallow=False):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{place.name}.new")
        shutil.copyfile(path, new)
        new.chmod(0o644)
        new.replace(place)
        count += 1
    return count


def main() -> None:
    """Copies STATIC_DIR, a folder of the project or of the image."""
    source = Path("/app", os.environ.get("STATIC_DIR", ""))
    if not source.is_dir():
        sys.exit(
            f"assets: STATIC_DIR={os.environ.get('STATIC_DIR')} is no folder of the image: does APP_BUILD make it?"
        )
    print(f"assets: {copy(source, VOLUME)} new files of {source}", flush=True)


if __name__ == "__main__":
    main()
