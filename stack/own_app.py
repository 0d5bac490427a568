"""An application of the user's own: `make up APP_DIR=../shop APP=shop.main:app`. What its image is built from.

`read` turns the settings into the variables of compose.yaml. Without APP_DIR the application is a demonstration.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from apps.runtime import dependencies, serve
from stack import ROOT, Problem, engine, progress
from stack.command_line import finish_first
from stack.compose import LABEL, Compose

# What the proxies take for themselves. For an own application they take nothing that the user has not asked for.
PATHS = ("ADMIN_PATH", "CACHE_PATH", "LOGIN_PATH", "STATIC_PATH", "MEDIA_PATH")
FOLDERS = ("STATIC_DIR", "MEDIA_DIR", "APP_DATA")
# (!) A volume there would hide a new version's code behind the first one's, or the system. Static files there would be
# all of the code, and what was public once stays in the volume `static`.
# Checked by: test_a_folder_with_the_code_is_refused
CODE = ("/", "/app", "/app/src")
SYSTEM = {"srv", "proc", "sys", "dev", "run", "tmp", "etc", "root"}
PROGRAMS = {"venv", "bin", "sbin", "lib", "lib64"}  # whose packages may have static files
TARGET = "own"
EXPORTED = ".exported"  # marks a folder that `make export` has written, and lists its files
# The variables of compose.yaml that `read` computes, and nobody sets.
COMPUTED = {
    *("APP_CONTEXT", "APP_DOCKERFILE", "APP_TARGET", "APP_SERVER", "APP_BUILD_ENV", "APP_INTERNAL", "RUNTIME"),
    "STATIC_FILES",
}


def read(settings: Mapping[str, str], project: str) -> dict[str, str]:
    """The variables of compose.yaml for an own application; empty for a demonstration. `Problem` where one is wrong."""
    folder, app = settings.get("APP_DIR", ""), settings.get("APP", "")
    if not folder:
        if serve.is_own(app):
            raise Problem(f"APP={app} is no demonstration: give APP_DIR=the folder that holds {app.partition(':')[0]}")
        return {}
    if not serve.is_own(app):
        raise Problem(f"APP={app or '(empty)'} with APP_DIR: give module:attribute, such as APP=shop.main:app")
    context = (ROOT / Path(folder).expanduser()).resolve()
    if not context.is_dir():
        raise Problem(f"APP_DIR={folder} is not a folder: give the one that holds {app.partition(':')[0]}")
    check_folders(settings)
    server = settings.get("SERVER") or serve.DEFAULTS["SERVER"]
    images = settings.get("IMAGES") or project
    return {
        **{name: settings.get(name, "") for name in PATHS},
        **({"STATIC_PATH": settings.get("STATIC_PATH", "/static/")} if settings.get("STATIC_DIR") else {}),
        **({"MEDIA_PATH": settings.get("MEDIA_PATH", "/media/")} if settings.get("MEDIA_DIR") else {}),
        "STATIC_FILES": "static",
        "HEALTH_PATH": settings.get("HEALTH_PATH", ""),
        "APP_CONTEXT": str(context),
        "APP_DOCKERFILE": str(find_dockerfile(images)),
        "APP_TARGET": TARGET,
        "APP_SERVER": server,
        "APP_BUILD_ENV": str(find_variables(settings) or "/dev/null"),
        "APP_INTERNAL": "false" if settings.get("APP_EGRESS") == "yes" else "true",
        "RUNTIME": f"{images}-runtime:latest",
    }


def find_variables(settings: Mapping[str, str]) -> Path | None:
    """The file with the application's own variables; None where there is none."""
    file = ROOT / Path(settings.get("APP_ENV_FILE", "app.env")).expanduser()
    return file if file.is_file() else None


def check_folders(settings: Mapping[str, str]) -> None:
    """Refuses a folder of the container that cannot be one, and a choice that is none."""
    for name in FOLDERS:
        value = settings.get(name, "")
        if not re.fullmatch(r"[\w./-]*", value, re.ASCII) or ".." in value.split("/"):
            raise Problem(f"{name}={value} is not a folder that can be used: give letters, digits and . _ - /")
        if value and name != "STATIC_DIR" and not value.startswith("/"):
            raise Problem(f"{name}={value} is not a path in the container: begin it with /, such as /app/media")
        folder = PurePosixPath("/", *PurePosixPath("/app", value).parts[1:])
        taken = SYSTEM if name == "STATIC_DIR" else SYSTEM | PROGRAMS
        if value and (str(folder) in CODE or folder.parts[1] in taken):
            effect = "publish the code" if name == "STATIC_DIR" else "hide the code"
            raise Problem(f"{name}={value} would {effect}, or is the system's: give a folder that holds nothing else")
    if settings.get("MEDIA_DIR", "").rstrip("/") == (settings.get("APP_DATA") or "/data").rstrip("/"):
        raise Problem(f"MEDIA_DIR={settings['MEDIA_DIR']} is APP_DATA too, which would be public: give another folder")
    for name in ("APP_EGRESS", "APP_OVERRIDE"):
        if settings.get(name, "no") not in ("yes", "no"):
            raise Problem(f"{name}={settings[name]} is not a choice: give yes or no")


def is_chosen(compose: Compose) -> bool:
    """Whether the application is the user's own."""
    return compose.environment.get("APP_TARGET") == TARGET


def find_dockerfile(image_project: str) -> Path:
    """Where a copy of apps/Dockerfile is, beside which BuildKit finds what the context leaves out."""
    return ROOT / f".cache/own/{image_project}/Dockerfile"


def list_ignored(context: Path, deployment: str = "", kept: Iterable[str] = (), variables: Path = ROOT) -> str:
    """The lines of a .dockerignore: the project's own, what no image needs, and what an export has written.

    (!) Without them, each build sends the project's .git and .venv to the builder. `deployment`: the folder of an
    export that builds the image. `kept`: what the build needs of it. `variables`: APP_ENV_FILE, which may be secret,
    and the stack itself may be inside the project too.
    """
    file = context / ".dockerignore"
    lines = file.read_text().splitlines() if file.is_file() else []
    lines += [f"**/{name}" for name in sorted(dependencies.LEFT_OUT)]
    marks = [*context.glob(f"*/{EXPORTED}"), *context.glob(f"*/*/{EXPORTED}")]
    exports = {mark.parent.relative_to(context).as_posix() for mark in marks} | ({deployment} - {""})
    lines += [f"{folder}/*" for folder in sorted(exports)]
    secret = [
        path.relative_to(context).as_posix() for path in (variables.resolve(), ROOT) if path.is_relative_to(context)
    ]
    lines += [name for name in secret if name != "."]
    return "\n".join([*lines, *(f"!{deployment}/{name}" for name in kept)]) + "\n"


def prepare_build(compose: Compose) -> None:
    """Builds what the stack brings into an own application's image. The context of that image is the user's folder."""
    dockerfile = Path(compose.environment["APP_DOCKERFILE"])
    dockerfile.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "apps/Dockerfile", dockerfile)
    context, variables = (Path(compose.environment[name]) for name in ("APP_CONTEXT", "APP_BUILD_ENV"))
    dockerfile.with_name("Dockerfile.dockerignore").write_text(list_ignored(context, variables=variables))
    command = ["docker", "build", "--quiet", "--target", "runtime", "--file", "apps/Dockerfile"]
    command += ["--label", f"{LABEL}.project={compose.image_project}", "--tag", compose.environment["RUNTIME"], "."]
    done = engine.run(*command, cwd=ROOT, env={**compose.environment, "DOCKER_BUILDKIT": "1"})
    if done.returncode != 0:
        progress.show(done.stderr)
        raise Problem("the runtime of an own application cannot be built: the reason is above")


def run_once(compose: Compose, service: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a container of its own. An interruption stops the command, and then removes the container.

    (!) Without that, a migration would go on unseen, and beside it the one of the next `make up`.
    Checked by: test_an_interruption_stops_the_release_command
    """
    name = f"{compose.project}-{service}-once-{os.getpid()}"
    try:
        return compose.command("run", "--rm", "--no-deps", "--no-TTY", "--name", name, service, *words)
    except KeyboardInterrupt:
        with finish_first(f"the command in {name} stops"):
            engine.output("docker", "stop", name)
            engine.output("docker", "rm", "--force", name)
        raise


def run_release(compose: Compose, command: str) -> None:
    """Runs APP_RELEASE once in the new image, before it takes traffic; `Problem` where it fails."""
    words = ("python3", "-m", "app_runtime.command", "sh", "-euc", command)
    with progress.step(f"up: running {command}"):
        done = run_once(compose, "app", *words)
    progress.show((done.stdout + done.stderr).strip())
    if done.returncode != 0:
        raise Problem(
            f"APP_RELEASE={command} has failed with status {done.returncode} (see above): nothing else was changed"
        )


def copy_assets(compose: Compose) -> None:
    """Copies the static files of the new image to where the proxies serve them; `Problem` where there are none."""
    done = run_once(compose, "assets")
    if done.returncode != 0:
        raise Problem((done.stderr.strip().splitlines() or ["assets: no message"])[-1])
