"""What the build of an own application's image reads: the variables of APP_ENV_FILE, and a lock of packages."""

import json
import subprocess
import tomllib
from pathlib import Path

from apps.runtime.build_step import read_variables
from apps.runtime.dependencies import collect_locked, leave_out, prune

VARIABLES = r"""
# a comment
WORDS=two words # and a comment
DOLLAR='a$b "c" \n'
ESCAPES="x \"y\" \n z"
export EXPORTED=1
EMPTY=
HASH=#hash
INSIDE=a#b
LINES='it
spans'
COLON: yaml
QUOTES=""
AFTER="k" # after
  SPACED = l
APOSTROPHE=it's
ESCAPED='don\'t'
COMMAND=`id`; id
"""
# Two releases of a package, as uv writes a lock for several releases of Python.
LOCK = """
[[package]]
name = "numpy"
version = "2.2.6"
source = { registry = "index" }
resolution-markers = ["python_full_version < '3.11'", "sys_platform == 'emscripten'"]

[[package]]
name = "numpy"
version = "2.4.1"
source = { registry = "index" }
resolution-markers = ["python_full_version >= '3.11'"]

[[package]]
name = "shop"
version = "1"
source = { editable = "." }
"""


def test_a_build_step_reads_variables_as_compose_does(tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text(VARIABLES)
    (tmp_path / "compose.json").write_text(
        json.dumps({"services": {"app": {"image": "none", "env_file": ["app.env"]}}})
    )
    command = ["docker", "compose", "--file", "compose.json", "config", "--format", "json"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    expected = json.loads(output)["services"]["app"]["environment"]
    variables = read_variables(VARIABLES)
    assert variables == {name: value.replace("$$", "$") for name, value in expected.items()}
    assert len(variables) == 15


def test_a_package_of_several_releases_keeps_the_markers_of_its_lock(tmp_path: Path) -> None:
    data = {"project": {"dependencies": ["numpy"]}}
    assert collect_locked(data, tomllib.loads(LOCK), tmp_path) == ["pyproject.toml"]
    assert (tmp_path / "constraints.txt").read_text().splitlines() == [
        "numpy==2.2.6 ; (python_full_version < '3.11') or (sys_platform == 'emscripten')",
        "numpy==2.4.1 ; (python_full_version >= '3.11')",
    ]


def test_an_override_takes_the_server_out_of_the_lock() -> None:
    pins = "uvicorn==0.53.0\nuvicorn-worker==0.4.0\nfastapi==0.165.0"
    assert leave_out(pins, ["uvicorn[standard]==0.54.0"]) == "uvicorn-worker==0.4.0\nfastapi==0.165.0"


def test_files_of_variables_stay_out_of_the_image(tmp_path: Path) -> None:
    for name in ("app.env", ".env", ".env.local", ".env.example", "main.py"):
        (tmp_path / name).write_text("")
    prune(tmp_path, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env.example", "main.py"]
