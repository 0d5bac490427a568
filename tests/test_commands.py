"""The make commands as a newcomer types them, in a checkout of their own: what they print, and what they leave."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT, Problem, engine, images
from stack.build import build, remove_images
from stack.compose import Compose
from stack.waiting import wait_until
from tests.support.engine import docker
from tests.support.stack import DEFAULT_PROXIES, IMAGES, PREFIX, PROXIES, free_port, own_environment


class Checkout:
    """A copy of the files that git would clone, with a project name and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.split():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        own = own_environment(f"commands-{os.getpid()}")
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "MAKE", "MFLAGS"))
        }
        self.environment |= own

    @property
    def project(self) -> str:
        """The project's name."""
        return self.environment["COMPOSE_PROJECT_NAME"]

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs make; both streams as text."""
        command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip

    def run_stack(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of `stack` that is no make target."""
        words = [sys.executable, "-m", "stack", command]
        return subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)

    def left(self) -> list[str]:
        """The containers, networks and volumes of the project."""
        label = f"label=com.docker.compose.project={self.project}"
        listing = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [
            one
            for kind in listing
            for one in (engine.output("docker", *kind, "--quiet", "--filter", label) or "").split()
        ]


@pytest.fixture(scope="module")
def module_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    one = Checkout(tmp_path_factory.mktemp("checkout"))
    try:
        built = one.run_stack("build")
        assert built.returncode == 0, built.stderr
        yield one
    finally:
        one.make("down")


@pytest.fixture
def checkout(module_checkout: Checkout) -> Checkout:
    """The checkout with nothing running."""
    if module_checkout.left():
        done = module_checkout.make("down")
        assert done.returncode == 0, done.stderr
    assert module_checkout.left() == []
    return module_checkout


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a failed command; make's own last word is not counted."""
    assert done.returncode != 0, done.stdout
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert len(lines) == 1, f"not one line: {done.stderr}"
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("SERVER=nope", "SERVER=nope is not a server here: choose daphne, granian, gunicorn"),
        ("SERVER=../granian", "is not a server here"),
        ("INTERFACE=cgi", "INTERFACE=cgi is not an interface: choose asgi, wsgi"),
        ("SERVER=wsgiref INTERFACE=asgi", "INTERFACE=asgi is not one that wsgiref serves here: choose wsgi"),
        ("APP=nope", "APP=nope is not an application for granian here: choose bare, blacksheep, bottle, django,"),
        ("APP=flask INTERFACE=asgi", "APP=flask is not an asgi application here: choose bare, blacksheep, django,"),
        ("WORKERS=0", "WORKERS=0 is not a number that can be used: give a whole number from 1 to 256"),
        ("WORKERS=abc", "WORKERS=abc is not a number that can be used: give a whole number from 1 to 256"),
        ("WORKERS=-1", "WORKERS=-1 is not"),
        ("WORKERS=1.5", "WORKERS=1.5 is not"),
        ("THREADS=none", "THREADS=none is not"),
        ("KEEPALIVE=90", "KEEPALIVE=90 is not a number that can be used: give a whole number from 16 to 60"),
        ("KEEPALIVE=5", "KEEPALIVE=5 is not a number that can be used: give a whole number from 16 to 60"),
        ("GRACE=30", "GRACE=30 is not under the 30 s after which Docker kills"),
        ("SEVER=uvicorn", "SEVER is not a setting: did you mean SERVER?"),
        ("HEALTH_PATH=ready", "HEALTH_PATH=ready is not a path: begin it with /"),
        ("DOMAIN=bad_name!", "DOMAIN holds bad_name!, which is not a host name"),
        ("NGINX_HTTPS_PORT=99999", "NGINX_HTTPS_PORT=99999 is not a port: give a number from 1 to 65535"),
        ("BIND=192.0.2.1", "BIND=192.0.2.1 is not an address of this machine"),
        ("CADDY_HTTP_PORT=8123 NGINX_HTTP_PORT=8123", "CADDY_HTTP_PORT and NGINX_HTTP_PORT are both 8123"),
        ("CERTS=/nonexistent", "CERTS=/nonexistent is not a folder"),
        ("SERVER=daphne WORKERS=2", "WORKERS=2 cannot be: daphne is one process"),
        ("ADMIN_USER=ana", "ADMIN_USER and ADMIN_PASSWORD_HASH make one account: give both, or neither"),
        ("ADMIN_USER=ana ADMIN_PASSWORD_HASH=secret", "ADMIN_PASSWORD_HASH=secret is not a bcrypt hash"),
        ("ADMIN_ALLOW=10.0.0.1/8", "ADMIN_ALLOW holds 10.0.0.1/8, which is not an address or network"),
        ("LOGIN_RATE=0", "LOGIN_RATE=0 is not a number of requests per second"),
        ("PROXY=iis", "PROXY=iis is not a proxy here: choose"),
        ("COMPOSE_PROFILES=mysql", "COMPOSE_PROFILES=mysql is not a profile here: choose"),
        ("COMPOSE_PROFILES=postgres", "POSTGRES_PASSWORD is empty"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(checkout: Checkout, setting: str, said: str) -> None:
    line = complaint(checkout.make("up", *setting.split()))
    assert line.startswith("up: ") and said in line
    assert checkout.left() == []


@pytest.mark.parametrize("key", ["NGINX_HTTPS_PORT", "CADDY_HTTP_PORT"])
def test_a_port_in_use_is_one_clear_line(checkout: Checkout, key: str) -> None:
    port = int(checkout.environment[key])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        line = complaint(checkout.make("up"))
    assert line.startswith(f"up: port {port} (") and f"set {key} to another" in line
    assert checkout.left() == []


def test_a_udp_port_in_use_is_one_clear_line(checkout: Checkout) -> None:
    port = int(checkout.environment["NGINX_HTTPS_PORT"])
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        line = complaint(checkout.make("up"))
    assert f"port {port} (nginx, udp)" in line


@pytest.mark.parametrize("target", ["up", "down", "ps", "trust", "images"])
def test_without_an_engine_it_says_so_and_names_the_way(checkout: Checkout, target: str) -> None:
    line = complaint(checkout.make(target, DOCKER_HOST="unix:///nonexistent/docker.sock"))
    assert line.startswith(f"{target}: a Docker engine that answers") and "run `make engine`" in line


def test_without_a_client_it_says_so_and_names_the_way(checkout: Checkout, tmp_path: Path) -> None:
    for tool in ("make", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    line = complaint(checkout.make("up", PATH=str(tmp_path)))
    assert "the docker client" in line and "run `make engine`" in line


def test_make_engine_does_nothing_where_it_works(checkout: Checkout) -> None:
    done = checkout.make("engine")
    assert done.returncode == 0 and re.fullmatch(
        r"engine: Docker \S+, Compose \S+, buildx \S+ - nothing to do\n", done.stdout
    )


@pytest.mark.parametrize(
    ("system", "user", "said"),
    [
        ("fedora", 0, "this is not Debian or Ubuntu: install Docker Engine 20.10 or later with its Compose"),
        ("ubuntu", 1000, "run `sudo make engine`"),
    ],
)
def test_make_engine_says_what_to_install_where_it_cannot(
    monkeypatch: pytest.MonkeyPatch, system: str, user: int, said: str
) -> None:
    # What the machine is, is told to it; nothing here is installed or asked of the engine.
    monkeypatch.setattr(engine, "missing", lambda: ["Docker Compose v2"])
    monkeypatch.setattr(engine, "os_release", lambda: {"ID": system})
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(Problem) as problem:
        engine.install()
    assert "Docker Compose v2 not found" in str(problem.value) and said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_help_lists_every_target(checkout: Checkout) -> None:
    told = checkout.make("help").stdout
    targets = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(targets) > 10
    for target in targets:
        assert re.search(rf"^  {target}\s+\S", told, re.MULTILINE), target
    assert checkout.make().stdout == told


def shape(text: str) -> str:
    """An output without what differs from run to run: ports, and the note on stand-ins."""
    return re.sub(r"   \(stack-base:\w+\)", "", re.sub(r":\d{4,5}\b", ":PORT", text)).strip()


def test_up_swap_trust_and_down_do_what_the_readme_shows(checkout: Checkout) -> None:
    started = checkout.make("up", "SERVER=granian")
    assert started.returncode == 0, started.stderr
    shown = re.search(r"<!-- up -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown
    assert shape(started.stdout) == shape(shown[1])

    trusted = checkout.make("trust")
    assert trusted.returncode == 0 and "curl --cacert ca.pem" in trusted.stdout
    assert "BEGIN CERTIFICATE" in (checkout.folder / "ca.pem").read_text()
    assert checkout.make("ps").stdout.count("running, ") == 3

    proxies = {one for name in ("nginx", "caddy") for one in containers(checkout, name)}
    swapped = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=flask", "WORKERS=1")
    assert swapped.returncode == 0, swapped.stderr
    assert re.search(r"server +gunicorn \d", swapped.stdout) and re.search(r"app +flask", swapped.stdout)
    assert proxies == {one for name in ("nginx", "caddy") for one in containers(checkout, name)}, "a proxy was replaced"

    # A wrong setting, and a configuration that a proxy refuses, change nothing of what runs.
    before = checkout.left()
    assert "SERVER=nope" in complaint(checkout.make("up", "SERVER=nope"))
    conf = checkout.folder / "nginx/snippets/limits.conf"
    right = conf.read_text()
    try:
        conf.write_text(right + "client_body_in_file_only ten;\n")
        refused = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=flask", "WORKERS=1")
    finally:
        conf.write_text(right)
    assert refused.returncode != 0
    assert "nginx does not accept its configuration (see above): nothing was changed" in refused.stderr
    assert "invalid value" in refused.stderr
    assert sorted(checkout.left()) == sorted(before)

    assert checkout.make("down").returncode == 0
    assert checkout.left() == []


def containers(checkout: Checkout, service: str) -> list[str]:
    labels = (f"label=com.docker.compose.project={checkout.project}", f"label=com.docker.compose.service={service}")
    return (engine.output("docker", "ps", "--quiet", "--filter", labels[0], "--filter", labels[1]) or "").split()


def test_a_typo_in_the_env_file_is_refused_and_a_comment_is_none(checkout: Checkout) -> None:
    file = checkout.folder / ".env"
    try:
        file.write_text("SEVER=uvicorn\n")
        assert "SEVER in .env is not a setting: did you mean SERVER?" in complaint(checkout.make("up"))
        file.write_text("SERVER=nope   # not yet\nMY_OWN=1\n")
        assert "SERVER=nope is not a server here" in complaint(checkout.make("up"))
    finally:
        file.unlink()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("ONYL=C01", "ONYL is not a setting: did you mean ONLY?"),
        ("ONLY=C99", "ONLY=C99 is not a claim here"),
        ("ONLY=", "ONLY is empty: name claims"),
        ("ONLY=C12 PINS=gunicorn==23.0.0", "PINS is for C02, C18, C19, not for C12"),
        ("PINS=gunicorn==23.0.0", "PINS is for C02, C18, C19, not for all"),
        ("ONLY=C18 PINS=gunicorn=23.0.0", "PINS=gunicorn=23.0.0 is not a release: give name==version"),
    ],
)
def test_a_wrong_word_for_the_claims_measures_nothing(words: str, problem: str) -> None:
    given = dict(word.split("=", 1) for word in words.split())
    environment = os.environ | given | {"MAKEFLAGS": f" -- {words}"}
    command = [sys.executable, "-m", "stack", "claims"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert problem in complaint(done)


def test_the_page_of_the_bench_loads_the_running_stack_and_ends_with_ctrl_c(checkout: Checkout) -> None:
    assert complaint(checkout.make("bench-ui")) == (
        "bench-ui: the stack is not up: no app container runs; `make up` starts it"
    )
    assert checkout.make("up", "SERVER=granian", "PROXY=caddy").returncode == 0
    running, port = checkout.left(), free_port()
    page = f"http://127.0.0.1:{port}"
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", "bench-ui", f"UI_PORT={port}"]
    process = subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout
        said = next(line for line in process.stdout if "Ctrl-C" in line or "Error" in line)
        assert said == f"bench-ui: {page} asks https://caddy:8443; Ctrl-C ends it\n"
        with urllib.request.urlopen(page) as answer:
            shown = answer.read().decode()
        assert "Hello" in shown and "Wait100" in shown  # the classes to pick from
        wanted = b"user_count=2&spawn_rate=2&user_classes=Hello"
        with urllib.request.urlopen(f"{page}/swarm", wanted) as answer:
            assert json.load(answer)["success"]
        good: dict[str, int] = {}
        while not good.get("num_requests"):
            assert process.poll() is None
            with urllib.request.urlopen(f"{page}/stats/requests") as answer:
                good = next((one for one in json.load(answer)["stats"] if one["name"] == "/"), {})
        assert good["num_failures"] == 0
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to make and all that it runs
        rest = process.communicate(timeout=60)[0]
    assert "bench-ui: ended" in rest and "Traceback" not in rest
    assert checkout.left() == running
    wrong = checkout.make("bench-ui", "UI_PORT=http")
    assert complaint(wrong) == "bench-ui: UI_PORT=http is not a port: give a number from 1 to 65535"


def test_one_proxy_alone(checkout: Checkout) -> None:
    done = checkout.make("up", "PROXY=caddy", "SERVER=uvicorn")
    assert done.returncode == 0, done.stderr
    assert "caddy " in done.stdout and "nginx " not in done.stdout
    assert containers(checkout, "caddy") and not containers(checkout, "nginx")
    # Another one named takes its place.
    assert checkout.make("up", "PROXY=nginx", "SERVER=uvicorn").returncode == 0
    assert containers(checkout, "nginx") and not containers(checkout, "caddy")


@pytest.mark.parametrize("proxy", [name for name in PROXIES if name not in DEFAULT_PROXIES])
def test_a_proxy_with_a_profile_runs_where_it_is_asked_for(checkout: Checkout, proxy: str) -> None:
    started = checkout.make("up", f"PROXY={proxy}", "SERVER=uvicorn")
    assert started.returncode == 0, started.stderr
    port = checkout.environment[f"{proxy.upper()}_HTTPS_PORT"]
    assert re.search(rf"^  {proxy} +https://localhost:{port} ", started.stdout, re.MULTILINE), started.stdout
    assert not containers(checkout, "nginx") and not containers(checkout, "caddy")
    before = containers(checkout, proxy)
    swapped = checkout.make("up", f"PROXY={proxy}", "SERVER=granian")
    assert swapped.returncode == 0 and re.search(r"server +granian \d", swapped.stdout), swapped.stderr
    assert containers(checkout, proxy) == before != [], "the proxy was replaced"
    assert checkout.make("trust").returncode == 0
    shown = checkout.make("ps").stdout
    assert re.search(rf"^{proxy} .*running.*:{port}$", shown, re.MULTILINE), shown
    # Without its name, the two of always beside it: it is left alone, but it has every new setting.
    assert checkout.make("up", "SERVER=granian").returncode == 0
    assert containers(checkout, "nginx") and containers(checkout, "caddy") and containers(checkout, proxy) == before
    assert checkout.make("up", "SERVER=granian", "ADMIN_ALLOW=192.0.2.0/24").returncode == 0
    (one,) = containers(checkout, proxy)
    assert "ADMIN_ALLOW=192.0.2.0/24" in docker("inspect", "--format", "{{json .Config.Env}}", one)
    assert checkout.make("down").returncode == 0
    assert checkout.left() == []


def test_postgresql_runs_where_its_profile_asks_for_it(checkout: Checkout) -> None:
    def up(password: str) -> str:
        (checkout.folder / ".env").write_text(
            f"COMPOSE_PROFILES=postgres\nPOSTGRES_PASSWORD='{password}'\nPROXY=caddy\n"
        )
        done = checkout.make("up")
        assert done.returncode == 0, done.stderr
        assert re.search(r"^  postgres +for the app", done.stdout, re.MULTILINE), done.stdout
        (one,) = containers(checkout, "postgres")
        return one

    def ask(one: str, sql: str, *user: str) -> str:
        return docker("exec", *user, one, "psql", "--no-psqlrc", "-qAt", "-c", sql, check=False)

    def as_app(password: str) -> tuple[str, ...]:
        words = {"PGHOST": "127.0.0.1", "PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": password}
        return tuple(word for pair in words.items() for word in ("--env", "=".join(pair)))

    try:
        one = up("a $first")
        host = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", one))
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["PidsLimit"]) == (True, ["ALL"], 256)
        assert host["Memory"] > 0 and "no-new-privileges:true" in host["SecurityOpt"] and not host["PortBindings"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", docker("inspect", "--format", "{{.Config.User}}", one))
        assert docker("inspect", "--format", "{{.Config.StopSignal}}", one) == "SIGINT"
        networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", one))
        assert list(networks) == [f"{checkout.project}_backend"]

        # The application is told where it is and as whom, and reaches it.
        (app,) = containers(checkout, "app")
        reach = (
            "import os, socket as s; s.create_connection((os.environ['PGHOST'], 5432)); print(os.environ['PGPASSWORD'])"
        )
        assert docker("exec", app, "python3", "-c", reach) == "a $first"
        assert ask(one, "CREATE TABLE kept AS SELECT 42", *as_app("a $first")) == ""
        assert "password authentication failed" in ask(one, "SELECT 1", *as_app("other"))
        assert "password authentication failed" in ask(one, "SELECT 1", *as_app("a $first"), "--env", "PGUSER=postgres")
        assert ask(one, "SELECT 1", "--env", "PGUSER=postgres") == "1", "the superuser cannot come from inside"

        # Another password holds from the next start on, and what was written is there.
        two = up("second")
        assert two != one
        assert ask(two, "TABLE kept", *as_app("second")) == "42"
        assert "password authentication failed" in ask(two, "SELECT 1", *as_app("a $first"))
        docker("stop", two)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", two) == "0"
        assert "database system is shut down" in docker("logs", two)
    finally:
        (checkout.folder / ".env").unlink()
    assert checkout.make("down").returncode == 0
    assert checkout.left() == []


MINE = '''"""An application of one's own."""

from apps import gateway


async def site(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"mine\\n"})


app = gateway.Asgi(site)
'''


def test_the_files_that_the_readme_names_are_enough(checkout: Checkout, tmp_path: Path) -> None:
    named = re.search(r"<!-- copy -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert named
    site = Checkout(tmp_path / "all")
    own = tmp_path / "site"
    for name in named[1].split():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (site.folder / name).is_dir() else shutil.copy2)(site.folder / name, own / name)
    (own / "apps/asgi").mkdir()
    (own / "apps/asgi/mine.py").write_text(MINE)
    site.folder = own
    site.environment |= {"COMPOSE_PROJECT_NAME": checkout.project, "IMAGES": f"{IMAGES}-site"}
    (own / ".env").write_text("SERVER=uvicorn\nAPP=mine\nHEALTH_PATH=/\nDOMAIN=shop.example www.shop.example\n")
    try:
        done = site.make("up", "PROXY=caddy")
        assert done.returncode == 0, done.stderr
        assert re.search(r"app +mine", done.stdout) and "https://shop.example:" in done.stdout
        assert site.make("trust").returncode == 0
    finally:
        assert site.make("down").returncode == 0
        images = [f"{IMAGES}-site-{name}" for name in ("app", "certs", *PROXIES)]
        made = {name for name in images if engine.output("docker", "image", "inspect", name)}
        docker("image", "rm", *made, check=False)
    wanted = {f"{IMAGES}-site-{name}" for name in ("app", "certs", "caddy")}
    assert made == wanted, "what was not asked for was built"


def test_plain_compose_up_runs_the_same_stack(checkout: Checkout) -> None:
    done = subprocess.run(
        ["docker", "compose", "up", "--detach", "--wait", "--build"],
        cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # --wait counts the certificates' container, which ends as it should, as one that does not run.
    assert "unhealthy" not in done.stderr, done.stderr
    assert checkout.make("trust").returncode == 0
    context = ssl.create_default_context(cafile=str(checkout.folder / "ca.pem"))
    for key in ("NGINX_HTTPS_PORT", "CADDY_HTTPS_PORT"):
        with urllib.request.urlopen(
            f"https://localhost:{checkout.environment[key]}/process", context=context
        ) as answer:
            assert '"server":"granian"' in answer.read().decode()


def test_a_first_start_that_is_interrupted_leaves_nothing(checkout: Checkout) -> None:
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", "up"]
    process = subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert wait_until(checkout.left, 60), "it did not begin"
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to make and all that it runs
    said, _ = process.communicate(timeout=90)
    assert process.returncode != 0
    assert "Traceback" not in said and "interrupted" in said
    assert checkout.left() == []


def test_an_application_that_does_not_start_shows_its_log_and_leaves_nothing(checkout: Checkout) -> None:
    (checkout.folder / "apps/wsgi/broken.py").write_text('"""Broken."""\n\nraise RuntimeError("no such table")\n')
    try:
        done = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=broken")
    finally:
        (checkout.folder / "apps/wsgi/broken.py").unlink()
    assert done.returncode != 0
    assert "no such table" in done.stderr
    assert "up: the app does not stay up: its log is above" in done.stderr
    assert checkout.left() == []


def test_a_second_checkout_of_the_same_name_is_told_so(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.make("up", "PROXY=nginx").returncode == 0
    other = Checkout(tmp_path)
    other.environment |= {"COMPOSE_PROJECT_NAME": checkout.project}
    for target in ("up", "down"):
        line = complaint(other.make(target))
        assert str(checkout.folder) in line
    assert containers(checkout, "nginx"), "the other checkout's stack was touched"


def test_the_tests_leave_nothing_when_interrupted(tmp_path: Path) -> None:
    # A test run of its own, on one test, interrupted while its stack runs.
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_proxies.py", "-k", "alt_svc"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    project = f"{PREFIX}-shared-{process.pid}"
    label = f"label=com.docker.compose.project={project}"

    def runs() -> str | None:
        return engine.output("docker", "ps", "--quiet", "--filter", label)

    assert wait_until(runs, 60), "its stack did not start"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=90)
    assert process.returncode != 0
    for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        assert engine.output("docker", *kind, "--quiet", "--filter", label) == ""


def test_an_image_that_was_replaced_is_removed_and_nobody_elses() -> None:
    mine, other = f"{PREFIX}-images-{os.getpid()}", f"{PREFIX}-others-{os.getpid()}"

    def made(project: str, content: str) -> str:
        # An image of one empty layer; the second of a name leaves the first without one, as a new build does.
        change = ["--change", f"LABEL com.docker.compose.project={project}", "--message", content]
        command = ["docker", "import", *change, "-", f"{project}:latest"]
        done = subprocess.run(command, input=b"\0" * 10240, capture_output=True, check=True)
        return done.stdout.decode().strip()

    ones = [made(project, content) for project in (mine, other) for content in ("old", "new")]
    assert len(set(ones)) == 4
    assert remove_images(mine, "dangling=true") == (1, 0)
    assert [images.exists(one) for one in ones] == [False, True, True, True]
    assert remove_images(mine) == (1, 0)
    assert remove_images(other) == (2, 0)


def test_every_run_of_the_tests_has_the_same_images(checkout: Checkout) -> None:
    """An image of a name of each run's own would be a new one each time, and the old one would stay for ever."""
    tag = f"{IMAGES}-nginx"
    before = docker("image", "inspect", "--format", "{{.Id}}", tag)
    for name in ("one", "another"):
        build(Compose(checkout.environment | {"COMPOSE_PROJECT_NAME": f"{PREFIX}-{name}-{os.getpid()}"}), ["nginx"])
        assert docker("image", "inspect", "--format", "{{.Id}}", tag) == before


def test_two_starts_a_moment_apart_are_one_stack(checkout: Checkout) -> None:
    first = checkout.make("up", "PROXY=nginx")
    second = checkout.make("up", "PROXY=nginx")
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert len(containers(checkout, "app")) == 1
