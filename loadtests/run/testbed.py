"""The stack that is measured: a Compose project of its own, with the generators beside it, each on its own cores."""

import os
import ssl
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from apps.runtime import serve
from loadtests.generator.orders import Observation, Order
from loadtests.run import engine_counters
from loadtests.run.generators import Generator, measure_together
from loadtests.run.machine_speed import SpeedProbe
from loadtests.run.variables import list_stock_routes
from loadtests.window import BY_HAND, DIRECT, STOCK
from stack import CHECKOUT, ROOT, images, proxies
from stack.compose import Compose
from stack.ports import HTTPS
from stack.running_stack import RunningStack

PROXY_SETTINGS = ".cache/bench/proxies.yaml"
FILES = f"compose.yaml:loadtests/run/compose.yaml:{PROXY_SETTINGS}"
GENERATOR = "load"  # the service of the generators
OWN_ANSWER = 8444  # the port on which a proxy answers by itself: own_answer/
PROJECT = {
    "COMPOSE_PROJECT_NAME": CHECKOUT.replace("stack-", "stack-bench-"),
    "IMAGES": CHECKOUT,
    "COMPOSE_FILE": FILES,
}
# No .env of the user's, no admin area, and no limit to the logins that a scenario sends.
SETTINGS = {"COMPOSE_ENV_FILES": "/dev/null", "ADMIN_USER": "", "LOGIN_RATE": "999999"}


class Testbed(RunningStack):
    """Some proxies, one app at a time, and the generators.

    `routes` are the proxies and stock configurations to start. `bases` are the images of the servers that will be
    measured. `slowdown` is in µs a request, by server and interface.
    """

    __test__ = False  # the name begins like that of a test class, and pytest would collect it

    def __init__(
        self, routes: list[str], bases: Iterable[str] = ("app",), slowdown: Mapping[str, int] | None = None
    ) -> None:
        self.stack_cores, self.generator_cores = divide(sorted(os.sched_getaffinity(0)))
        self.proxies = [route for route in routes if not route.endswith(STOCK)]
        self.stock = [route for route in routes if route.endswith(STOCK)]
        self.slowdown, self.bases = slowdown or {}, sorted(bases)
        images_of = list(dict.fromkeys(route.removesuffix(STOCK) for route in routes))
        self.built = [*images_of, GENERATOR]
        cores = {
            "STACK_CPUS": ",".join(map(str, self.stack_cores)),
            "LOAD_CPUS": ",".join(map(str, self.generator_cores)),
        }
        names = {"CERTIFICATE_NAMES": " ".join([*proxies.names(), *list_stock_routes()])}
        write_proxy_settings()
        super().__init__(Compose(PROJECT | SETTINGS | cores | names | images.ensure(images_of)))
        self.generators: list[Generator] = []
        self.probes: list[SpeedProbe] = []
        self.route_containers: dict[str, str] = {}  # of the proxies and stock configurations, by route
        self.app = ""  # the app's container

    @contextmanager
    def running(self) -> Iterator["Testbed"]:
        """Starts everything, and removes it at the end, and where the start fails."""
        try:
            self.start_all()
            yield self
        finally:
            self.stop()

    def start_all(self) -> None:
        """Builds what changed, and starts the proxies, the generators and the machine-speed probes."""
        if self.compose.exists():  # of a run that was killed
            self.remove()
        self.build(self.built, self.bases)
        self.make_certificates()
        self.start(GENERATOR, *self.proxies)
        self.route_containers = {route: self.container(route) for route in self.proxies}
        self.trust = ssl.create_default_context(cadata=self.read_authority())
        self.generators = [Generator(self.container(GENERATOR), core) for core in self.generator_cores]
        self.probes = [SpeedProbe(core) for core in self.stack_cores]

    def stop(self) -> None:
        """Removes everything that the testbed made."""
        for generator in self.generators:
            generator.close()
        for probe in self.probes:
            probe.close()
        self.undo(kill=True)

    def serve(self, server: str, interface: str, app: str, workers: int, threads: int) -> None:
        """Starts a new app container in place of the old one, and waits until it answers."""
        base = serve.choose({"SERVER": server, "INTERFACE": interface}).base
        choice = {"SERVER": server, "INTERFACE": interface, "APP": app.removesuffix(BY_HAND), "APP_BASE": base}
        choice["GATEWAY"] = "no" if app.endswith(BY_HAND) else ""
        if microseconds := self.slowdown.get(f"{server}/{interface}"):
            choice |= {"APP": "slowed", "SLOWDOWN": str(microseconds)}
        self.change(choice | {"WORKERS": str(workers), "THREADS": str(threads)})
        self.replace_app()
        self.app = self.container("app")
        if self.stock:  # a stock configuration looks up the app's address once, when it starts
            self.start(*self.stock, recreate=True)
            self.route_containers |= {route: self.container(route) for route in self.stock}

    def has_ended(self, part: str) -> bool:
        """Whether the container of the app (`app`) or of a route has ended, even if it runs again."""
        return engine_counters.has_ended(self.app if part == "app" else self.route_containers[part])

    def url(self, route: str, own_answer: bool = False) -> str:
        """What the generators ask; `own_answer`: the proxy without an application."""
        return f"https://{route}:{OWN_ANSWER if own_answer else HTTPS}" if route != DIRECT else "http://app:8000"

    def measure(self, order: Order) -> tuple[Observation, float]:
        """What all generators saw in one window, and the CPU time of the machine-speed probe's work meanwhile (µs)."""
        for probe in self.probes:
            probe.read()
        observation = measure_together(self.generators, order)
        return observation, round(statistics.fmean(probe.read().work for probe in self.probes), 2)


def divide(cores: list[int]) -> tuple[list[int], list[int]]:
    """The stack's cores and the generators', of those that this process may use: half each, an odd one the stack's."""
    if len(cores) < 2:
        return cores, cores
    half = len(cores) - len(cores) // 2
    return cores[:half], cores[half:]


def write_proxy_settings() -> None:
    """Writes for each proxy what compose.yaml of this folder has for the other parts (`x-measured`), and no ports.

    The file is generated, because a list of the proxies in compose.yaml here would be a second one.
    """
    service = "    {cpuset: '${STACK_CPUS}', healthcheck: {interval: 24h}, restart: 'no', ports: !reset []}\n"
    file = ROOT / PROXY_SETTINGS
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("services:\n" + "".join(f"  {proxy}:\n{service}" for proxy in proxies.names()))
