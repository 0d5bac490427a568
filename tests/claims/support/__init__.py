"""What the claims' tests share: single servers, HTTP clients, processes, stock proxies, and the probe container."""
