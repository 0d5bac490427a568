"""The commands of docs/remote-host.md, with an engine that is reached by TCP in place of SSH."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.checkout import Checkout
from tests.support.notes import read_commands
from tests.support.stack import free_port
from tests.test_remote_engine import SOCKET, forward

pytestmark = pytest.mark.full


def test_the_page_starts_a_stack_at_a_remote_engine(checkout: Checkout, tmp_path: Path) -> None:
    if "DOCKER_HOST" in checkout.environment or not Path(SOCKET).exists():
        pytest.skip("the engine has no socket here")
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        threading.Thread(target=forward, args=(listener,), daemon=True).start()
        commands = read_commands("remote-host.md")
        engine = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        assert "ssh://deploy@shop.example" in commands
        script = commands.replace("ssh://deploy@shop.example", engine).replace(
            "make ", f"make PYTHON={sys.executable} "
        )
        environment = checkout.environment | {"DOCKER_CONFIG": str(tmp_path), "PROXY": "nginx"}
        done = subprocess.run(
            ["sh", "-euxc", script],
            cwd=checkout.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nginx     running, healthy" in done.stdout, done.stdout
    assert all(part.startswith(checkout.project) for part in checkout.left()), "make down left containers"
