#!/bin/bash
# Exits 0 where Apache itself answers with status 200, else 1. The check does not ask the application, because a proxy must
# stay healthy while the application is away. The check needs no curl.
exec 3<>/dev/tcp/127.0.0.1/8081 || exit 1
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 3 _ status _ <&3 && [ "$status" = 200 ]
