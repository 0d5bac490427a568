"""The files that `make export` writes: each is the file that runs here, less what the choice does not need.

The folder is a part of this tree, so paths in its files stay valid. The project's folder is the build context, so the
new folder is inside it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from apps.runtime import serve
from stack import ROOT, Problem, engine, export_readme, images, own_app, settings
from stack.export_text import (
    align_comments,
    change_defaults,
    clean,
    cut_compose,
    cut_dockerfile,
    cut_requirements,
    cut_settings,
    fix,
    quote,
)

USERS = (".env", "app.env")  # what an export writes once; from then on the user changes it
SECRET = re.compile(r"PASSWORD")
# What a deployment does not take along: the names of this project and of its images, and the place of app.env.
LEFT_OUT = {"COMPOSE_PROJECT_NAME", "TAG", "APP_ENV_FILE"}
STAND_IN = "stack-base"  # how the names of stand-ins begin
PAGE = re.compile(r"docs/[\w-]+\.md")
HERE_ONLY = re.compile(r"\bmake [a-z]")  # in a page that is of no use in a deployment
FILES_OF_HOST = {"CERTS", "CA_BUNDLE", "ACME_CA"}
SCRIPT_SETTINGS = {"APP_RELEASE", "START_TIMEOUT", "TAG", "KEEP"}  # which only the scripts read


class Deployment:
    """The choice, and the text of each file."""

    def __init__(self, plan: settings.Settings, given: Mapping[str, str], folder: Path) -> None:
        self.plan = plan
        self.given = given
        self.folder = folder
        self.context = Path(plan.compose.environment["APP_CONTEXT"])
        self.choice = plan.choice
        self.services = [
            *("app", "certs", *plan.proxies),
            *(name for name in plan.more if re.search(rf"^  {name}:", read("compose.yaml"), re.MULTILINE)),
            *(["assets"] if plan.has_assets else []),
            *(["processes"] if plan.has_processes else []),
            *(["acme"] if plan.has_acme or self.may_need_acme() else []),
        ]
        self.here = folder.relative_to(self.context).as_posix()
        self.interface = find_interface(plan)
        self.compose = self.make_compose()

    @property
    def name(self) -> str:
        """The project's name, from the name of the application's folder."""
        name = re.sub(r"[^a-z0-9_-]+", "-", self.context.name.lower()).strip("-_") or "app"
        return f"{name}-deployment" if name == self.plan.compose.project else name

    def read_context(self) -> str:
        """The application's folder, from the deployment's."""
        return os.path.relpath(self.context, self.folder)

    def may_need_acme(self) -> bool:
        """Whether the ACME client is of use once the site has a public name."""
        return len(self.plan.proxies) == 1 and self.plan.proxies != ["caddy"] and "CERTS" not in self.given

    @property
    def variables(self) -> Path | None:
        """The file with the application's own variables; None without one."""
        return own_app.find_variables(self.given)

    def read_values(self) -> dict[str, str]:
        """The settings that the user gave and that the deployment has, and the base images that are stand-ins."""
        values = {name: self.given[name] for name in self.read_names() if name in self.given}
        for name in ("python", *self.services):
            argument = images.to_argument(name)
            if (image := self.plan.compose.environment.get(argument, "")).startswith(STAND_IN):
                values[argument] = image
        if bundle := os.environ.get("CA_BUNDLE") or os.environ.get("SSL_CERT_FILE"):
            values["CA_BUNDLE"] = bundle
        for name in FILES_OF_HOST & values.keys():  # a path of this folder
            if values[name].startswith("."):
                values[name] = str((ROOT / values[name]).resolve())
        return values

    def read_names(self) -> list[str]:
        """The settings that the deployment has, in the order of .env.example."""
        names = SCRIPT_SETTINGS | set(re.findall(r"\$\{([A-Z_]+)", self.compose))
        if not self.plan.has_assets:
            names.discard("STATIC_DIR")
        return [name for name in re.findall(r"^#([A-Z_]+)=", read(".env.example"), re.MULTILINE) if name in names]

    def read_defaults(self) -> dict[str, str]:
        """The defaults that a deployment has in place of those here."""
        own = own_app.read(self.given, self.plan.compose.project)
        values = {name: value for name, value in own.items() if name.endswith("_PATH")}
        values |= {name: self.choice.environment()[name] for name in ("WORKERS", "THREADS", "KEEPALIVE", "GRACE")}
        return {**values, "CA_BUNDLE": "/dev/null", "DOMAIN": " ".join(["localhost", "127.0.0.1", *self.plan.proxies])}

    def make_compose(self) -> str:
        """compose.yaml of the deployment."""
        own = own_app.read(self.given, self.plan.compose.project)
        fixed = {
            "IMAGES": "${COMPOSE_PROJECT_NAME}",
            "APP_BASE": self.choice.base,
            "APP_CONTEXT": self.read_context(),
            "APP_DOCKERFILE": f"{self.here}/apps/Dockerfile",
            "APP_TARGET": own["APP_TARGET"],
            "RUNTIME": "runtime",
            "SERVER": self.choice.SERVER,
            "APP_SERVER": self.choice.SERVER,
            "INTERFACE": self.interface,
            "APP_INTERNAL": own["APP_INTERNAL"],
            "APP_EGRESS": "",
            "APP_BUILD_ENV": "${APP_ENV_FILE:-app.env}" if self.variables else "/dev/null",
            "STATIC_FILES": own["STATIC_FILES"],
        }
        text = read("compose.yaml")
        config = self.plan.compose.config
        mounts = [each for name in self.services for each in config["services"][name].get("volumes", [])]
        named = {each["source"] for each in mounts if each["type"] == "volume"}
        if "postgres" not in self.services:
            text = re.sub(r"^ +<<: \*database\n", "", text, flags=re.MULTILINE)
        services = {name: name != "acme" or self.plan.has_acme for name in self.services}
        text = cut_compose(text, services, [name for name in config["volumes"] if name in named])
        text = change_defaults(fix(text, fixed), self.read_defaults())
        text = re.sub(r'name: "\$\{COMPOSE_PROJECT_NAME\}_data", internal: "(\w+)"', r"internal: \1", text)
        text = re.sub(r"^( +)args:\n", rf"\g<0>\1  HERE: {self.here}\n", text, count=1, flags=re.MULTILINE)
        return f"{export_readme.describe_compose(self)}\nname: {self.name}\n\n{align_comments(text).lstrip()}"

    def make_dockerfile(self) -> str:
        """apps/Dockerfile of the deployment."""
        arguments = {"APP_BASE": self.choice.base, "RUNTIME": "runtime"}
        text = cut_dockerfile(read("apps/Dockerfile"), own_app.TARGET, arguments)
        text = text.replace("ARG APP_BASE=app\n", f"ARG APP_BASE={self.choice.base}\n")
        return re.sub(r"\A(#.*\n)+", export_readme.DOCKERFILE_HEAD, text)

    def list_scripts(self) -> list[Path]:
        """The server's files, and the scripts and settings that they name."""
        chosen = self.interface or "*"
        waiting = sorted((ROOT / "apps/servers").glob(f"{chosen}/{self.choice.SERVER}.*"))
        files: dict[Path, None] = {}
        while waiting:
            file = waiting.pop()
            files[file] = None
            text = clean(file.read_text())
            for name in re.findall(r"(?:\.\./)?[\w/-]*\w\.(?:sh|toml|conf)\b", text):
                for other in (file.parent / name, ROOT / "apps" / name.removeprefix("/srv/")):
                    if other.is_file() and other.resolve() not in files:
                        waiting.append(other.resolve())
        return sorted(files)

    def list_modules(self) -> list[str]:
        """The modules of apps/runtime that run in the image."""
        sources = [self.compose, self.make_dockerfile(), *map(Path.read_text, self.list_commands())]
        sources += map(Path.read_text, self.list_scripts())
        waiting = re.findall(r"app_runtime[./](\w+)", "\n".join(sources))
        modules = {"__init__"}
        while waiting:
            name = waiting.pop()
            file = ROOT / f"apps/runtime/{name}.py"
            if name not in modules and file.is_file():
                modules.add(name)
                text = file.read_text()
                waiting += re.findall(r"(?:from \.|app_runtime\.)(\w+)", text)
                waiting += re.split(r"\W+", " ".join(re.findall(r"from \. import (.+)", text)))
        return sorted(modules)

    def make_files(self) -> dict[str, str]:
        """The text of each file, by its path in the deployment."""
        files = {name: read(name) for name in self.list_copies()}
        files |= {file.name: read(f"deploy/{file.name}") for file in self.list_commands()}
        files |= self.make_requirements()
        kept = ("apps", "requirements", "requirements.txt")
        values = self.read_values()
        lines = [f"{name}={quote(value)}\n" for name, value in values.items() if name not in LEFT_OUT]
        files |= {
            "compose.yaml": self.compose,
            "apps/Dockerfile": self.make_dockerfile(),
            "apps/Dockerfile.dockerignore": own_app.list_ignored(self.context, self.here, kept, self.variables or ROOT),
            ".env.example": self.make_settings(values),
            ".env": "".join(["# .env.example explains these settings, and those that are not here.\n", *lines]),
            ".gitignore": "".join(f"/{name}\n" for name in (*USERS, ".roll", "ca.pem")),
            "README.md": export_readme.write(self),
        }
        if self.variables:
            files["app.env"] = self.variables.read_text()
        return add_pages(files)

    def list_copies(self) -> Iterator[str]:
        """The files that have the same place here: modules, the server's scripts, the folders of the other images."""
        yield from (f"apps/runtime/{name}.py" for name in self.list_modules())
        yield from (file.relative_to(ROOT).as_posix() for file in self.list_scripts())
        for folder in self.list_folders():
            for file in sorted((ROOT / folder).rglob("*")):
                is_left_out = file.name == "README.md" or file.suffix == ".in" or "__pycache__" in file.parts
                if file.is_file() and not is_left_out:
                    yield file.relative_to(ROOT).as_posix()

    def list_commands(self) -> list[Path]:
        """The scripts of deploy/, and what they need."""
        files = [file for file in sorted((ROOT / "deploy").glob("*")) if file.is_file()]
        return [file for file in files if file.name != "rotate" or "postgres" in self.services]

    def make_settings(self, values: Mapping[str, str]) -> str:
        """The settings that matter here, with their explanations, and without what is secret or of this machine."""
        names = self.read_names()
        public = {name: value for name, value in values.items() if name not in {*LEFT_OUT, "CA_BUNDLE"}}
        public = {name: "" if SECRET.search(name) else value for name, value in public.items()}
        public = {name: value for name, value in public.items() if not value.startswith(STAND_IN)}
        text = read(".env.example")
        if "caddy" not in self.services:
            text = re.sub(r"docker compose run .* caddy hash-password .*", "htpasswd -nBC 10 NAME", text)
        return export_readme.SETTINGS_HEAD + cut_settings(text, names, public, self.read_defaults())

    def list_folders(self) -> list[str]:
        """The folders from which the images beside the app's are built."""
        builds = [self.plan.compose.services[name].get("build") for name in self.services if name != "app"]
        contexts = [Path(build["context"]) for build in builds if build]
        return sorted({path.name for path in contexts if path.parent == ROOT})

    def make_requirements(self) -> dict[str, str]:
        """The pins: those of the image as it is, the server's, and the one of what resolves them."""
        image = self.plan.compose.image("app")
        command = ("docker", "run", "--rm", "--network", "none", "--entrypoint", "cat", image, "/srv/requirements.txt")
        pins = engine.output(*command)
        if pins is None:
            raise Problem(f"{image} is not built yet: run `make up` with the same settings first")
        packages = [serve.facts(script).get("packages", script.stem).split() for script in self.list_scripts()]
        names = {name.partition("[")[0] for each in packages for name in each}
        more = ["requirements/mod_wsgi.txt"] if self.choice.base == "mod_wsgi" else []
        return {
            "requirements.txt": f"{pins}\n",
            "requirements/app.txt": cut_requirements(read("requirements/app.txt"), names),
            **{name: read(name) for name in ("requirements/lock.txt", *more)},
        }


def add_pages(files: dict[str, str]) -> dict[str, str]:
    """The files, with the pages of docs/ that they name and that are about a deployment; no other page is named."""
    names = sorted({name for text in files.values() for name in PAGE.findall(text)})
    pages = {name: text for name in names if (ROOT / name).is_file() and not HERE_ONLY.search(text := read(name))}
    return {
        name: re.sub(rf" \(({PAGE.pattern})\)", lambda match: match[0] if match[1] in pages else "", text)
        for name, text in (files | pages).items()
    }


def read(path: str) -> str:
    """A file of this repository, cleaned."""
    return clean((ROOT / path).read_text())


def find_interface(plan: settings.Settings) -> str:
    """The application's interface: as stated, as its server has it, or as its container says; "" if unknown."""
    able = serve.servers()[plan.choice.SERVER]
    if plan.choice.INTERFACE or len(able) == 1:
        return plan.choice.INTERFACE or able[0]
    for container in plan.compose.containers("app"):
        words = ("docker", "exec", container, "cat", str(serve.INTERFACE_FILE))
        return engine.output(*words) or ""
    return ""
