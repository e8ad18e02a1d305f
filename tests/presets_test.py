"""What no build here reads: the list of libraries for vcpkg, and the presets of other systems."""
import json
import os
import re
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# vcpkg's name of what CMake finds, where it is another one.
PORT = {"absl": "abseil", "civetweb": "civetweb", "isal": "isal", "nlohmann_json": "nlohmann-json",
        "uring": "liburing", "numa": "numactl"}
SYSTEMS_OWN = {"Threads"}


def read(name):
    with open(os.path.join(SOURCE, name)) as file:
        return file.read()


class PresetsTest(unittest.TestCase):
    def test_vcpkg_has_each_library_that_cmake_looks_for(self):
        cmake = read("cmake/Dependencies.cmake")
        wanted = set(re.findall(r"find_package\((\S+)", cmake)) - SYSTEMS_OWN
        wanted |= set(re.findall(r"find_library\(\w+ (?:NAMES )?([\w-]+)", cmake))
        wanted |= set(re.findall(r"kv_optional\(\w+ \S+ (\w+)", cmake))
        wanted -= {"library"}  # of the macro's own description
        self.assertGreater(len(wanted), 12)
        named = {entry if isinstance(entry, str) else entry["name"]
                 for entry in json.loads(read("vcpkg.json"))["dependencies"]}
        missing = {name for name in wanted if PORT.get(name, name.lower()) not in named}
        self.assertEqual(missing, set())

    def test_presets_build_what_is_configured(self):
        presets = json.loads(read("CMakePresets.json"))
        configured = {preset["name"] for preset in presets["configurePresets"]}
        for kind in ("buildPresets", "testPresets"):
            for preset in presets[kind]:
                self.assertIn(preset["configurePreset"], configured)
        windows = next(p for p in presets["configurePresets"] if p["name"] == "windows")
        self.assertEqual(windows["architecture"], "x64")
        self.assertEqual(windows["cacheVariables"]["VCPKG_TARGET_TRIPLET"], "x64-windows-static")
        self.assertIn("MultiThreaded$<", windows["cacheVariables"]["CMAKE_MSVC_RUNTIME_LIBRARY"])

    def test_scripts_name_options_that_there_are(self):
        # By the options' source: these scripts run on Windows only.
        options = set(re.findall(r'"(--[a-z0-9-]+)', read("KVService/options.cc")))
        seen = 0
        for folder in ("init", "run", "deploy"):
            for name in os.listdir(os.path.join(SOURCE, "scripts", folder)):
                if not name.endswith(".ps1"):
                    continue
                for option in re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", read(f"scripts/{folder}/{name}")):
                    if option in ("--preset", "--build"):
                        continue  # CMake's
                    seen += 1
                    self.assertIn(option, options, name)
        self.assertGreater(seen, 5)


if __name__ == "__main__":
    unittest.main()
