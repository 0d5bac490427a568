"""`make export TO=../shop/deploy`: the running choice as a small folder of plain Compose, which needs Docker only."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from stack import ROOT, Problem, dotenv, settings
from stack.command_line import finish_first
from stack.compose import Compose
from stack.export_files import SECRET, STAND_IN, USERS, Deployment
from stack.own_app import EXPORTED


def main() -> None:
    """`make export`."""
    began = time.monotonic()
    recall()
    to = os.environ.get("TO", "").strip()
    if not to:
        raise Problem("TO is empty: give a folder of the application's, such as make export TO=../shop/deploy")
    plan = settings.read(os.environ)
    if not plan.choice.is_own:
        raise Problem("there is no application of yours to export: give APP_DIR and APP, as for `make up`")
    folder = (ROOT / Path(to).expanduser()).resolve()
    check(folder, Path(plan.compose.environment["APP_CONTEXT"]))
    deployment = Deployment(plan, dotenv.overlay(os.environ), folder)
    files = deployment.make_files()
    kept = {name: text for name in USERS if (text := read_text(folder / name))}
    write(folder, files)
    print(describe(deployment, files, kept, time.monotonic() - began))


def find_record() -> Path:
    """Where `make up` writes what it was called with."""
    return ROOT / f".cache/up-{Compose().project}.json"


def record() -> None:
    """Writes the settings of this command line, so that `make export` finds them. (!) A password may be among them."""
    given = {name: value for name, value in os.environ.items() if name in dotenv.list_settings()}
    file = find_record()
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(given))


def recall() -> None:
    """Puts the settings of the last `make up` into this process's environment, unless the command line names an app."""
    if os.environ.get("APP_DIR") or not (file := find_record()).is_file():
        return
    for name, value in json.loads(file.read_text()).items():
        os.environ.setdefault(name, value)


def check(folder: Path, context: Path) -> None:
    """Refuses a folder where an export cannot be, or where it would take something away."""
    restore(folder)
    if folder == context or not folder.is_relative_to(context):
        raise Problem(
            f"TO={folder} is not inside the application's folder, from which the image is built: "
            f"give a folder below {context}, such as {context / 'deploy'}"
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / EXPORTED).is_file()):
        raise Problem(f"TO={folder} holds something else: give a new folder, or one that `make export` has made")
    changed = [name for name, digest in read_mark(folder).items() if is_changed(folder / name, digest)]
    if changed:
        raise Problem(
            f"{', '.join(changed)} in {folder} was changed after the export: remove what is to be written anew, "
            "or export to another folder"
        )


def read_mark(folder: Path) -> dict[str, str]:
    """The files that the last export has written to a folder, with the digest of each."""
    mark = folder / EXPORTED
    lines = mark.read_text().splitlines() if mark.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if not digest.startswith("#")}


def is_changed(file: Path, digest: str) -> bool:
    """Whether a file is there, and not as the export has written it."""
    return file.is_file() and compute_digest(file.read_bytes()) != digest


def compute_digest(content: bytes) -> str:
    """The SHA-256 of a content, as sha256sum prints it."""
    return hashlib.sha256(content).hexdigest()


def find_beside(folder: Path, end: str) -> Path:
    """Where the `new` folder is made, and where the `old` one is for a moment while they change places."""
    return folder.with_name(f".{folder.name}.{end}")


def restore(folder: Path) -> None:
    """Puts an earlier export back, where a killed command has left it beside its place."""
    if not folder.exists() and find_beside(folder, "old").is_dir():
        find_beside(folder, "old").rename(folder)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes the folder beside its place, with what is the user's there, and puts it into its place as a whole."""
    new, old = find_beside(folder, "new"), find_beside(folder, "old")
    try:
        remove(new, old)  # a killed command leaves them
        marks = ["# The files that make export has written: sha256sum --check says which were changed."]
        for name, text in files.items():
            place = new / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch(mode=find_mode(name))
            place.chmod(find_mode(name))
            place.write_text(text)
            if name not in USERS:
                marks.append(f"{compute_digest(text.encode())}  {name}")
        (new / EXPORTED).write_text("\n".join(marks) + "\n")
        keep_users_files(folder, new)
        with finish_first("the new folder takes its place"):
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    finally:
        with finish_first("what is left over goes"):
            remove(new, old)


def remove(*folders: Path) -> None:
    """Removes folders that are there."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def find_mode(name: str) -> int:
    """The mode of a file: as in this repository. Only the owner reads what may be secret."""
    if name in USERS:
        return 0o600
    source = next((path for path in (ROOT / name, ROOT / "deploy" / name) if path.is_file()), None)
    return 0o755 if source and source.stat().st_mode & 0o100 else 0o644


def keep_users_files(folder: Path, new: Path) -> None:
    """Brings what is not an export's to the new folder: .env, app.env, and what the user has put there."""
    written = read_mark(folder)
    for file in [file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir()]:
        name = file.relative_to(folder).as_posix()
        if name in written or name == EXPORTED:
            continue
        place = new / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            os.link(file, place, follow_symlinks=False)
        except OSError:
            shutil.copy2(file, place, follow_symlinks=False)


def read_text(file: Path) -> str:
    """The text of a file; "" without it."""
    return file.read_text() if file.is_file() else ""


def describe(deployment: Deployment, files: Mapping[str, str], kept: Mapping[str, str], seconds: float) -> str:
    """What was written, and what the user has to know."""
    folder, values = os.path.relpath(deployment.folder), deployment.read_values()
    lines = [
        f"export: {len(files) + 1} files in {folder} ({seconds:.1f} s); `cd {folder} && ./roll` starts it: README.md"
    ]
    lines.append(
        "  ports as here: `make down` first, if it is to run on this machine. Volumes of its own: the data stay here"
    )
    if stand_ins := [value for value in values.values() if value.startswith(STAND_IN)]:
        lines.append(
            f"  (!) .env names stand-ins that this machine only has ({', '.join(stand_ins)}): on a host that reaches a "
            "registry, remove those lines"
        )
    secrets = [name for name in values if SECRET.search(name)]
    if ".env" not in kept and secrets:
        lines.append(f"  .env has what is secret here ({', '.join(secrets)}), and only you can read it")
    for name, text in kept.items():
        missing = sorted(set(files[name].splitlines()) - set(text.splitlines())) if name in files else []
        names = ", ".join(line.partition("=")[0] for line in missing if not line.startswith("#"))
        lines.append(
            f"  {name} stays as it was there" + (f"; this choice has other values of: {names}" if names else "")
        )
    return "\n".join(lines)
