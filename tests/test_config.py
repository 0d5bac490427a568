"""What the files and the images show: flags, snippets, settings, names, and whether the docs are up to date."""

import re
import subprocess
from pathlib import Path

import pytest

from apps.runtime import serve
from stack import ROOT, own_app, proxies
from tests.support.engine import exec_in, exec_status, inspect, run_once
from tests.support.stack import DEFAULT_PROXIES, IMAGES, PROXIES, StackUnderTest, server_image
from tools import claims, docs

SCRIPTS = sorted((ROOT / "apps/servers").glob("*/*.sh"))
COMMENTED = [
    path
    for folder in ("apps", *PROXIES, "postgres", "certs", "stack")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and "Checked by:" in path.read_text(errors="ignore")
]
TEST = r"\btest_\w+\b(?!\.py)"  # the name of a test, not of a file
# A concern for which NGINX has a snippet and another proxy has no snippet, and why.
WITHOUT_SNIPPET: dict[tuple[str, str], str] = {
    ("traefik", "timeouts"): "the client's are in the static traefik.yaml, the application's in upstream",
    ("traefik", "access-log"): "in the static traefik.yaml",
    ("traefik", "limits"): "the body's is an option of buffering, the head's is in the static traefik.yaml",
    ("traefik", "cache"): "the standard build has no cache",
    ("traefik", "files"): "Traefik serves no files",
}
# A file among the snippets that belongs to no concern, and what it is.
NO_CONCERN = {
    ("traefik", "routes"): "what server.conf is to NGINX, because Traefik reads one folder",
    ("haproxy", "known-hosts"): "what the default server is to NGINX",
}
# Flags that need no reason.
OBVIOUS = {
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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_flag_of_a_server_script_is_known_to_its_server(stack: StackUnderTest, script: Path) -> None:
    code = "\n".join(line for line in script.read_text().splitlines() if not line.startswith("#"))
    executable = re.search(r"^exec (\S+)", code, re.MULTILINE)
    assert executable, "a script ends in one exec line"
    if executable[1] == "python3":
        assert script.stem in ("wsgiref", "tornado"), "only these have no command line"
        return
    if executable[1] == "apache2":
        assert f"/{script.stem}.conf" in code, (
            "the settings are in a file beside the script, which Apache checks itself"
        )
        assert "Syntax OK" in check_apache(script)
        return
    flags = set(re.findall(r"(?<=\s)(--?[a-z][a-z0-9-]*)", code.partition("exec ")[2]))
    help_text = run_once(f"{IMAGES}-app", executable[1], "--help", network_mode="none")
    accepted = set(re.findall(r"--?[A-Za-z][A-Za-z0-9-]*", help_text))
    assert flags, "no flags were read: the pattern is wrong"
    assert flags - accepted == set()


def check_apache(script: Path) -> str:
    """What Apache says about the configuration of mod_wsgi that a script makes."""
    environment = serve.choose({"SERVER": script.stem}).environment()
    inside = f"/srv/{script.relative_to(ROOT)}"
    return run_once(server_image(script.stem), "sh", inside, "-t", network_mode="none", environment=environment)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_flag_of_a_server_script_has_its_reason(script: Path) -> None:
    lines = script.read_text().splitlines()
    explained = "\n".join(line for line in lines if line.startswith("#"))
    for other in re.findall(r"see (\S+\.sh)", explained):
        explained += "\n" + (script.parent / other).resolve().read_text()
    code = "\n".join(line for line in lines if not line.startswith("#")).partition("exec ")[2]
    flags = set(re.findall(r"(?<=\s)(--?[a-z][a-z0-9-]*)", code)) - OBVIOUS
    assert {flag for flag in flags if flag not in explained} == set()
    facts = serve.facts(script)
    assert facts["title"] and facts["workers"] and facts["docs"].startswith("https://")


def test_an_image_refuses_a_server_that_is_not_its_own(stack: StackUnderTest) -> None:
    for image, server in ((server_image("granian"), "mod_wsgi"), (server_image("mod_wsgi"), "granian")):
        output = run_once(image, check=False, network_mode="none", environment={"SERVER": server})
        base = serve.choose({"SERVER": server}).base
        assert output == f"serve: SERVER={server} is not for this image: build the one with APP_BASE={base}"


def test_every_test_that_a_comment_names_exists() -> None:
    defined = claims.names_of_tests()
    assert len(COMMENTED) > 20, "the comments were not found"
    names = {name: path for path in COMMENTED for name in re.findall(TEST, path.read_text())}
    for path in (ROOT / "docs").rglob("*.md"):
        names |= dict.fromkeys(re.findall(TEST, path.read_text()), path)
    assert {name: str(path) for name, path in names.items() if name not in defined} == {}


def test_the_proxies_have_the_same_snippets() -> None:
    def concerns(proxy: str) -> set[str]:
        files = {path.stem for path in (ROOT / proxy / "snippets").iterdir() if path.is_file()}
        return files - {stem for name, stem in NO_CONCERN if name == proxy}

    differences = {(proxy, concern) for proxy in PROXIES for concern in concerns("nginx") ^ concerns(proxy)}
    assert differences == set(WITHOUT_SNIPPET)


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
    # This test asks every proxy at once, and reads the table itself.
    marked.add(("a time for the head", "test_a_client_that_stops_in_its_headers_is_let_go"))
    # Claims show these duties. One test asks the proxies that have the duty, and another test shows the lack.
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
    compose = dict(re.findall(r"\$\{([A-Z_]+):?-([^}]*)\}", (ROOT / "compose.yaml").read_text()))
    # The default of IMAGES, CADDY_TLS, PUBLIC_PORT and POSTGRES_LOGIN_PASSWORD is another variable.
    compose |= {"IMAGES": "", "APP_EGRESS": "no", "CADDY_TLS": "", "PUBLIC_PORT": "", "POSTGRES_LOGIN_PASSWORD": ""}
    compose["MEDIA_DIR"] = ""  # an own application's; the mount has a place in any case
    for name in own_app.COMPUTED:
        compose.pop(name, None)
    assert example.keys() - compose.keys() == {
        *("COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "PROXY", "STAND_INS", "START_TIMEOUT", "APP_DIR", "APP_RELEASE"),
    }
    assert compose.keys() - example.keys() == set()
    from_serve = {"SERVER", "APP"}
    differences = {name: (example[name], default) for name, default in compose.items() if example[name] != default}
    assert differences.keys() == from_serve and all(example[name] == serve.DEFAULTS[name] for name in from_serve)


def test_nginx_accepts_its_running_configuration(stack: StackUnderTest) -> None:
    assert "test is successful" in exec_in(stack.container("nginx"), "nginx", "-t")


@pytest.mark.full
def test_apache_accepts_its_running_configuration(stack: StackUnderTest) -> None:
    assert "Syntax OK" in exec_in(stack.container("apache"), "start.sh", "-t")


def test_caddy_accepts_its_running_configuration(stack: StackUnderTest) -> None:
    caddy = stack.container("caddy")
    command = ["caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
    assert "Valid configuration" in exec_in(caddy, *command)
    files = exec_in(caddy, "find", "/etc/caddy", "-type", "f").split()
    assert len(files) > 10
    for file in files:
        exec_in(caddy, "caddy", "fmt", "--diff", file)


# Mistakes in Traefik's files: the file, the right text, and the wrong text. The first is no mistake.
BREAKS = {
    "nothing": ("snippets/routes.yaml", "# nothing", "# nothing"),
    "a word that Traefik does not know": ("snippets/upstream.yaml", "idleConnTimeout", "idleConnTimeOuts"),
    "a middleware that is not there": ("snippets/routes.yaml", "[no-upgrade, hold,", "[no-upgrade, hodl,"),
    "a rule that cannot be read": ("snippets/routes.yaml", "Method(`GET`)", "Metod(`GET`)"),
    "a certificate that is not there": ("snippets/tls.yaml", "/certs/fullchain.pem", "/certs/nowhere.pem"),
    "a static word that it does not know": ("traefik.yaml", "graceTimeOut", "graceTimesOut"),
}


@pytest.mark.full
@pytest.mark.parametrize("wrong", BREAKS)
def test_traefik_judges_its_configuration(stack: StackUnderTest, tmp_path: Path, wrong: str) -> None:
    name, old, new = BREAKS[wrong]
    text = (ROOT / "traefik" / name).read_text()
    assert old in text or wrong == "nothing"
    (tmp_path / "changed").write_text(text.replace(old, new))
    (tmp_path / "changed").chmod(0o644)
    mount = f"{tmp_path}/changed:/etc/traefik/{name}:ro"
    command = ["run", "--rm", "--no-deps", "--no-TTY", "--volume", mount, "traefik"]
    output = stack.compose.run(*command, *stack.compose.check_command("traefik"), check=False)
    assert ("the configuration is valid" in output) == (wrong == "nothing"), output


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
    container = stack.container(service)
    details = inspect(container)
    host, config = details["HostConfig"], details["Config"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"]), f"user {config['User']!r} is not numeric, or root"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PidsLimit"] == (1024 if service in ("apache", "app") else 256)  # a thread for each request
    assert host["Memory"] > 0
    assert host["Privileged"] is False
    assert host["RestartPolicy"]["Name"] == ("no" if service == "certs" else "unless-stopped")
    if service != "certs":
        assert config["StopTimeout"] == 30
        assert config["Healthcheck"]["Test"]
        # The settings have their effect: nothing can be written, and no capability is left.
        status = exec_in(container, "cat", "/proc/1/status")
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert exec_in(container, "sh", "-c", "touch /x 2>&1 || true").endswith("Read-only file system")


@pytest.mark.parametrize("service", ["app", *PROXIES])
def test_a_health_check_passes_on_200_and_fails_on_anything_else(stack: StackUnderTest, service: str) -> None:
    stack.serve("granian", "asgi")
    container = stack.container(service)
    check = inspect(container)["Config"]["Healthcheck"]["Test"][1:]
    assert exec_status(container, *check)[0] == 0
    if service == "app":
        for path in ("/status/503", "/status/204", "/nowhere"):
            assert exec_status(container, *check, environment={"HEALTH_PATH": path})[0] == 1, path
    else:
        script = exec_in(container, "cat", check[0])
        other = script.replace("/healthz", "/elsewhere")
        assert other != script
        assert exec_status(container, script.splitlines()[0][2:], "-c", other)[0] != 0


@pytest.mark.parametrize(("proxy", "signal"), [("nginx", "SIGQUIT"), ("apache", "SIGWINCH"), ("haproxy", "SIGUSR1")])
def test_the_stop_signal_is_the_graceful_one(stack: StackUnderTest, proxy: str, signal: str) -> None:
    assert inspect(stack.container(proxy))["Config"]["StopSignal"] == signal


@pytest.mark.parametrize("name", docs.PARTS)
def test_the_generated_parts_of_the_docs_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == docs.render(name), "run `make docs`"


def test_nothing_names_a_package_index() -> None:
    hosts = "|".join(
        ("py" + "pi.org", "python" + "hosted.org", "deb" + ".debian.org", "registry.np" + "mjs", "--index" + "-url")
    )
    lines = subprocess.run(["git", "grep", "-nIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert lines.stdout == "" and lines.returncode == 1
