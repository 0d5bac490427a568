#!/bin/sh
# Exits 0 where Traefik itself answers with status 200 from its complete configuration, else 1. The check does not ask the
# application, because a proxy must stay healthy while the application is away. The check needs busybox only.
printf 'GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n' | nc -w 3 127.0.0.1 8081 | head -n 1 | grep -q ' 200 '
