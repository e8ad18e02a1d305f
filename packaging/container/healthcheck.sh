#!/bin/bash
# Whether the server's metrics port says that it is well: GET /healthz is answered by 200.
#
#   kvstore-healthcheck [path (/healthz) [port (9464)]]
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${2:-9464}"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "${1:-/healthz}" >&3
IFS= read -r status <&3
[[ $status == HTTP/1.?' 200 '* ]]
