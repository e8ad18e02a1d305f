"""Reads every include and fails on one that points upward, or at a library kept elsewhere."""
import os
import re
import subprocess
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What each folder may include of ours, beside itself and KVCommon.
MAY_INCLUDE = {
    "KVCommon": [],
    "KVService/platform": [],
    "KVService/block": [],
    "KVService/eviction": [],
    "KVService/index": ["KVService/block", "KVService/eviction"],
    "KVService/cache": ["KVService/block", "KVService/eviction"],
    "KVService/storage": ["KVService/platform"],
    "KVService/http": ["KVService/platform"],
    "KVService/accounts": [],
    "KVService/admission": [],
    "KVService/auth": ["KVService/accounts", "KVService/admission", "KVService/block"],
    "KVService/observe": [],
    "KVService/store": ["KVService/block", "KVService/cache", "KVService/index",
                        "KVService/storage"],
    "KVService/retention": ["KVService/accounts", "KVService/block", "KVService/store"],
    "KVService/rpc": ["KVService/accounts", "KVService/admission", "KVService/auth",
                      "KVService/block", "KVService/observe", "KVService/platform",
                      "KVService/store"],
    "KVService": ["KVService"],
    "KVClient": ["KVClient"],
    "KVPlayground": ["KVClient/include"],
}
MAY_INCLUDE["KVService/storage/azure"] = ["KVService/accounts", "KVService/platform",
                                          "KVService/http", "KVService/storage"]
MAY_INCLUDE["KVService/storage/tiered"] = ["KVService/eviction", "KVService/platform",
                                           "KVService/storage"]

# Libraries whose types stay in some folders.
AT_HOME = {
    r"rocksdb/": ["KVService/storage/local"],
    r"grpcpp?/": ["KVService/rpc", "KVClient/src", "KVClient/kvctl", "KVClient/test"],
    r"kvstore(_admin)?(\.grpc)?\.pb\.h|google/protobuf/": ["KVService/rpc", "KVClient/kvctl", "KVClient/test",
                                                  "KVClient/src/client", "KVCommon/wire_test"],
    r"curl/": ["KVService/http"],
    r"prometheus/|[Cc]ivet": ["KVService/observe/metrics_server"],
    r"pugixml": ["KVService/storage/azure"],
    r"CLI/": ["KVService/options", "KVClient/kvctl", "KVPlayground/options"],
    r"isa-l": ["KVCommon/digest"],
    r"numa": ["KVService/platform/numa"],
}

INCLUDE = re.compile(r'^#include [<"]([^>"]+)[>"]', re.MULTILINE)


def sources():
    files = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.cpp"], cwd=SOURCE, check=True,
                           capture_output=True, text=True).stdout.split()
    return [f for f in files if f.startswith("KV")]


def folder_of(path):
    return max((f for f in MAY_INCLUDE if path.startswith(f + "/")), key=len)


class LayersTest(unittest.TestCase):
    def test_includes_point_downward_only(self):
        wrong, seen = [], 0
        for path in sources():
            folder = folder_of(path)
            allowed = [folder, "KVCommon", *MAY_INCLUDE[folder]]
            with open(os.path.join(SOURCE, path)) as file:
                for include in INCLUDE.findall(file.read()):
                    if not include.startswith("KV") or "/" not in include:
                        continue
                    seen += 1
                    test = re.search(r"_test(ing)?\.|/test/|benchmark", path)
                    if not test and not any(include.startswith(a + "/") for a in allowed):
                        wrong.append(f"{path} includes {include}")
        self.assertEqual(wrong, [])
        self.assertGreater(seen, 100)

    def test_libraries_stay_at_home(self):
        wrong = []
        for path in sources():
            with open(os.path.join(SOURCE, path)) as file:
                for include in INCLUDE.findall(file.read()):
                    for library, homes in AT_HOME.items():
                        if re.match(library, include) and not any(path.startswith(h) for h in homes):
                            wrong.append(f"{path} includes {include}")
        self.assertEqual(wrong, [])

    def test_windows_is_named_in_platform_only(self):
        for path in sources():
            # The playground, which has no platform/, asks whether its output is a terminal.
            if path.startswith(("KVService/platform/", "KVService/http/", "KVPlayground/console.")):
                continue
            with open(os.path.join(SOURCE, path)) as file:
                self.assertFalse("_WIN32" in file.read(), path)


if __name__ == "__main__":
    unittest.main()
