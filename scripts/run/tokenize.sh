#!/bin/sh
# Tokenises conversations for KVPlayground: scripts/run/tokenize.sh IN.json OUT.json [encoding]
# Encodings: cl100k_base (default), o200k_base. The input's format is described in
# scripts/tokenize/tokenize.mjs; KVPlayground/data/conversations.json is an example.
set -eu
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "usage: $0 IN.json OUT.json [cl100k_base|o200k_base]" >&2
  exit 2
fi
for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "tokenize: $tool is needed and not installed" >&2; exit 2; }
done
tools=$(cd "$(dirname "$0")/../tokenize" && pwd)
[ -d "$tools/node_modules/tiktoken" ] ||
  npm install --prefix "$tools" --no-package-lock --no-audit --no-fund --silent >&2 ||
  { echo "tokenize: npm could not install tiktoken (is its registry reachable?)" >&2; exit 2; }
exec node "$tools/tokenize.mjs" "$@"
