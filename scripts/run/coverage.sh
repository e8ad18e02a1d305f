#!/usr/bin/env bash
# Runs every test on a build that counts what it executes, and prints the coverage by lines and branches. The
# details are in build/coverage/report/index.html. Tests against Azurite run where npm is there.
#
#   scripts/run/coverage.sh [ctest's arguments, for instance -LE azurite]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh gcovr
scripts/run/build.sh coverage
# Those take minutes without optimisation, or link what counts from outside, and execute nothing that others do not.
leave_out=(-E '^(eviction_sim_test|client_package_test)$')
command -v npm >/dev/null || leave_out+=(-LE azurite)
# Programs that are killed write no counts: what they executed is missing.
ctest --preset coverage -j 2 "${leave_out[@]}" "$@" || echo "coverage: some tests failed; counted all the same" >&2
mkdir -p build/coverage/report
gcovr --root . --object-directory build/coverage -j "$(nproc)" \
  --filter 'KVCommon/' --filter 'KVService/' --filter 'KVClient/' --filter 'KVPlayground/' \
  --exclude '.*_test\.cc' --exclude '.*testing\.h' --exclude '.*/generated/.*' --exclude 'KVClient/src/test_.*' --exclude 'KVClient/test/' \
  --exclude '.*_benchmark\.cc' --exclude '.*/(azurite|fault_proxy|test_dns|test_server)\.(cc|h)' \
  --exclude-throw-branches --exclude-unreachable-branches --gcov-ignore-parse-errors \
  --html-details build/coverage/report/index.html --json-summary build/coverage/report/summary.json \
  --txt build/coverage/report/summary.txt 2>build/coverage/report/gcovr.log
/usr/bin/python3 - build/coverage/report/summary.json <<'PYTHON'
import collections, json, sys
summary = json.load(open(sys.argv[1]))
modules = collections.defaultdict(lambda: [0, 0, 0, 0])
KEYS = ("line_covered", "line_total", "branch_covered", "branch_total")
for file in summary["files"]:
    for i, key in enumerate(KEYS):
        modules["/".join(file["filename"].split("/")[:-1][:3])][i] += file[key]
modules["all"] = [summary[key] for key in KEYS]
print("\n| module | lines | of | branches | of |\n|---|---|---|---|---|")
for module, (lines, all_lines, branches, all_branches) in modules.items():
    print(f"| {module} | {100 * lines / max(1, all_lines):.1f} % | {all_lines} "
          f"| {100 * branches / max(1, all_branches):.1f} % | {all_branches} |")
print("\n| least covered | lines | of |\n|---|---|---|")
worst = sorted(summary["files"], key=lambda file: file["line_covered"] - file["line_total"])
for file in worst[:15]:
    print(f"| {file['filename']} | {file['line_percent']} % | {file['line_total']} |")
PYTHON
