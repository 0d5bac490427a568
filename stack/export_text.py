"""What `make export` does to the text of a file: it cuts out what the choice does not need, and keeps the rest."""

import re
from collections.abc import Collection, Iterable, Mapping

# What speaks of this repository, and what a deployment reads in its place. A space also stands for the end of a line,
# in a comment too.
REPLACEMENTS = (
    (
        " With APP_DIR, APP is module:attribute (shop.main:app) or a factory (shop.main:create_app()), and the proxies "
        "take no path for themselves.",
        "",
    ),
    ("(make up takes the same names on its command line) ", ""),
    ("An application of your own (docs/own-app.md)", "The application"),
    (
        "The application: a file of apps/asgi or apps/wsgi.",
        "The application: module:attribute, or a factory: module:create_app().",
    ),
    ("where it is not the ones above:", "where they are not requirements.txt or pyproject.toml:"),
    (
        "The proxies that `make up` runs, separated by commas. Empty: nginx and caddy. Each folder with a snippets/ "
        "is a proxy. ",
        "",
    ),
    (" IPv6: docs/deploy.md.", ""),
    ("docs/deploy.md: secrets as files.", "NAME_FILE=/run/secrets/name takes the value from a file."),
    (" Without a registry `make up` makes stand-ins (images/README.md).", ""),
    (" `make up` finds the host's own bundle.", ""),
    (
        "The tag of built images. An image with another tag than latest is a release: `make up` builds it once, and "
        "starts it again as it is, for example after a failed release (docs/deploy.md).",
        "The tag of the application's image, which `./roll` writes here.",
    ),
    (
        "Empty: the name of this folder. Two checkouts in folders with the same name need two project names.",
        "Empty: the one in compose.yaml.",
    ),
    ("Empty, as for an own application:", "Empty:"),
    (" For an own application `make up` builds this stage first, because then the context is the user's folder.", ""),
    ("What both forms have: the user", "The user"),
    ("on one of ten application servers", "on one application server"),
    (" # `make up APP_DIR=…`: the user's folder", " # the project"),
    (
        " `make up` calls `choose` on the host, so a wrong name is refused before a build. The container calls "
        "`choose` too, so plain `docker compose up` refuses the same names.",
        "",
    ),
    ("  # `make up` reads it; a container without /tmp serves as well", "  # a container without /tmp serves as well"),
    (" of stack/reserved_headers.py", ""),
    (" docs/certificates.md.", ""),
    (" For an application of your own (APP_DIR), every path is empty until you set it.", ""),
    (" (docs/load-balancer.md)", ""),
    (", docs/deploy.md)", ")"),
    ("  # `make up` runs it where ACME_EMAIL is set. Caddy needs no such service", ""),
    (" Figures: docs/decisions/0011-sched-batch-for-threads-that-wake-each-other.md", ""),
    (": see ../asgi/granian.sh #", " #"),
    ("APP_EGRESS=yes gives", "`internal: false` gives"),
    ("`make up` swaps", "`./roll` swaps"),
    ("`make up`", "`./roll`"),
    ("`make run`", "`./run`"),
    ("`make down`", "`docker compose down`"),
    ("`make destroy`", "`docker compose down --volumes`"),
    (" (docs/deploy.md)", ""),
    ("They are in the deployment's folder (`make export`), and in `deploy/` here.", "They are in this folder."),
)
CHECKED_BY = re.compile(r"(?:\n[ \t]*(?:#|//|--)?[ \t]*|[ \t]+)Checked by: test_\w+(?:,(?:\s|#|//|--)*test_\w+)*")
SPACE = r"(?: |[ \t]*\n[ \t]*(?:#[ \t]*)?)"
NESTED = r"(?:[^{}]|\$\{[^{}]*\})*"  # what a variable of Compose may hold: others, too
SETTING = re.compile(r"^#([A-Z_]+)=(.*)$")
COMMENT_COLUMN = 43


def clean(text: str) -> str:
    """A file's text without the names of tests, and without what a deployment does not have."""
    text = CHECKED_BY.sub("", text)
    for words, replacement in REPLACEMENTS:
        text = substitute(re.escape(words).replace(r"\ ", SPACE), replacement, text)
    return text


def substitute(pattern: str, replacement: str, text: str, count: int = 0) -> str:
    """`re.sub` with a replacement that is taken as it is."""
    return re.sub(pattern, lambda _: replacement, text, count=count)


def split_blocks(lines: Iterable[str], indent: int) -> list[list[str]]:
    """The blocks that begin with a key at this indentation, each with the comments and blank lines above it."""
    blocks: list[list[str]] = [[]]
    above: list[str] = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if not line.strip() or (line.lstrip().startswith("#") and depth <= indent):
            above.append(line)
        elif depth == indent:
            blocks.append([*above, line])
            above = []
        else:
            blocks[-1] += [*above, line]
            above = []
    blocks[-1] += above
    return blocks


def read_key(block: Iterable[str]) -> str:
    """The key with which a block begins; "" for what stands above the first one."""
    first = next((line for line in block if line.strip() and not line.lstrip().startswith("#")), "")
    return first.strip().partition(":")[0]


def fix(text: str, values: Mapping[str, str]) -> str:
    """Puts values in the place of variables of Compose."""
    for name, value in values.items():
        text = substitute(rf"\$\{{{name}(?::?[-+?]{NESTED})?\}}", value, text)
    return text


def change_defaults(text: str, values: Mapping[str, str]) -> str:
    """Gives variables of Compose another default."""
    for name, value in values.items():
        for mark in (":-", "-"):
            text = substitute(rf"\$\{{{name}{mark}{NESTED}\}}", f"${{{name}{mark}{value}}}", text)
    return text


def align_comments(text: str) -> str:
    """The comments behind lines in their column, as far as the lines are short."""
    return re.sub(
        r"^(.*?\S) {2,}(# .*)$",
        lambda match: f"{match[1] + '   ':<{COMMENT_COLUMN}}{match[2]}",
        text,
        flags=re.MULTILINE,
    )


def cut_compose(text: str, services: Mapping[str, bool], volumes: Collection[str]) -> str:
    """compose.yaml with these services and volumes only. An anchor that was cut away moves to the first alias.

    `services`: by name, whether the service runs always, or by its profile only.
    """
    blocks = split_blocks(re.sub(r"\A(#.*\n)+\n", "", text).splitlines(), 0)
    kept = []
    for block in blocks[1:]:
        key = read_key(block)
        if key == "services":
            start = next(i for i, line in enumerate(block) if line.startswith("services:")) + 1
            inner = [each for each in split_blocks(block[start:], 2) if read_key(each) in services]
            block = [*block[:start], *(line for each in inner for line in cut_service(each, services[read_key(each)]))]
        elif key == "volumes":
            start = next(i for i, line in enumerate(block) if line.startswith("volumes:"))
            block = [*block[:start], "volumes: {" + ", ".join(f"{name}: {{}}" for name in volumes) + "}"]
        kept.append("\n".join(block))
    return drop_unused(define_anchors("\n".join(kept) + "\n", text))


def cut_service(lines: Iterable[str], runs_always: bool) -> list[str]:
    """A service of compose.yaml. Its image has the tag of a release only where the project's code is in it."""
    kept = [line for line in lines if not (runs_always and line.lstrip().startswith("profiles:"))]
    return [re.sub(r":\$\{TAG:-latest\}$", ":latest", line) for line in kept]


def define_anchors(text: str, source: str) -> str:
    """Puts a definition in the place of the first alias whose anchor was cut away."""
    for name in dict.fromkeys(re.findall(r"\*([\w-]+)", text)):
        definition = re.search(rf"&{name} (\"[^\"]*\"|\{{[^}}]*\}}|(?:\$\{{{NESTED}\}}|[^\s,}}\]])+)", source)
        if definition and not re.search(rf"&{name}\b(?!-)", text):
            value = f'"{definition[1]}"' if definition[1].startswith("$") else definition[1]
            text = substitute(rf"\*{name}\b(?!-)", f"&{name} {value}", text, 1)
    return text


def drop_unused(text: str) -> str:
    """Drops the parts at the top that nothing refers to, and the anchors."""
    blocks = ["\n".join(block) for block in split_blocks(text.splitlines(), 0)]
    while True:
        text = "\n".join(blocks) + "\n"
        anchors = {block: re.search(r"^x-[\w-]+: &([\w-]+)", block, re.MULTILINE) for block in blocks}
        unused = [block for block, anchor in anchors.items() if anchor and not has_alias(text, anchor[1])]
        if not unused:
            break
        blocks = [block for block in blocks if block not in unused]
    for name in set(re.findall(r"&([\w-]+) ", text)):
        if not has_alias(text, name):
            text = text.replace(f"&{name} ", "")
    return text


def has_alias(text: str, anchor: str) -> bool:
    """Whether a text of YAML refers to an anchor."""
    return bool(re.search(rf"\*{anchor}\b(?!-)", text))


def cut_dockerfile(text: str, target: str, arguments: Mapping[str, str]) -> str:
    """A Dockerfile with the stages only that the target needs. `arguments`: the names of stages in build arguments."""
    lines = text.splitlines()
    starts = [find_comment(lines, index) for index, line in enumerate(lines) if line.startswith("FROM ")]
    stages = {}
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        stage = "\n".join(lines[begin:end])
        stages.update(dict.fromkeys(re.findall(r"^FROM \S+ AS (\S+)", stage, re.MULTILINE), stage))
    needed, waiting = set(), [target]
    while waiting:
        name = waiting.pop()
        if name in stages and name not in needed:
            needed.add(name)
            bases = re.findall(r"(?:^FROM |--from=)(\S+)", stages[name], re.MULTILINE)
            waiting += [fix(base, arguments) for base in bases]
    kept = [stage for name, stage in stages.items() if name in needed]
    return "\n".join([*lines[: starts[0]], *kept]).rstrip() + "\n"


def find_comment(lines: list[str], index: int) -> int:
    """Where the comment above a line begins."""
    while index and lines[index - 1].startswith("#"):
        index -= 1
    return index


def cut_requirements(text: str, names: Collection[str]) -> str:
    """A requirements file with these packages only, each with its hashes."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return "".join(block for block in blocks if block.partition("==")[0] in names)


def cut_settings(text: str, names: Collection[str], values: Mapping[str, str], defaults: Mapping[str, str]) -> str:
    """.env.example with these settings only, with a value where there is one in `values`, and with other defaults."""
    result: list[str] = []
    comment: list[str] = []
    section: list[str] = []
    was_setting = False
    for line in text.splitlines():
        match = SETTING.match(line)
        if line.startswith("# ---"):
            section, comment = ["", line], []
        elif not match and line:
            comment = [line] if was_setting else [*comment, line]
        elif match and match[1] in names:
            name = match[1]
            result += [*section, *comment]
            result += [f"{name}={quote(values[name])}" if name in values else f"#{name}={defaults.get(name, match[2])}"]
            section, comment = [], []
        was_setting = bool(match)
    return "\n".join(result).strip() + "\n"


def quote(value: str) -> str:
    """A value as Compose reads it from .env."""
    if re.fullmatch(r"[\w./:@,+-]*", value, re.ASCII):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'
