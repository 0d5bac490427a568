#!/bin/sh
# Does Traefik itself answer, with its whole configuration? Exit 0 on status 200, else 1. Of the app it says nothing: an
# app that is away must not take the proxy with it. Busybox only.
printf 'GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n' | nc -w 3 127.0.0.1 8081 | head -n 1 | grep -q ' 200 '
