"""`make outdated`: real pip, with wheels in a folder in the place of a package index."""

import sys
import zipfile
from pathlib import Path

import pytest

from stack import Problem
from tools import outdated

PIP = (sys.executable, "-m", "pip")


def make_wheel(folder: Path, name: str, version: str, *links: str) -> None:
    """Writes a wheel that holds only its metadata."""
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Project-URL: {link}" for link in links)]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(
            f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{name}-{version}.dist-info/RECORD", "")


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of requirements, and an index with newer releases."""
    folder, index = tmp_path / "requirements", tmp_path / "index"
    folder.mkdir()
    index.mkdir()
    for version in ("1.0", "1.2", "2.0"):
        make_wheel(
            index, "shop_core", version, "Source, https://shop.example/code", "Change Log, https://shop.example/changes"
        )
        make_wheel(index, "basket", version, "Repository, https://basket.example/code")
        make_wheel(index, "current", version)
    (folder / "app.in").write_text("# what runs\nShop.Core[fast]  # with its extra\nbasket<2\ncurrent\n")
    (folder / "app.txt").write_text(
        "shop-core==1.0 \\\n    --hash=sha256:00\nbasket==1.0 ; python_version > '3'\ncurrent==2.0\ndeeper==1.0\n"
    )
    (folder / "dev.in").write_text("-c app.txt\nsources-only\n")
    (folder / "dev.txt").write_text("shop-core==1.2\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return folder


def test_newer_releases_are_listed_with_their_changelogs(
    requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outdated.main(PIP, requirements)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [
        ["basket", "1.0", "→", "1.2", "https://basket.example/code"],  # within the bound of the .in file
        ["shop-core", "1.0", "1.2", "→", "2.0", "https://shop.example/changes"],  # two files, two pins
    ]
    assert lines[2][:5] == ["outdated:", "2", "of", "4", "packages"]
    assert lines[3][-1] == "sources-only"
    images = {line[0].partition(":")[0] for line in lines[5:]}
    assert images == {"python", "nginx", "caddy", "httpd", "traefik", "haproxy", "postgres"}


def test_without_an_index_one_line_says_so(requirements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Problem, match="the package index does not answer, so newer releases are not known here"):
        outdated.main(PIP, requirements)
