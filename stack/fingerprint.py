"""Whether an image is up to date, found without BuildKit: a fingerprint of all that the image is built from.

BuildKit takes a second to find that nothing has changed. A fingerprint takes a tenth of that. A build writes the
fingerprint and the image's id into .cache/images/. An image is up to date while both are the same as there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stack import ROOT

FOLDER = ROOT / ".cache/images"
NOT_COPIED = {".git", ".venv", ".cache", "__pycache__"}


def compute(service: Mapping[str, Any], base_ids: Mapping[str, str]) -> str:
    """The fingerprint of a service's image: its build settings, the ids of its base images, every file of its context.

    `service`: its part of the Compose configuration. `base_ids`: the engine's base images, by name. The result is ""
    where a base image is missing, because only BuildKit can then tell whether the registry has a newer one; also
    where the Dockerfile is no file of the context, as an own application has it.
    """
    build = service["build"]
    bases = list_bases(service)
    context = Path(build["context"])
    file = context / build.get("dockerfile", "Dockerfile")
    if any(image not in base_ids for image in bases) or not (file.is_file() and file.is_relative_to(context)):
        return ""
    dockerfile = file.read_text()
    digest = hashlib.sha256(
        json.dumps([build, [base_ids[image] for image in bases], dockerfile], sort_keys=True).encode()
    )
    for file in list_files(context):
        mode = file.lstat().st_mode
        content = read_content(file)
        digest.update(f"{file.relative_to(context)} {mode} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def read_content(file: Path) -> bytes:
    """What a build copies of a file; the target of a link; nothing of a folder, of which only the mode counts."""
    if file.is_symlink():
        return str(file.readlink()).encode()
    return b"" if file.is_dir() else file.read_bytes()


def list_bases(service: Mapping[str, Any]) -> list[str]:
    """The base images of a service: its build arguments named …_IMAGE."""
    arguments = service["build"].get("args") or {}
    return [value for name, value in arguments.items() if name.endswith("_IMAGE")]


def list_files(context: Path) -> Iterator[Path]:
    """The files and folders that a build can copy, and .dockerignore, which chooses them.

    Lines such as `!apps` in .dockerignore: the context has these names only.
    """
    ignore = context / ".dockerignore"
    lines = ignore.read_text().splitlines() if ignore.is_file() else []
    names = [line[1:].strip().strip("/") for line in lines if line.startswith("!")]
    if names:
        yield ignore
    for path in [path for name in names for path in sorted(context.glob(name))] or [context]:
        for file in [path, *sorted(path.rglob("*"))]:
            is_special = not (file.is_file() or file.is_dir() or file.is_symlink())
            if not NOT_COPIED & {*file.relative_to(context).parts} and not is_special:
                yield file


def is_up_to_date(image: str, image_id: str, fingerprint: str) -> bool:
    """Whether the last build of `image` had this result from this fingerprint."""
    file = to_file(image)
    return bool(fingerprint) and file.is_file() and file.read_text() == f"{fingerprint} {image_id}"


def write(image: str, image_id: str, fingerprint: str) -> None:
    """Records a build."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    to_file(image).write_text(f"{fingerprint} {image_id}")


def to_file(image: str) -> Path:
    """The file with the record of an image."""
    return FOLDER / image.replace("/", "_").replace(":", "_")
