"""What can be checked of packaging/ without an engine: that its files agree with each other."""
import os
import re
import socket
import subprocess
import threading
import tomllib
import unittest

import yaml

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGING = os.path.join(SOURCE, "packaging")
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def read(*names):
    with open(os.path.join(PACKAGING, *names), encoding="utf-8") as file:
        return file.read()


def size(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()
    return int(number) * SIZES[unit]


def server_takes(text):
    """Whether KVStoreServer reads all options of a configuration file; its complaint where not."""
    options = tomllib.loads(text)
    known = subprocess.run([os.environ["KVSTORE_SERVER"], "--help"], check=True, text=True,
                           capture_output=True, timeout=60).stdout
    return [name for name in options if not re.search(rf"--{name}\b", known)]


class KubernetesTest(unittest.TestCase):
    def setUp(self):
        self.objects = {one["kind"]: one
                        for one in yaml.safe_load_all(read("kubernetes", "kvstore.yaml"))}
        self.set = self.objects["StatefulSet"]["spec"]
        self.pod = self.set["template"]["spec"]
        self.server = self.pod["containers"][0]
        self.options = tomllib.loads(self.objects["ConfigMap"]["data"]["kvstore.toml"])

    def test_every_selector_finds_the_pods(self):
        labels = self.set["template"]["metadata"]["labels"]
        selectors = [self.set["selector"]["matchLabels"], self.objects["Service"]["spec"]["selector"],
                     self.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     self.objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
                     *(one["labelSelector"]["matchLabels"]
                       for one in self.pod["topologySpreadConstraints"])]
        for selector in selectors:
            self.assertEqual(selector, {k: labels[k] for k in selector})
        self.assertEqual(self.set["serviceName"], self.objects["Service"]["metadata"]["name"])
        self.assertEqual(self.objects["Service"]["spec"]["clusterIP"], "None")

    def test_ports_are_those_the_server_listens_on(self):
        ports = {one["name"]: one["containerPort"] for one in self.server["ports"]}
        self.assertEqual(ports, {"grpc": self.options["port"],
                                 "metrics": self.options["metrics-port"]})
        used = [one["targetPort"] for one in self.objects["Service"]["spec"]["ports"]]
        used += [port["port"] for rule in self.objects["NetworkPolicy"]["spec"]["ingress"]
                 for port in rule["ports"]]
        used += [self.server[probe]["httpGet"]["port"]
                 for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        self.assertLessEqual(set(used), set(ports))
        self.assertEqual(self.options["host"], "0.0.0.0")
        self.assertEqual(self.options["metrics-host"], "0.0.0.0")

    def test_the_server_knows_every_option(self):
        for text in (self.objects["ConfigMap"]["data"]["kvstore.toml"], read("node.toml"),
                     read("kvstore.toml"),
                     re.sub(r"(?m)^#([a-z-]+ = )", r"\1", read("kvstore.toml"))):
            self.assertEqual(server_takes(text), [])
        self.assertEqual(server_takes("prot = 1"), ["prot"])

    def test_sizes_fit_into_what_the_pod_has(self):
        memory = size(self.server["resources"]["limits"]["memory"])
        self.assertLessEqual(size(self.options["memory"]) + size(self.options["pending-writes"])
                             + 2 * 2**30, memory)
        claim = self.set["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
        self.assertLessEqual(size(self.options["capacity"]), 0.9 * size(claim))

    def test_volumes_are_where_the_server_looks(self):
        mounts = {one["name"]: one["mountPath"] for one in self.server["volumeMounts"]}
        volumes = [one["name"] for one in self.pod["volumes"]]
        volumes += [one["metadata"]["name"] for one in self.set["volumeClaimTemplates"]]
        self.assertEqual(set(mounts), set(volumes))
        self.assertEqual(mounts["data"], self.options["data-dir"])
        self.assertEqual(self.server["args"],
                         ["--config", mounts["configuration"] + "/kvstore.toml"])

    def test_it_runs_as_the_image_s_user_with_no_right_beyond(self):
        image_user = re.search(r"^USER (\d+):(\d+)$", read("container", "Dockerfile"), re.M)
        context = self.pod["securityContext"]
        self.assertEqual((str(context["runAsUser"]), str(context["runAsGroup"])),
                         image_user.groups())
        self.assertTrue(context["runAsNonRoot"])
        own = self.server["securityContext"]
        self.assertEqual(own["capabilities"], {"drop": ["ALL"]})
        self.assertFalse(own["allowPrivilegeEscalation"])
        self.assertTrue(own["readOnlyRootFilesystem"])


class HealthcheckTest(unittest.TestCase):
    def check(self, answer):
        """The exit code where the port gives this answer, and the request that it got."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            got = []

            def serve():
                connection = listener.accept()[0]
                with connection:
                    request = b""
                    while not request.endswith(b"\r\n\r\n"):
                        request += connection.recv(4096)
                    got.append(request.decode())
                    connection.sendall(answer)

            server = threading.Thread(target=serve)
            server.start()
            result = subprocess.run(
                [os.path.join(PACKAGING, "container", "healthcheck.sh"), "/readyz",
                 str(listener.getsockname()[1])], capture_output=True, timeout=60)
            server.join()
        return result.returncode, got[0]

    def test_only_200_is_well(self):
        code, request = self.check(b"HTTP/1.1 200 OK\r\n\r\nok\n")
        self.assertEqual(code, 0)
        self.assertTrue(request.startswith("GET /readyz HTTP/1.0\r\n"), request)
        for answer in (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n",
                       b"", b" 200 \r\n"):
            self.assertNotEqual(self.check(answer)[0], 0, answer)

    def test_no_server_is_not_well(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        result = subprocess.run([os.path.join(PACKAGING, "container", "healthcheck.sh"), "/healthz",
                                 str(port)], capture_output=True, timeout=60)
        self.assertNotEqual(result.returncode, 0)


if __name__ == "__main__":
    unittest.main()
