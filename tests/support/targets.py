"""Every form of a request target around every spelling of a path, as no client library would send them.

`SPELLINGS` are paths that a proxy or a server could take for /admin/x. `FORMS` are the forms of a target, right and
wrong (RFC 9112, 3.2). `make_targets` puts the paths into the forms.
"""

from collections.abc import Iterable, Iterator

SPELLINGS = [
    "/admin/x",
    "/admin/x?a=/../b",
    "/admin/x#/../..",
    "/admin#/x",
    "/x#/../admin/x",
    "//admin/x",
    "///admin//x",
    "/admin//x",
    "/./admin/x",
    "/.//admin/x",
    "/x/../admin/x",
    "/static/../admin/x",
    "/static/..%2fadmin/x",
    "/static%2f..%2fadmin%2fx",
    "/login/..%2f/admin/x",
    "/admin/../admin/x",
    "/admin/..",
    "/admin/%2e%2e",
    "/admin/.%2E?a",
    "/admin/..#a",
    "/admin/.",
    "/admin%2fx",
    "/admin%2f..",
    "/%2fadmin/x",
    "/%61dmin/x",
    "/%61%64%6d%69%6e%2f%78",
    "/%2561dmin/x",
    "/%25%36%31dmin/x",
    "/admin%252fx",
    "/x/%252e%252e/admin/x",
    "/Admin/x",
    "/ADMIN/x",
    "/admin;a/x",
    "/admin;/x",
    "/;/admin/x",
    "/x/..;/admin/x",
    "/admin/x;a",
    "/admin%3b/x",
    "/admin\\x",
    "/\\admin/x",
    "/x/..\\admin/x",
    "/admin%5cx",
    "/x/..%5cadmin/x",
    "/admin%00/x",
    "/admin/x%00",
    "/admin%20/x",
    "/admin%09/x",
    "/%0aadmin/x",
    "/%c0%afadmin/x",
    "/%e0%80%afadmin/x",
    "/x/%c0%ae%c0%ae/admin/x",
    "/%u002fadmin/x",
    "/\uff0fadmin/x",
    "/x" + "/" * 2000 + "../admin/x",
    "/" * 2000 + "admin/x",
    "/ws/../admin/x",
    "/ws/admin/x",
    "/admin",
    "/admin/",
]
# One spelling of each kind, for the forms.
KINDS = ["/admin/x", "//admin/x", "/x/../admin/x", "/admin%2fx", "/%61dmin/x", "/Admin/x", "/admin"]

# A target is a path, or a URL of the site. Every proxy reads {path} here. {bare} is {path} without its first slash.
READ = ["{path}", "https://localhost{path}", "http://localhost{path}"]
# These have a path, too, in a URL that is not of this site or not complete. A proxy may read the path or refuse.
URLS = [
    "HTTPS://localhost{path}",
    "ws://localhost{path}",
    "x://localhost{path}",
    "https://LOCALHOST{path}",
    "https://localhost:8443{path}",
    "https://user@localhost{path}",
    "https://user:password@localhost{path}",
    "https://@localhost{path}",
    "https:{path}",
    "https://{path}",
    "x:{path}",
    "x://{path}",
    "javascript:{path}",
]
# No path begins here, or the target names another host. Every proxy refuses them.
REFUSED = [
    "https://evil.example{path}",
    "https://[::1]{path}",
    "https://localhost.evil.example{path}",
    "https://localhost@evil.example{path}",
    "https://localhost%2f{bare}",
    "https://localhost\\{bare}",
    "https://localhost#{path}",
    "https://localhost;{path}",
    "https://localhost {path}",
    "x:{bare}",
    "x:%2f{bare}",
    "X-1.+:%2F{bare}",
    "x:%2f%2f{bare}",
    "x:.%2f{bare}",
    "https:{bare}",
    "https:%2f{bare}",
    "urn:x:{bare}",
    "localhost:8443",
    "localhost:8443{path}",
    "localhost{path}",
    "[::1]{path}",
    "@localhost{path}",
    ":{path}",
    "*",
    "*{path}",
    "",
    "{bare}",
    "?{path}",
    "#{path}",
    ";{path}",
    ".{path}",
    "..{path}",
    "%2f{bare}",
    "%2e{path}",
    "\\{bare}",
    "\\\\localhost{path}",
    "{path}#",
    "{path}#/../..",
    "/ {bare}",
    "/\t{bare}",
    "/\x01{bare}",
    "/\x7f{bare}",
    "\x00{path}",
    "{path}\x00",
    "{path}\x0b",
    "{path} HTTP/1.1 x",
]
FORMS = READ + URLS + REFUSED


def move(path: str, area: str) -> str:
    """A spelling of a path below /admin as the same spelling below another area, such as `back.office/desk`."""
    codes = "".join(f"%{ord(letter):02x}" for letter in area)
    spelled = {
        "%61%64%6d%69%6e": codes,
        "%61dmin": codes[:3] + area[1:],
        "%2561dmin": "%25" + codes[1:3] + area[1:],
        "%25%36%31dmin": f"%25%3{codes[1]}%3{codes[2]}{area[1:]}",
        "admin": area,
        "Admin": area.capitalize(),
        "ADMIN": area.upper(),
    }
    for old, new in spelled.items():
        if old in path:
            return path.replace(old, new)
    return path


def make_target(form: str, path: str) -> str:
    """The path in that form."""
    return form.replace("{path}", path).replace("{bare}", path[1:])


def make_targets(forms: Iterable[str], paths: Iterable[str]) -> Iterator[str]:
    """Every path in every form, each target once."""
    paths = list(paths)
    yield from dict.fromkeys(make_target(form, path) for form in forms for path in paths)


def make_request(target: str, host: str = "localhost", method: str = "GET") -> bytes:
    """One request of HTTP/1.1 with exactly this target and Host."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    return head.encode("utf-8" if "\uff0f" in target else "latin-1")
