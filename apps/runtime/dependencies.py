"""Finds and installs the packages of an own application, together with its server's. Runs while the image is built.

`collect` takes what names packages out of a project: a lock file with pyproject.toml (uv, Poetry, PDM),
requirements.txt, pyproject.toml alone, or wheels. `install` resolves that with the server's release, with which
the stack was measured. What `uv` decides is in requirements.lock, with hashes. https://docs.astral.sh/uv/pip/compile/
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn

LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
# What no image needs: version control, environments and caches of the developer's, and variables that may be secret.
LEFT_OUT = {
    *(".git", ".hg", ".svn", ".github", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", ".env"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode", ".DS_Store", ".cache"),
    "app.env",
}
# The project itself among its requirements: `-e .[extra]`, or `.`
ITSELF = re.compile(r"^(?:(?:-e|--editable)[ =]*)?\.(?:\[([^\]\n]*)\])?[ \t]*(?:#.*)?$", re.MULTILINE)
INDEX = re.compile(r"^(-i|-f|--(?:extra-)?index-url|--find-links)[ =]+(\S+)", re.MULTILINE)
HASH = re.compile(r"\b[0-9a-f]{64}\b")
HASHES = "hashes.json"  # what the project's lock or requirements say of each release
INDEXES = "indexes.txt"  # the options of the requirements files; the lock has none, because they may hold a password
SEED = "requirements.lock"  # of an earlier build: its releases stay where they still fit
UV = "/uv/bin/uv"


def prune(project: Path, deployment: Path) -> None:
    """Removes what no image needs from a copy of the project; `deployment`: the folder of an export, if inside."""
    if deployment != project:
        shutil.rmtree(deployment, ignore_errors=True)
    for folder, names, files in os.walk(project):
        for name in [name for name in [*names, *files] if name in LEFT_OUT or is_environment_file(name)]:
            path = Path(folder, name)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        names[:] = [name for name in names if name not in LEFT_OUT]


def is_environment_file(name: str) -> bool:
    """Whether a file holds variables of an environment (`.env.local`), and is no example of them."""
    return name.startswith(".env.") and not name.endswith((".example", ".sample", ".template"))


def collect(project: Path, target: Path, deployment: Path) -> None:
    """Copies the files that name packages to `target`, and removes what no image needs from the project's copy."""
    target.mkdir()
    if (seed := deployment / "requirements.txt").is_file() and deployment != project:
        shutil.copy(seed, target / SEED)
    prune(project, deployment)
    stated = os.environ.get("APP_REQUIREMENTS", "").split()
    if missing := [name for name in stated if not (project / name).is_file()]:
        fail(f"APP_REQUIREMENTS names {missing[0]}, and the project has no such file")
    lock = next((project / name for name in LOCKS if (project / name).is_file()), None)
    data = read_toml(project / "pyproject.toml")
    if stated:
        sources = copy_requirements(project, target, stated)
    elif lock and data:
        sources = collect_locked(data, read_toml(lock), target)
    elif (project / "requirements.txt").is_file():
        sources = copy_requirements(project, target, ["requirements.txt"])
    elif data.get("project") or "poetry" in data.get("tool", {}):
        sources = ["pyproject.toml"]
    else:
        sources = []
    if {"pyproject.toml", "setup.py"} & set(sources):
        copy_project(project, target, data)
    wheels = sorted(project.glob("*.whl"))
    for wheel in wheels:
        shutil.copy(wheel, target)
    (target / "sources").write_text("".join(f"{name}\n" for name in [*sources, *(f"./{each.name}" for each in wheels)]))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file; empty where there is none."""
    try:
        return tomllib.loads(path.read_text()) if path.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        fail(f"{path.name} cannot be read: {error}")


def collect_locked(data: dict[str, Any], lock: dict[str, Any], target: Path) -> list[str]:
    """Writes the lock's releases as constraints, and returns the file that names the packages."""
    packages = [each for each in lock.get("package", lock.get("packages", ())) if is_pin(each)]
    pins = [pin(each) for each in packages]
    write_hashes(target, {name_release(each["name"], each["version"]): HASH.findall(str(each)) for each in packages})
    (target / "constraints.txt").write_text("\n".join(pins))
    poetry = data.get("tool", {}).get("poetry", {}).get("dependencies", {})
    if data.get("project", {}).get("dependencies") is not None or not poetry:
        return ["pyproject.toml"]
    names = [name_poetry(name, value) for name, value in poetry.items() if name != "python"]
    (target / "poetry.txt").write_text("\n".join(name for name in names if name))
    return ["poetry.txt"]


def pin(package: dict[str, Any]) -> str:
    """An entry of a lock as a constraint. A package with several releases has markers that tell them apart."""
    markers = package.get("resolution-markers", ())
    return f"{package['name']}=={package['version']}" + (f" ; ({') or ('.join(markers)})" if markers else "")


def is_pin(package: dict[str, Any]) -> bool:
    """Whether an entry of a lock is a release of an index: uv.lock also has the project itself."""
    source = package.get("source", {})
    is_local = any(kind in source for kind in ("virtual", "editable", "directory", "git", "path", "url"))
    return "version" in package and not is_local and source.get("type") not in ("git", "directory", "file", "url")


def name_poetry(name: str, value: object) -> str:
    """A dependency of Poetry's table as a requirement without a release: the lock has that. "" if optional."""
    if not isinstance(value, dict):
        return name
    extras = f"[{','.join(value['extras'])}]" if value.get("extras") else ""
    source = f" @ git+{value['git']}@{value.get('rev') or value.get('tag') or 'HEAD'}" if "git" in value else ""
    return "" if value.get("optional") else f"{name}{extras}{source}"


def copy_requirements(project: Path, target: Path, names: list[str]) -> list[str]:
    """Copies requirements files and those that they name with -r and -c. Returns the files to read.

    The project itself is on the path already. Where a file names it (`-e .`), its dependencies count.
    """
    waiting, seen, more, indexes = list(names), set(), [], []
    hashes: dict[str, list[str]] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if not (project / name).is_file():
            fail(f"a requirements file names {name}, and the project has no such file")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        text = (project / name).read_text()
        itself = next((each for each in ("pyproject.toml", "setup.py") if (project / each).is_file()), "")
        if itself and (extras := ITSELF.findall(text)):
            more = [itself]
            optional = read_toml(project / "pyproject.toml").get("project", {}).get("optional-dependencies", {})
            chosen = [word.strip() for words in extras for word in words.split(",")]
            text = (
                "\n".join([ITSELF.sub("", text), *(line for word in chosen for line in optional.get(word, ()))]) + "\n"
            )
        hashes |= read_hashes(text)
        indexes += [word for pair in INDEX.findall(text) for word in pair]
        (target / name).write_text(text)
        for other in re.findall(r"^(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", text, re.MULTILINE):
            waiting.append(os.path.normpath(Path(name).parent / other))
        for local in re.findall(r"^(\./\S+\.(?:whl|tar\.gz))", text, re.MULTILINE):
            (target / local).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / local, target / local)
    write_hashes(target, hashes)
    (target / INDEXES).write_text("\n".join(indexes))
    return [*names, *more]


def name_release(name: str, version: str) -> str:
    """A release as uv writes it."""
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def read_hashes(requirements: str) -> dict[str, list[str]]:
    """The hashes of each release in the text of a requirements file."""
    lines = requirements.replace("\\\n", " ").splitlines()
    releases = [(re.match(r"([\w.-]+)(?:\[.*?\])?==([^\s;]+)", line), HASH.findall(line)) for line in lines]
    return {name_release(match[1], match[2]): hashes for match, hashes in releases if match and hashes}


def write_hashes(target: Path, hashes: dict[str, list[str]]) -> None:
    """Notes the hashes, for `keep_hashes`."""
    (target / HASHES).write_text(json.dumps(hashes))


def keep_hashes(lock: str, hashes: dict[str, list[str]]) -> str:
    """The lock with no other hashes than the project's. (!) Otherwise an index could give another file than that one.

    Checked by: test_a_file_with_another_hash_than_the_lock_is_refused
    """
    blocks = re.split(r"^(?=\w)", lock, flags=re.MULTILINE)
    for number, block in enumerate(blocks):
        for release, offered in read_hashes(block).items():
            if known := hashes.get(release):
                right = [f"--hash=sha256:{each}" for each in offered if each in known]
                if not right:
                    fail(f"{release}: no file of the index has a hash that the project names")
                blocks[number] = " \\\n    ".join([block.partition(" \\\n")[0], *right]) + "\n"
    return "".join(blocks)


def copy_project(project: Path, target: Path, data: dict[str, Any]) -> None:
    """Copies pyproject.toml; the source too where the packages can only be told by building the project."""
    is_static = data.get("project", {}).get("dependencies") is not None
    if is_static and "dependencies" not in data["project"].get("dynamic", ()):
        shutil.copy(project / "pyproject.toml", target)
    else:
        shutil.copytree(project, target, dirs_exist_ok=True)


def read_server_packages(server: str, requirements: Path = Path("/requirements/app.txt")) -> list[str]:
    """The requirements of a server with the releases of the stack: `# Packages:` in its scripts, or its name."""
    scripts = sorted(Path("/srv/servers").glob(f"*/{server}.sh"))
    names: list[str] = []
    for script in scripts:
        line = re.search(r"^# Packages: (.+)$", script.read_text(), re.MULTILINE)
        names += line[1].split() if line else [server]
    pins = dict(re.findall(r"^([a-zA-Z0-9_.-]+)==([^ ;\\]+)", requirements.read_text(), re.MULTILINE))
    packages = [name for name in dict.fromkeys(names) if name != "none"]
    return [f"{name}=={pins[name.partition('[')[0]]}" for name in packages]


def leave_out(pins: str, packages: list[str]) -> str:
    """The constraints of a lock without the packages of the server: uv applies a constraint to an override, too."""
    names = {re.split(r"[\[=]", package)[0] for package in packages}
    return "\n".join(line for line in pins.splitlines() if line.partition("==")[0] not in names)


def install(packages: Path, server: str, override: str) -> None:
    """Resolves and installs the packages of the project and the server; ends with the reason where they do not fit."""
    os.chdir(packages)
    sources = Path("sources").read_text().split()
    constraints = ["--constraint", "constraints.txt"] if (lock := Path("constraints.txt")).is_file() else []
    own = read_server_packages(server)
    Path("server.txt").write_text("\n".join(own))
    if constraints and override == "yes":
        lock.write_text(leave_out(lock.read_text(), own))
    overrides = ["--override", "server.txt"] if override == "yes" else []
    wheels = [name for name in sources if name.endswith(".whl")]
    Path("wheels.txt").write_text("\n".join(wheels))
    inputs = [*(name for name in sources if name not in wheels), *(["wheels.txt"] if wheels else []), "server.txt"]
    environment = {**os.environ, "UV_LINK_MODE": "copy"}

    def compile_pins(*names: str) -> str:
        command = [UV, "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
        command += [
            "--no-emit-index-url",
            "--no-emit-find-links",
            "--python",
            "/venv/bin/python",
            *constraints,
            *overrides,
        ]
        done = subprocess.run(
            [*command, "--output-file", SEED, *names], env=environment, stderr=subprocess.PIPE, text=True
        )
        return done.stderr if done.returncode != 0 else ""

    if reason := compile_pins(*inputs):
        words = " ".join(re.sub(r"[×╰─▶│]", " ", reason).split())
        if len(inputs) > 1 and not compile_pins(*inputs[:-1]):
            fail(
                f"the project's packages do not fit SERVER={server} ({', '.join(own)}): {words}. "
                f"APP_OVERRIDE=yes installs the stack's release in spite of that; or choose another SERVER"
            )
        hint = " APP_APT_BUILD=git installs it" if "Git executable not found" in words else ""
        fail(f"the project's packages cannot be resolved: {words}{hint}")
    if (noted := Path(HASHES)).is_file():
        Path(SEED).write_text(keep_hashes(Path(SEED).read_text(), json.loads(noted.read_text())))
    indexes = Path(INDEXES).read_text().splitlines() if Path(INDEXES).is_file() else []
    command = [UV, "pip", "install", "--quiet", "--python", "/venv/bin/python", "--compile-bytecode", "--verify-hashes"]
    if subprocess.run([*command, *indexes, "--requirement", SEED], env=environment, check=False).returncode != 0:
        fail("the packages cannot be installed: the reason is above; APP_APT_BUILD installs compilers and headers")


def fail(message: str) -> NoReturn:
    """Ends the build with one line."""
    sys.exit(f"ERROR: {message}")


if __name__ == "__main__":
    if sys.argv[1] == "collect":
        collect(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]).resolve())
    else:
        install(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
