"""What can be told from the files and the images: flags, twins, knobs, names, and that the docs say what is so."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from apps import serve
from stack import ROOT, proxies
from tests.support.engine import docker
from tests.support.stack import DEFAULT_PROXIES, IMAGES, PROXIES, StackUnderTest, server_image
from tools import claims, docs

SCRIPTS = sorted((ROOT / "apps/servers").glob("*/*.sh"))
COMMENTED = [
    path
    for folder in ("apps", *PROXIES, "postgres", "certs", "stack")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and "Checked by:" in path.read_text(errors="ignore")
]
TEST = r"\btest_\w+\b(?!\.py)"  # a test's name, not a file's
# A concern for which NGINX has a snippet and another proxy has none, and why.
WITHOUT_TWIN: dict[tuple[str, str], str] = {
    ("traefik", "timeouts"): "the client's are static: traefik.yaml; the application's are in upstream",
    ("traefik", "access-log"): "static: traefik.yaml",
    ("traefik", "limits"): "a body's is an option of buffering, the head's is static: traefik.yaml",
    ("traefik", "cache"): "the standard build has none",
}
# A file among the snippets that is no concern, and what it is.
NO_CONCERN = {
    ("traefik", "routes"): "what server.conf is to NGINX; Traefik reads one folder",
    ("haproxy", "known-hosts"): "what the default server is to NGINX; two frontends need the rule",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_flag_of_a_server_script_is_known_to_its_server(stack: StackUnderTest, script: Path) -> None:
    code = "\n".join(line for line in script.read_text().splitlines() if not line.startswith("#"))
    executable = re.search(r"^exec (\S+)", code, re.MULTILINE)
    assert executable, "a script ends in one exec line"
    if executable[1] == "python3":
        assert script.stem in ("wsgiref", "tornado"), "only these have no command line"
        return
    if executable[1] == "apache2":
        assert f"/{script.stem}.conf" in code, "its settings are in a file beside the script, which it judges itself"
        settings = serve.choose({"SERVER": script.stem}).environment()
        given = [word for pair in settings.items() for word in ("--env", "=".join(pair))]
        inside = f"/srv/{script.relative_to(ROOT)}"
        told = docker("run", "--rm", "--network", "none", *given, server_image(script.stem), "sh", inside, "-t")
        assert "Syntax OK" in told
        return
    flags = set(re.findall(r"(?<=\s)(--?[a-z][a-z0-9-]*)", code.partition("exec ")[2]))
    told = docker("run", "--rm", "--network", "none", f"{IMAGES}-app", executable[1], "--help")
    known = set(re.findall(r"--?[A-Za-z][A-Za-z0-9-]*", told))
    assert flags, "no flags found: the pattern is wrong"
    assert flags - known == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_flag_of_a_server_script_has_its_reason(script: Path) -> None:
    lines = script.read_text().splitlines()
    comments = "\n".join(line for line in lines if line.startswith("#"))
    explained = comments
    for other in re.findall(r"see (\S+\.sh)", comments):
        explained += "\n" + (script.parent / other).resolve().read_text()
    code = "\n".join(line for line in lines if not line.startswith("#")).partition("exec ")[2]
    obvious = {
        "--host",
        "--port",
        "--bind",
        "--workers",
        "--interface",
        "--worker-class",
        "-b",
        "-p",
        "-m",
        "--proxy-headers",
    }
    flags = set(re.findall(r"(?<=\s)(--?[a-z][a-z0-9-]*)", code)) - obvious
    assert {flag for flag in flags if flag not in explained} == set()
    assert (
        serve.facts(script)["title"]
        and serve.facts(script)["workers"]
        and serve.facts(script)["docs"].startswith("https://")
    )


def test_an_image_refuses_a_server_that_is_not_its_own(stack: StackUnderTest) -> None:
    for image, server in ((server_image("granian"), "mod_wsgi"), (server_image("mod_wsgi"), "granian")):
        told = docker("run", "--rm", "--network", "none", "--env", f"SERVER={server}", image, check=False)
        base = serve.choose({"SERVER": server}).base
        assert told == f"serve: SERVER={server} is not for this image: build the one with APP_BASE={base}"


def test_every_test_that_a_comment_names_exists() -> None:
    defined = claims.names_of_tests()
    assert len(COMMENTED) > 20, "the comments were not found"
    named = {name: path for path in COMMENTED for name in re.findall(TEST, path.read_text())}
    for path in (ROOT / "docs").rglob("*.md"):
        named |= dict.fromkeys(re.findall(TEST, path.read_text()), path)
    assert {name: str(path) for name, path in named.items() if name not in defined} == {}


def test_the_proxies_have_the_same_snippets() -> None:
    def concerns(proxy: str) -> set[str]:
        files = {path.stem for path in (ROOT / proxy / "snippets").iterdir() if path.is_file()}
        return files - {stem for name, stem in NO_CONCERN if name == proxy}

    differing = {(proxy, one) for proxy in PROXIES for one in concerns("nginx") ^ concerns(proxy)}
    assert differing == set(WITHOUT_TWIN)


def test_every_duty_that_a_proxy_lacks_has_its_test() -> None:
    assert {duty for _, duty in proxies.LACKS} <= proxies.DUTIES.keys()
    assert {proxy for proxy, _ in proxies.LACKS} <= set(PROXIES)
    marked = {
        (duty, test)
        for path in (ROOT / "tests").glob("test_*.py")
        for duty, test in re.findall(
            r'^@pytest.mark.duty\("(.+)"\)\n(?:@.*\n)*def (test_\w+)', path.read_text(), re.MULTILINE
        )
    }
    # One asks every proxy at once, and looks at the table itself.
    marked.add(("a time for the head", "test_a_client_that_stops_in_its_headers_is_let_go"))
    # These are claims: their test is asked of who has the duty, and another finds the lack.
    for duty, name in ((proxies.CACHE, "c04_caching"), (proxies.RATE_LIMIT, "c07_rate_limit")):
        claim = (ROOT / f"tests/claims/test_{name}.py").read_text()
        assert f"def {proxies.DUTIES[duty]}(" in claim
        assert "proxies.having(" in claim and "proxies.lacking(" in claim and "assert lacks(" in claim
        marked.add((duty, proxies.DUTIES[duty]))
    assert set(proxies.DUTIES.items()) <= marked
    assert {duty for duty, _ in marked} == proxies.DUTIES.keys()


def test_every_proxy_of_the_compose_file_has_its_folder(stack: StackUnderTest) -> None:
    assert set(stack.compose.proxies()) == set(PROXIES)
    assert set(stack.compose.default_proxies()) == set(DEFAULT_PROXIES)


def test_the_example_environment_explains_every_knob_with_its_default() -> None:
    example = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    compose = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", (ROOT / "compose.yaml").read_text()))
    compose["IMAGES"] = ""  # its default is another variable
    assert example.keys() - compose.keys() == {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "PROXY"}
    assert compose.keys() - example.keys() == set()
    told_by_serve = {"SERVER", "APP"}
    wrong = {name: (example[name], default) for name, default in compose.items() if example[name] != default}
    assert wrong.keys() == told_by_serve and all(example[name] == serve.DEFAULTS[name] for name in told_by_serve)


def test_nginx_accepts_its_running_configuration(stack: StackUnderTest) -> None:
    (one,) = stack.compose.containers("nginx")
    assert "test is successful" in docker("exec", one, "nginx", "-t")


def test_apache_accepts_its_running_configuration(stack: StackUnderTest) -> None:
    (one,) = stack.compose.containers("apache")
    assert "Syntax OK" in docker("exec", one, "start.sh", "-t")


def test_caddy_accepts_its_running_configuration(stack: StackUnderTest) -> None:
    (one,) = stack.compose.containers("caddy")
    said = docker("exec", one, "caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    assert "Valid configuration" in said
    files = docker("exec", one, "find", "/etc/caddy", "-type", "f").split()
    assert len(files) > 10
    for file in files:
        docker("exec", one, "caddy", "fmt", "--diff", file)


BREAKS = {
    "nothing": ("snippets/routes.yaml", "# nothing", "# nothing"),
    "a word that Traefik does not know": ("snippets/upstream.yaml", "idleConnTimeout", "idleConnTimeOuts"),
    "a middleware that is not there": ("snippets/routes.yaml", "again-read]", "agian-read]"),
    "a rule that cannot be read": ("snippets/routes.yaml", "Method(`GET`)", "Metod(`GET`)"),
    "a certificate that is not there": ("snippets/tls.yaml", "/certs/fullchain.pem", "/certs/nowhere.pem"),
    "a static word that it does not know": ("traefik.yaml", "graceTimeOut", "graceTimesOut"),
}


@pytest.mark.parametrize("wrong", BREAKS)
def test_traefik_judges_its_configuration(stack: StackUnderTest, tmp_path: Path, wrong: str) -> None:
    name, old, new = BREAKS[wrong]
    text = (ROOT / "traefik" / name).read_text()
    assert old in text or wrong == "nothing"
    (tmp_path / "changed").write_text(text.replace(old, new))
    (tmp_path / "changed").chmod(0o644)
    mount = f"{tmp_path}/changed:/etc/traefik/{name}:ro"
    command = ["run", "--rm", "--no-deps", "--no-TTY", "--volume", mount, "traefik"]
    done = stack.compose.run(*command, *stack.compose.check_command("traefik"), check=False)
    assert ("the configuration is valid" in done) == (wrong == "nothing"), done


def test_compose_accepts_the_file_without_any_setting() -> None:
    done = subprocess.run(
        ["docker", "compose", "--env-file", "/dev/null", "config", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("service", "server"),
    [("app", "granian"), ("app", "mod_wsgi"), *((name, "granian") for name in (*PROXIES, "certs"))],
)
def test_a_container_has_no_more_than_it_needs(stack: StackUnderTest, service: str, server: str) -> None:
    stack.serve(server, serve.servers()[server][0])
    (one,) = stack.compose.containers(service, include_stopped=True)
    host = json.loads(stack.compose.inspect(one, "{{json .HostConfig}}"))
    user = stack.compose.inspect(one, "{{.Config.User}}")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), f"user {user!r} is not numeric, or root"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PidsLimit"] == (1024 if service == "apache" else 256)  # it has a thread a request
    assert host["Memory"] > 0
    assert host["Privileged"] is False
    assert host["RestartPolicy"]["Name"] == ("no" if service == "certs" else "unless-stopped")
    if service != "certs":
        assert stack.compose.inspect(one, "{{.Config.StopTimeout}}") == "30"
        assert stack.compose.inspect(one, "{{json .Config.Healthcheck.Test}}") != "null"
        # It is so in fact, too: nothing can be written, and no capability is left.
        status = docker("exec", one, "cat", "/proc/1/status")
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert docker("exec", one, "sh", "-c", "touch /x 2>&1 || true").endswith("Read-only file system")


@pytest.mark.parametrize("service", ["app", *PROXIES])
def test_a_health_check_passes_on_200_and_fails_on_anything_else(stack: StackUnderTest, service: str) -> None:
    stack.serve("granian", "asgi")
    (one,) = stack.compose.containers(service)
    check = json.loads(stack.compose.inspect(one, "{{json .Config.Healthcheck.Test}}"))[1:]
    assert subprocess.run(["docker", "exec", one, *check], check=False).returncode == 0
    if service == "app":
        for path in ("/status/503", "/status/204", "/nowhere"):
            command = ["docker", "exec", "--env", f"HEALTH_PATH={path}", one, *check]
            assert subprocess.run(command, capture_output=True, check=False).returncode == 1, path
    else:
        script = docker("exec", one, "cat", check[0])
        other = script.replace("/healthz", "/elsewhere")
        assert other != script
        done = subprocess.run(
            ["docker", "exec", one, script.splitlines()[0][2:], "-c", other], capture_output=True, check=False
        )
        assert done.returncode != 0


@pytest.mark.parametrize(("proxy", "signal"), [("nginx", "SIGQUIT"), ("apache", "SIGWINCH"), ("haproxy", "SIGUSR1")])
def test_the_stop_signal_is_the_graceful_one(stack: StackUnderTest, proxy: str, signal: str) -> None:
    (one,) = stack.compose.containers(proxy)
    assert stack.compose.inspect(one, "{{.Config.StopSignal}}") == signal


@pytest.mark.parametrize("name", docs.PARTS)
def test_the_generated_parts_of_the_docs_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == docs.render(name), "run `make docs`"


def test_nothing_names_a_package_index() -> None:
    hosts = "|".join(
        ("py" + "pi.org", "python" + "hosted.org", "deb" + ".debian.org", "registry.np" + "mjs", "--index" + "-url")
    )
    listed = subprocess.run(["git", "grep", "-nIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert listed.stdout == "" and listed.returncode == 1
