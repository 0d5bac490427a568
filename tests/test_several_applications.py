"""docs/several-applications.md: two applications behind one NGINX and one Caddy, each with its own host name."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT, Problem, settings
from stack.build import build
from stack.compose import Compose
from stack.readiness import read_file_of_certs
from stack.waiting import wait_until
from tests.support.clients import Clients
from tests.support.engine import list_containers, read_logs, remove_project
from tests.support.stack import EDGE, own_environment

pytestmark = pytest.mark.full
PROXIES = ("nginx", "caddy")
HOSTS = {"localhost": "granian", "blog.example": "uvicorn"}  # what answers under each name
# What a WebSocket of the admin area's client sends.
UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


class Deployment(Clients):
    """One deployment of this checkout, with a file beside compose.yaml."""

    def __init__(self, folder: Path, name: str, override: str, **more: str) -> None:
        environment = own_environment(f"{name}-{os.getpid()}") | EDGE | {"INTERFACE": "asgi", "WORKERS": "1"} | more
        file = folder / f"{name}.yaml"
        file.write_text(override)
        self.compose = Compose(environment | {"COMPOSE_FILE": f"{ROOT}/compose.yaml:{file}"})
        Clients.__init__(self, folder / f"{name}.pem")

    @property
    def project(self) -> str:
        """The project's name."""
        return self.compose.project

    def up(self, *services: str) -> None:
        """Starts services."""
        self.compose.run("up", "--detach", "--no-build", *services)

    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""
        return int(self.compose.environment[f"{proxy.upper()}_HTTPS_PORT"])

    def container(self, service: str) -> str:
        """The container of a service."""
        (container,) = list_containers(self.project, service)
        return container

    def ask(self, proxy: str, host: str, path: str = "/process", **headers: str) -> tuple[int, dict[str, str], str]:
        """The status, the headers and the body of a GET, under a host name that no DNS has."""
        address = self.compose.address(self.container(proxy), "edge")
        connection = self.connection(address)
        try:
            connection.request("GET", path, headers={"Host": host, **headers})
            answer = connection.getresponse()
            body = "" if answer.status == 101 else answer.read().decode()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
        finally:
            connection.close()

    def find_server(self, proxy: str, host: str) -> str:
        """The server that answers under a name, or the status."""
        status, _, body = self.ask(proxy, host)
        return str(json.loads(body)["server"]) if status == 200 else str(status)


def read_blocks() -> list[str]:
    """The page's two files."""
    text = (ROOT / "docs/several-applications.md").read_text()
    return re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Deployment]]:
    """Shop with the proxies, and blog; as the page says."""
    folder = tmp_path_factory.mktemp("several")
    of_blog, of_shop = read_blocks()
    blog = Deployment(folder, "blog", of_blog, SERVER="uvicorn")
    names = {"DOMAIN": f"{EDGE['DOMAIN']} blog.example", "SITES": f"blog.example={blog.project}"}
    shop = Deployment(
        folder, "shop", of_shop.replace("blog_backend", f"{blog.project}_backend"), SERVER="granian", **names
    )
    build(Compose(own_environment("image")), PROXIES)
    try:
        profiles = {name: blog.compose.services[name]["profiles"] for name in PROXIES}
        assert profiles == {name: ["never"] for name in PROXIES}
        blog.up("app")
        shop.up("app", *PROXIES)
        shop.ca.write_text(read_file_of_certs(shop.compose, "ca.pem"))
        for proxy in PROXIES:
            for host, server in HOSTS.items():
                assert wait_until(lambda p=proxy, h=host, s=server: answers(shop, p, h) == s, 60), shop.compose.logs(
                    shop.container(proxy)
                )
        yield shop, blog
    finally:
        shop.close_sessions()
        remove_project(shop.project)  # first, because its proxies are in the other's network
        remove_project(blog.project)


def answers(shop: Deployment, proxy: str, host: str) -> str:
    """As `find_server`, and the name of an error while the stack starts."""
    try:
        return shop.find_server(proxy, host)
    except OSError as error:
        return type(error).__name__


@pytest.mark.parametrize("proxy", PROXIES)
def test_each_name_leads_to_its_application(deployments: tuple[Deployment, Deployment], proxy: str) -> None:
    shop, _ = deployments
    for _ in range(20):
        for host, server in HOSTS.items():
            assert shop.find_server(proxy, host) == server
    assert shop.find_server(proxy, "BLOG.example") == "uvicorn"
    status, _, body = shop.ask(proxy, "blog.example", "/request", **{"X-Forwarded-Host": "localhost"})
    assert status == 200 and dict(json.loads(body)["headers"])["host"] == "blog.example"
    status, headers, _ = shop.ask(proxy, "blog.example", "/ws", **UPGRADE)
    assert status == 101 and "sec-websocket-accept" in headers


@pytest.mark.deployments
@pytest.mark.parametrize("proxy", PROXIES)
def test_the_admin_area_of_each_application_is_guarded(deployments: tuple[Deployment, Deployment], proxy: str) -> None:
    shop, _ = deployments
    for host in HOSTS:
        for path in ("/admin/", "/ADMIN/x", "/%61dmin/"):
            assert shop.ask(proxy, host, path)[0] == 401
    assert shop.ask(proxy, "blog.example", "/admin/ws", **UPGRADE)[0] == 401


@pytest.mark.deployments
def test_a_kept_page_stays_with_its_application(deployments: tuple[Deployment, Deployment]) -> None:
    shop, _ = deployments
    for host in HOSTS:
        states = [shop.ask("nginx", host, "/cache/public")[1]["cache-status"] for _ in range(2)]
        assert states == ["nginx; fwd=miss", "nginx; hit"], f"{host} gets the page of its own application"


@pytest.mark.deployments
@pytest.mark.parametrize("proxy", PROXIES)
def test_an_application_that_is_away_does_not_touch_the_other(
    deployments: tuple[Deployment, Deployment], proxy: str
) -> None:
    shop, blog = deployments
    blog.compose.run("stop", "--timeout", "5", "app")
    try:
        assert shop.find_server(proxy, "blog.example") in ("502", "503", "504"), "blog is away"
        assert [shop.find_server(proxy, "localhost") for _ in range(30)] == ["granian"] * 30
        assert "blog.example" not in read_logs(shop.container("app"))
    finally:
        blog.up("app")
    assert wait_until(lambda: shop.find_server(proxy, "blog.example") == "uvicorn", 30)


@pytest.mark.deployments
@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize(
    ("sites", "reason"),
    [
        ("blog.example", "SITES holds 'blog.example': give host=project, separated by spaces"),
        ("localhost=blog;x", "SITES holds 'localhost=blog;x': give host=project, separated by spaces"),
        ("other.example=blog", "SITES holds other.example, which is not in DOMAIN"),
    ],
)
def test_a_wrong_site_is_refused(
    deployments: tuple[Deployment, Deployment], proxy: str, sites: str, reason: str
) -> None:
    shop, _ = deployments
    words = ("run", "--rm", "--no-deps", "--no-TTY", "--env", f"SITES={sites}", proxy)
    done = shop.compose.command(*words)
    assert done.returncode != 0 and f"{proxy}: {reason}" in done.stderr
    with pytest.raises(Problem, match=r"^SITES holds "):
        settings.check_sites({"SITES": sites, "DOMAIN": "localhost"})
    with pytest.raises(Problem, match=r"^SITES needs NGINX or Caddy: PROXY=apache has one application$"):
        settings.check_sites({"SITES": "a=b", "DOMAIN": "a", "PROXY": "caddy,apache"})
