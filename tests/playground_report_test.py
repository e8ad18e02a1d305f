"""KVPlayground's page and CSV file of a real run, the page as a browser has it (chromium).

Without chromium the page is read by Python alone, and the tests that need it are skipped.
"""
import csv
import html.parser
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from kvserver import Server

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKENS = os.path.join(SOURCE, "KVPlayground", "data", "conversation_tokens.json")
CHROMIUM = shutil.which("chromium")
# What a page must not let through, as a partition, which the page shows.
EVIL = "<img src=x onerror=document.title='run'><script>document.title='run'</script>\"'&"


class Tables(html.parser.HTMLParser):
    """The page's tables by id: lists of rows of cells."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.cell, self.charts, self.title, self.tags = {}, None, 0, "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "table":
            self.rows = self.tables[dict(attributes)["id"]] = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = ""
        elif tag == "svg":
            self.charts += 1

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data
        elif self.tags[-1:] == ["title"] and "style" not in self.tags:
            self.title += data.strip()

    def cells(self):
        """Of all tables, as the CSV file has them."""
        return [(name, row[0], column, cell) for name, rows in self.tables.items()
                for row in rows[1:] for column, cell in zip(rows[0][1:], row[1:], strict=True)]


def browse(path, *options):
    """What chromium makes of the page, and what it complains of on its console."""
    with tempfile.TemporaryDirectory() as profile:
        result = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             f"--user-data-dir={profile}", *options, "file://" + path],
            capture_output=True, text=True, timeout=120)
    complaints = re.findall(r"CONSOLE.*", result.stderr)
    return result.stdout, complaints


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.page = os.path.join(cls.directory.name, "report.html")
        path = os.path.join(cls.directory.name, "report.csv")
        with Server("--durability", "none") as server:
            result = subprocess.run(
                [os.environ["KVSTORE_PLAYGROUND"], TOKENS, "1", "--sweep", "1,2,4", "--server",
                 f"127.0.0.1:{server.port}", "--buffer-bytes", "4096", "--partition", EVIL,
                 "--html", cls.page, "--csv", path], capture_output=True, text=True, timeout=300)
        if result.returncode != 0:
            raise RuntimeError(result.stdout + result.stderr)
        with open(path, newline="", encoding="utf-8") as file:
            cls.numbers = list(csv.reader(file))
        with open(cls.page, encoding="utf-8") as file:
            cls.text = file.read()

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def check(self, page):
        self.assertEqual(self.numbers[0], ["table", "row", "column", "value"])
        self.assertEqual(sorted(page.cells()), sorted(map(tuple, self.numbers[1:])))
        self.assertEqual(page.title, "KVPlayground report")
        self.assertEqual(page.charts, 6)
        self.assertNotIn("script", page.tags)
        self.assertNotIn("img", page.tags)

    def test_the_page_has_the_numbers_of_the_csv_file(self):
        self.check(Tables(self.text))
        values = {tuple(line[:3]): line[3] for line in self.numbers}
        self.assertEqual(values["run", "mismatches", "value"], "0")
        self.assertEqual(values["options", "partition", "value"], EVIL)
        for step in ("1", "2", "4"):
            self.assertEqual(values["sweep", step, "hit ratio"], "1.000000")
            self.assertGreater(float(values["sweep", step, "read p99 ms"]), 0)
        self.assertGreater(float(values["latency", "write end-to-end", "count"]), 0)

    def test_what_happened_over_time_adds_up_to_what_happened(self):
        # Rates are over buckets of 0.1 s, the last one's over what is left of it.
        values = {tuple(line[:3]): line[3] for line in self.numbers}
        elapsed = float(values["run", "elapsed s", "value"])
        starts = [float(line[1]) for line in self.numbers
                  if line[0] == "time" and line[2] == "requests/s"]
        width = starts[1] - starts[0] if len(starts) > 1 else 0.1
        total = sum(float(values["time", f"{start:.1f}", "requests/s"])
                    * min(width, elapsed - start) for start in starts if elapsed > start)
        requests = float(values["run", "requests", "value"])
        self.assertAlmostEqual(total, requests, delta=1 + requests / 50)

    @unittest.skipUnless(CHROMIUM, "chromium is not installed")
    def test_a_browser_shows_it_without_complaint(self):
        text, complaints = browse(self.page, "--dump-dom")
        self.assertEqual(complaints, [])
        self.check(Tables(text))

    @unittest.skipUnless(CHROMIUM, "chromium is not installed")
    def test_a_browser_would_have_complained(self):
        path = os.path.join(self.directory.name, "broken.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.text.replace("<h1>", "<script>document.title='run'</script><h1>"))
        text, complaints = browse(path, "--dump-dom")
        self.assertEqual(len(complaints), 1)
        self.assertIn("Content Security Policy", complaints[0])
        self.assertEqual(Tables(text).title, "KVPlayground report", "nothing ran")

    @unittest.skipUnless(CHROMIUM, "chromium is not installed")
    def test_it_fits_a_phone(self):
        # Without the page's own rules on scripts: this one measures it.
        measure = ("<script>document.title = 'fits ' + (document.documentElement.scrollWidth <= "
                   "document.documentElement.clientWidth)</script></body>")
        path = os.path.join(self.directory.name, "phone.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub(r"<meta http-equiv[^\n]*\n", "", self.text)
                       .replace("</body>", measure))
        text, _ = browse(path, "--window-size=500,900", "--dump-dom")
        self.assertEqual(Tables(text).title, "fits true")


if __name__ == "__main__":
    unittest.main()
