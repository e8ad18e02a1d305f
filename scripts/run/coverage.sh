#!/usr/bin/env bash
# Runs every test on a build that counts what it executes, and prints the coverage by lines and branches. The
# details are in build/coverage/report/index.html. Tests against Azurite run where npm is there.
#
#   scripts/run/coverage.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh gcovr
scripts/run/build.sh coverage
leave_out=()
command -v npm >/dev/null || leave_out=(-LE azurite)
# Programs that are killed write no counts: what they executed is missing.
ctest --preset coverage -j 2 "${leave_out[@]}" || echo "coverage: some tests failed; counted all the same" >&2
mkdir -p build/coverage/report
gcovr --root . --object-directory build/coverage -j "$(nproc)" \
  --filter 'KVCommon/' --filter 'KVService/' --filter 'KVClient/' --filter 'KVPlayground/' \
  --exclude '.*_test\.cc' --exclude '.*testing\.h' --exclude '.*/generated/.*' --exclude 'KVClient/src/test_.*' \
  --exclude-throw-branches --exclude-unreachable-branches --gcov-ignore-parse-errors \
  --html-details build/coverage/report/index.html --json-summary build/coverage/report/summary.json \
  --txt build/coverage/report/summary.txt
tail -n 5 build/coverage/report/summary.txt
/usr/bin/python3 - build/coverage/report/summary.json <<'PYTHON'
import collections, json, sys
modules = collections.defaultdict(lambda: [0, 0, 0, 0])
for file in json.load(open(sys.argv[1]))["files"]:
    parts = file["filename"].split("/")
    module = "/".join(parts[:-1][:3])
    for i, key in enumerate(("line_covered", "line_total", "branch_covered", "branch_total")):
        modules[module][i] += file[key]
print("\n| module | lines | of | branches | of |\n|---|---|---|---|---|")
for module, (lines, all_lines, branches, all_branches) in sorted(modules.items()):
    print(f"| {module} | {100 * lines / max(1, all_lines):.1f} % | {all_lines} "
          f"| {100 * branches / max(1, all_branches):.1f} % | {all_branches} |")
PYTHON
