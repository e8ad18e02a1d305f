"""A real Prometheus scrapes real servers; the dashboard's and the alerts' queries are run against it.

Prometheus and promtool are Debian's. Needs Azurite for what is told of Azure alone.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import grpc
import processes
import yaml
from azurite import ACCOUNT, Azurite
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from metrics import Metrics, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEPLOY = os.path.join(ROOT, "scripts/deploy")
TOKEN = "a-token"
START_S = 60
SCRAPES_S = 30  # for enough of them, on a busy machine
INTERVAL = "1s"


def alerts():
    with open(os.path.join(DEPLOY, "prometheus/alerts.yml"), encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def dashboard():
    with open(os.path.join(DEPLOY, "grafana/kvstore.json"), encoding="utf-8") as file:
        return json.load(file)


def dashboard_queries():
    """As Grafana would send them."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], (target["expr"].replace("$__rate_interval", "1m")
                                   .replace("$instance", ".*"))


def metrics_of(expression):
    """The names in it that are ours; of a histogram's series, too, as they are scraped."""
    return set(re.findall(r"\bkvstore_\w+", re.sub(r'"[^"]*"', "", expression)))


def without_bound(expression):
    """An alert's expression without the comparison that makes it fire."""
    plain, compared = re.subn(r"\s(>|<|==|>=|<=)\s[\d.]+$", "", expression)
    assert compared == 1, f"no comparison at the end of {expression}"
    return plain


class Prometheus:
    """Scrapes these ports as job kvstore, with the shipped rules; `with` stops it."""

    def __init__(self, directory, ports):
        self.port = free_port()
        with open(os.path.join(DEPLOY, "prometheus/prometheus.yml"), encoding="utf-8") as file:
            config = yaml.safe_load(file)
        config["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
        config["rule_files"] = [os.path.join(DEPLOY, "prometheus/alerts.yml")]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{port}" for port in ports]
        path = os.path.join(directory, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
        self.log = open(os.path.join(directory, "prometheus.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=" + path, f"--web.listen-address=127.0.0.1:{self.port}",
             "--storage.tsdb.path=" + os.path.join(directory, "tsdb")],
            stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_S
        while True:
            try:
                self._get("/-/ready")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.log.seek(0)
                    raise RuntimeError("Prometheus did not start:\n" + self.log.read()) from None
                time.sleep(0.1)

    def _get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read()

    def query(self, expression):
        try:
            answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        return json.loads(answer)["data"]["result"]

    def targets(self):
        return json.loads(self._get("/api/v1/targets"))["data"]["activeTargets"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        processes.end(self.process, 20)
        self.log.close()


def use(server, resource="acct", metadata=()):
    """A bit of everything that is counted."""
    stub, options = server.stub(), {"metadata": metadata, "timeout": 60}
    for n in range(6):
        tokens = [n * 1000 + i for i in range(BLOCK)]
        stub.Write(write_request(tokens, n + 1, resource=resource, buffer=os.urandom(50_000)), **options)
        found = stub.Lookup(lookup_request(tokens, resource=resource), **options)
        reads = [read_request(each.location, resource=resource) for each in found.locations]
        stub.Read(reads[0], **options)
        list(stub.StreamingRead(iter(reads * 2), **options))
        stub.Lookup(lookup_request([7 + n] * BLOCK, resource=resource), **options)
    try:
        stub.Write(write_request([1], 8, resource=resource), **options)
    except grpc.RpcError:
        pass  # INVALID_ARGUMENT, which is counted, too


@unittest.skipIf(shutil.which("prometheus") is None, "prometheus is not installed")
class PrometheusTest(unittest.TestCase):
    def test_every_query_of_the_dashboard_and_of_the_alerts_finds_something(self):
        local_port, azure_port = free_port(), free_port()
        with tempfile.TemporaryDirectory() as directory, Azurite() as azurite:
            auth = os.path.join(directory, "auth.json")
            with open(auth, "w", encoding="utf-8") as file:
                json.dump({"identities": [{
                    "name": "team-a", "token_sha256": [hashlib.sha256(TOKEN.encode()).hexdigest()],
                    "rules": [{"accounts": ["*"], "containers": ["*"], "partitions": ["*"],
                               "allow": ["read", "write"]}]}]}, file)
            retention = os.path.join(directory, "retention.json")
            with open(retention, "w", encoding="utf-8") as file:
                file.write("{}")
            metadata = (("authorization", "Bearer " + TOKEN),)
            with Server("--metrics-port", str(local_port), "--disable-metrics", "--auth", auth,
                        "--memory", "1MiB", "--retention", retention,
                        "--otlp-endpoint", "http://127.0.0.1:9") as local, \
                    Server("--storage", "azure", "--metrics-port", str(azure_port),
                           "--disable-metrics", "--memory", "1MiB", "--cache-capacity", "64MiB",
                           "--cache-dir", os.path.join(directory, "cache"), environment={
                               "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string()}) \
                    as azure, \
                    Prometheus(directory, [local_port, azure_port]) as prometheus:
                end = time.monotonic() + SCRAPES_S
                while time.monotonic() < end:  # rates need it before and after
                    use(local, metadata=metadata)
                    use(azure, resource=ACCOUNT)
                    time.sleep(0.5)
                    scraped = prometheus.query("min(count_over_time(kvstore_ready[1m]))")
                    if scraped and float(scraped[0]["value"][1]) >= 5:
                        break
                for target in prometheus.targets():
                    self.assertEqual(target["health"], "up", target)
                self.assertEqual(len(prometheus.targets()), 2)
                for title, query in dashboard_queries():
                    with self.subTest(panel=title, query=query):
                        self.assertTrue(prometheus.query(query))
                for rule in alerts():
                    with self.subTest(alert=rule["alert"]):
                        self.assertTrue(prometheus.query(without_bound(rule["expr"])))
                # An "or" answers without one of its sides: each name by itself.
                expressions = [query for _, query in dashboard_queries()]
                expressions += [rule["expr"] for rule in alerts()]
                for name in sorted(set().union(*map(metrics_of, expressions))):
                    with self.subTest(metric=name):
                        self.assertTrue(prometheus.query(name), "no server exports it")
                self.assertEqual(prometheus.query('ALERTS{alertstate="firing"}'), [])
                self.assertEqual(prometheus.query("kvstore_misspelt_total"), [])
                self.check_what_is_documented(local_port, azure_port)

    def check_what_is_documented(self, *ports):
        """QUICKSTART's table names the families that servers export, and no others."""
        with open(os.path.join(ROOT, "docs/QUICKSTART.md"), encoding="utf-8") as file:
            text = file.read()
        table = re.search(r"^\| metrics, all of them `kvstore_…`.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
        documented = set()
        for row in table.group(1).splitlines():
            # "by `method`" names labels and "(`expected`)" their values.
            cell = re.sub(r" by `\w+`(?: and `\w+`)*(?: \([^)]*\))?", "", row.split("|")[1])
            documented.update(re.findall(r"`(\w+)`", cell))
        exported = set().union(*(re.findall(r"^# TYPE kvstore_(\w+) ", Metrics(port).text, re.M)
                                 for port in ports))
        self.assertEqual(documented, exported)


@unittest.skipIf(shutil.which("promtool") is None, "promtool is not installed")
class AlertsTest(unittest.TestCase):
    # Series that must make each alert fire, of instance a; and b, of which none may.
    SERIES = {
        "KVStoreDown": [('up{job="kvstore",instance="%s"}', "0x60", "1x60")],
        "KVStoreNotReady": [('kvstore_ready{instance="%s"}', "0x60", "1x60")],
        "KVStoreCallsFail": [
            ('kvstore_rpc_requests_total{instance="%s",code="UNAVAILABLE"}', "0+60x60", "0x60"),
            ('kvstore_rpc_requests_total{instance="%s",code="OK"}', "0+600x60", "0+600x60")],
        "KVStoreCallsRefused": [
            ('kvstore_refused_calls_total{instance="%s"}', "0+600x60", "0+6x60")],
        "KVStoreReadsSlow": [
            ('kvstore_rpc_duration_seconds_bucket{method="Read",instance="%s",le="0.1"}', "0+10x60",
             "0+1000x60"),
            ('kvstore_rpc_duration_seconds_bucket{method="Read",instance="%s",le="1"}', "0+1000x60",
             "0+1000x60"),
            ('kvstore_rpc_duration_seconds_bucket{method="Read",instance="%s",le="+Inf"}',
             "0+1000x60", "0+1000x60")],
        "KVStoreDiskSlow": [
            ('kvstore_tier_read_duration_seconds_sum{tier="disk",instance="%s"}', "0+60x60",
             "0+6x60"),
            ('kvstore_tier_read_duration_seconds_count{tier="disk",instance="%s"}', "0+600x60",
             "0+600x60")],
        "KVStoreAzureSlow": [
            ('kvstore_tier_read_duration_seconds_sum{tier="azure",instance="%s"}', "0+180x60",
             "0+60x60"),
            ('kvstore_tier_read_duration_seconds_count{tier="azure",instance="%s"}', "0+600x60",
             "0+600x60")],
        "KVStoreDamageFound": [
            ('kvstore_corrupt_chunks_total{instance="%s"}', "0x10 1x50", "0x60")],
        "KVStoreDamageAtRest": [
            ('kvstore_scrub_errors_total{instance="%s"}', "0x10 1x50", "0x60")],
        "KVStoreLogOld": [('kvstore_log_age_seconds{instance="%s"}', "20x60", "1x60")],
        "KVStoreLogRecordsLost": [
            ('kvstore_log_records_dropped_total{instance="%s"}', "0+1x60", "0x60")],
        "KVStoreAzureThrottled": [
            ('kvstore_azure_throttled_total{instance="%s"}', "0+60x60", "0x60"),
            ('kvstore_azure_requests_total{instance="%s"}', "0+600x60", "0+600x60")],
        "KVStoreAzureQueue": [
            ('kvstore_azure_waiting_requests{instance="%s"}', "500x60", "20x60")],
        "KVStoreAzureFails": [
            ('kvstore_azure_retries_total{instance="%s"}', "0+120x60", "0+6x60"),
            ('kvstore_azure_requests_total{instance="%s"}', "0+600x60", "0+600x60")],
        "KVStoreUploadsWait": [
            ('kvstore_disk_tier_oldest_pending_age_seconds{instance="%s"}', "400x60", "5x60")],
        "KVStoreDiskTierFails": [
            ('kvstore_disk_tier_errors_total{instance="%s"}', "0+1x60", "0x60")],
    }

    def test_each_fires_where_it_should_and_not_where_all_is_well(self):
        self.assertEqual({rule["alert"] for rule in alerts()}, set(self.SERIES))
        tests = []
        for name, series in self.SERIES.items():
            inputs = []
            for labels, bad, good in series:
                inputs += [{"series": labels % "a", "values": bad}, {"series": labels % "b", "values": good}]
            firing = f'count by (instance) (ALERTS{{alertname="{name}",alertstate="firing"}})'
            tests.append({"interval": "1m", "input_series": inputs, "promql_expr_test": [{
                "expr": firing, "eval_time": "30m",
                "exp_samples": [{"labels": '{instance="a"}', "value": 1}]}]})
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "test.yml")
            with open(path, "w", encoding="utf-8") as file:
                yaml.safe_dump({"rule_files": [os.path.join(DEPLOY, "prometheus/alerts.yml")],
                                "evaluation_interval": "1m", "tests": tests}, file)
            run = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_each_says_what_it_is_about_and_has_its_section(self):
        with open(os.path.join(ROOT, "docs/OPERATIONS.md"), encoding="utf-8") as file:
            heads = re.findall(r"^### (KVStore\w+)$", file.read(), re.M)
        self.assertEqual(heads, [rule["alert"] for rule in alerts()])
        for rule in alerts():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
            self.assertEqual(rule["annotations"]["runbook"],
                             "docs/OPERATIONS.md#" + rule["alert"].lower())
            self.assertIn("$labels.instance", rule["annotations"]["summary"])

    def test_the_configuration_is_one_that_prometheus_takes(self):
        run = subprocess.run(["promtool", "check", "config",
                              os.path.join(DEPLOY, "prometheus/prometheus.yml")],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
