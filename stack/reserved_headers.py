"""The request headers that only a proxy may set: names by which software learns who asks, for which path and how.

A client can send any of them, so each proxy removes them and then sets its own (snippets/forwarded-headers.*). Caddy,
Apache and HAProxy remove families by their prefix. NGINX and Traefik can remove single names only, so their snippets
list all of `NAMES`. Every proxy also removes each name with an underscore, because WSGI cannot tell X_Real_IP from
X-Real-IP.
"""

# What each proxy sets. Everything else in this file never reaches the application.
SET = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "X-Request-ID")

# Families, and their members that software is known to read.
FAMILIES = {
    "X-Forwarded": (
        "", "-Access-Token", "-By", "-Client-Cert", "-Client-IP", "-Email", "-For", "-Groups", "-Host", "-Method",
        "-Path", "-Port", "-Preferred-Username", "-Prefix", "-Proto", "-Protocol", "-Roles", "-Scheme", "-Server",
        "-Ssl", "-Tls-Client-Cert", "-Tls-Client-Cert-Info", "-Uri", "-Url", "-User", "-Username",
    ),
    "Forwarded": ("", "-For", "-Host", "-Proto"),
    "X-Real-": ("Host", "IP", "Port", "Proto", "Scheme"),
    "X-Original-": (
        "For", "Forwarded-For", "Host", "Method", "Path", "Proto", "Remote-Addr", "Request-Uri", "Scheme", "Uri", "Url",
    ),
    "X-Rewrite-": ("Uri", "Url"),
    "Remote-": ("Addr", "Email", "Groups", "Host", "Name", "User"),
    "X-Remote-": ("Addr", "Email", "Group", "Groups", "Host", "IP", "Name", "User"),
    "X-Auth-Request-": ("Access-Token", "Email", "Groups", "Preferred-Username", "User"),
}  # fmt: skip

SINGLE = (
    # The client's address, as networks of proxies (CDNs) write it.
    "CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "Client-IP", "CloudFront-Viewer-Address",
    "DO-Connecting-IP", "Fastly-Client-IP", "Fly-Client-IP", "Incap-Client-IP", "Proxy-Client-IP", "True-Client-IP",
    "WL-Proxy-Client-IP", "X-Appengine-User-IP", "X-Azure-ClientIP", "X-Azure-SocketIP", "X-Client-IP",
    "X-Cluster-Client-IP", "X-Envoy-External-Address", "X-Nf-Client-Connection-IP", "X-Originating-IP",
    "X-ProxyUser-IP", "X-Sucuri-ClientIP", "X-Vercel-Forwarded-For",
    # The scheme and the host.
    "CloudFront-Forwarded-Proto", "Front-End-Https", "X-Scheme", "X-Url-Scheme", "X-Host", "X-HTTP-Host-Override",
    # Where the application is mounted. HTTP_PROXY is a variable that HTTP clients read in CGI-like environments.
    "Daphne-Root-Path", "Path-Info", "Script-Name", "X-Path-Info", "X-Script-Name", "Proxy",
    # The method. A proxy's rules, such as the limit of POST /login, look at the method that the client sent.
    "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override",
    # The user, whom a proxy has identified.
    "Client-Cert", "Client-Cert-Chain", "SSL-Client-Cert", "SSL-Client-S-DN", "SSL-Client-Verify",
    "X-Authenticated-User", "X-Authentik-Username", "X-Client-Cert", "X-Client-Verify", "X-SSL-Client-Cert",
    "X-SSL-Client-S-DN", "X-SSL-Client-Verify", "X-Webauth-User",
    "X-Request-ID",
)  # fmt: skip

NAMES = (*(prefix + member for prefix, members in FAMILIES.items() for member in members), *SINGLE)


def aliases(name: str) -> list[str]:
    """Every spelling of `name` with an underscore for at least one of its hyphens."""
    spellings = [""]
    for index, part in enumerate(name.split("-")):
        spellings = [spelling + mark + part for spelling in spellings for mark in ("-", "_")[: 2 if index else 1]]
    return [spelling.removeprefix("-") for spelling in spellings if "_" in spelling]
