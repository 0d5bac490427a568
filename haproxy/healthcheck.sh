#!/bin/bash
# Does HAProxy itself answer? Exit 0 on status 200, else 1. Of the app it says nothing: an app that is away must not
# take the proxy with it. No curl needed.
exec 3<>/dev/tcp/127.0.0.1/8081 || exit 1
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 3 _ status _ <&3 && [ "$status" = 200 ]
