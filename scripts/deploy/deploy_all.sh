#!/usr/bin/env bash
# Servers, then clients, then conversations played from the first client against all servers: every byte
# that comes back must be right. They are small, in a partition deploy-check.
#
#   scripts/deploy/deploy_all.sh [--dry-run] [--config FILE] --servers "HOST ..." --clients "HOST ..."
#
# Clients reach the servers by the names given here, without what stands before an @, on the port of FILE, or
# 50051. Otherwise as deploy_server.sh and deploy_client.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
servers=() clients=() config='' common=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=true; common+=(--dry-run) ;;
    --config) config=$(file "${2:-}"); shift ;;
    --servers) read -ra servers <<<"${2:-}"; shift ;;
    --clients) read -ra clients <<<"${2:-}"; shift ;;
    -h | --help) usage 0 ;;
    *) wrong "unknown option $1" ;;
  esac
  shift
done
[ ${#servers[@]} -gt 0 ] && [ ${#clients[@]} -gt 0 ] || usage 2 >&2

port=50051
if [ -n "$config" ]; then
  port=$(sed -n 's/^ *port *= *\([0-9]*\).*/\1/p' "$config" | tail -1)
  scripts/deploy/deploy_server.sh "${common[@]}" --config "$config" "${servers[@]}"
else
  scripts/deploy/deploy_server.sh "${common[@]}" "${servers[@]}"
fi
scripts/deploy/deploy_client.sh "${common[@]}" "${clients[@]}"
list=$(printf ",%s:${port:-50051}" "${servers[@]##*@}")
remote "${clients[0]}" "${list:1}" <<'END'
KVPlayground /usr/share/kvstore/conversation_tokens.json 2 2 --buffer-bytes 4096 \
  --partition deploy-check --server "$1"
END
