"""Opens the report of a search in a browser: charts in their boxes, a row for every trial, links that lead
somewhere, no error of a script; then the live page of a running search.

Usage: pages.py CELLC CHROMIUM [PICTURES]. Both programs are run; pictures of the pages are left in the folder
PICTURES, if one is named.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer

# In the page: the boxes of what is drawn, as they were laid out, and what scripts did wrong.
PROBE = """<script>
const faults = [];
window.addEventListener('error', (event) => faults.push(String(event.message)));
window.addEventListener('load', () => {
  const outside = [];
  const charts = [...document.querySelectorAll('svg[role=img]')].map((svg) => {
    const box = svg.getBoundingClientRect();
    const parts = [...svg.querySelectorAll('path, circle, rect, polygon, text')];
    for (const part of parts) {
      const own = part.getBoundingClientRect();
      if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1
          || own.bottom > box.bottom + 1) {
        outside.push(part.outerHTML.slice(0, 200));
      }
    }
    const title = svg.querySelector('title');
    return { title: title ? title.textContent : '', width: box.width, height: box.height,
             curves: svg.querySelectorAll('path[stroke-width="2"], circle, rect').length };
  });
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const result = document.createElement('pre');
  result.id = 'probe';
  result.textContent = JSON.stringify({ charts, outside, wide, faults,
      pictures: document.querySelectorAll('h3 + svg').length });
  document.body.append(result);
});
</script>
"""


class Page(HTMLParser):
    """Headings, rows of the table under each, links, the places they can lead to, and the probe."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.rows, self.links, self.ids, self.probe = [], {}, [], set(), ""
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "id" in attrs:
            self.ids.add(attrs["id"])
        if tag in ("h1", "h2"):
            self.inside = tag
            self.headings.append("")
        elif tag == "tr":
            rows = self.rows.setdefault(self.headings[-1], [])
            rows.append([])
        elif tag == "td":
            self.inside = "td"
            self.rows[self.headings[-1]][-1].append("")
        elif tag == "a":
            self.links.append(attrs["href"])
        elif tag == "pre" and attrs.get("id") == "probe":
            self.inside = "probe"

    def handle_endtag(self, tag):
        if tag in ("h1", "h2", "td", "pre"):
            self.inside = None

    def handle_data(self, data):
        if self.inside in ("h1", "h2"):
            self.headings[-1] += data
        elif self.inside == "td":
            self.rows[self.headings[-1]][-1][-1] += data
        elif self.inside == "probe":
            self.probe += data


def run_browser(chromium, url, *options):
    """The page's text once its scripts have run; an error on the console is one here."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--enable-logging=stderr", f"--user-data-dir={profile}", *options, url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not errors, errors
    return done.stdout


def check_report(chromium, run, must_have, pictures):
    """A finished run's page, in a browser."""
    ledger = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    text = (run / "report.html").read_text()
    assert "<script" not in text, "a report needs no script"
    assert not re.search(r"(src|href)=\"(https?:)?//", text), "a report needs nothing but itself"
    probed = run / "probed.html"
    probed.write_text(text.replace("</head>", PROBE + "</head>", 1))
    page = Page(run_browser(chromium, probed.as_uri(), "--dump-dom"))
    probed.unlink()
    probe = json.loads(page.probe)
    assert probe["faults"] == [], probe["faults"]
    assert probe["outside"] == [], probe["outside"]
    assert probe["wide"] <= 0, f"the page is {probe['wide']} pixels too wide"
    for heading in must_have:
        assert heading in page.headings, f"{heading} is none of {page.headings}"
    charts = probe["charts"]
    assert len(charts) >= 2 and all(chart["curves"] > 0 for chart in charts), charts
    assert all(chart["width"] > 300 and chart["height"] > 100 for chart in charts), charts
    assert probe["pictures"] > 0, "no picture of a cell"

    rows = [row for row in page.rows["Trials"] if row]
    assert [row[0] for row in rows] == [str(record["trial"]) for record in ledger]
    for row, record in zip(rows, ledger):
        if record["status"] == "ok":
            assert row[1] == f"{record['reward']:.4f}", (row, record)
    cells = set()
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, f"nothing is called {link}"
        else:
            assert (run / link).is_file(), f"{link} leads nowhere"
            cells.add(link)
    own = {r["trial"] for r in ledger if r["status"] == "ok" and r["repeat_of"] is None}
    assert {int(re.match(r"cells/(\d+)-", cell)[1]) for cell in cells} == own

    if pictures:
        for name, options in [("", []), ("-dark", ["--force-dark-mode"])]:
            picture = pictures / f"{run.name}{name}.png"
            options = [*options, f"--screenshot={picture}", "--window-size=900,3600"]
            run_browser(chromium, (run / "report.html").as_uri(), *options)
            assert picture.read_bytes()[:4] == b"\x89PNG", "no picture was taken"
    print(f"{run.name}: {len(ledger)} trials, {len(charts)} charts, {len(page.links)} links")


def fetch(url, host=None):
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def check_live(cellc, chromium, folder):
    """The page of a search that runs: it is served, grows, and refuses what is none of its business."""
    command = [cellc, "search", "--strategy", "random", "--trials", "400", "--limit", "200", "--workers", "1",
               "--out", folder, "--name", "live", "--serve"]
    search = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        url = next(line.split()[-1] for line in search.stderr if line.startswith("live at http://127.0.0.1:"))
        # Nobody may wait for the search's own lines.
        threading.Thread(target=search.stderr.read, daemon=True).start()

        def rows():
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                page = fetch(url)
                if "<h2>Trials</h2>" in page:
                    return len([row for row in Page(page).rows["Trials"] if row]), page
                time.sleep(0.2)
            raise AssertionError("no trial is on the page after two minutes")

        first, page = rows()
        shown = Page(run_browser(chromium, url, "--dump-dom", "--virtual-time-budget=500"))
        assert len([row for row in shown.rows["Trials"] if row]) >= first
        cell = next(link for link in Page(page).links if link.startswith("cells/"))
        assert "cell normal(" in fetch(url + cell)
        deadline = time.monotonic() + 120
        while rows()[0] <= first:
            assert time.monotonic() < deadline, "the page does not grow"
            time.sleep(0.5)
        for path, host, status in [("secret", None, 404), ("cells/..", None, 404), ("", "example.com", 403)]:
            try:
                fetch(url + path, host)
                raise AssertionError(f"{path} is served to {host}")
            except urllib.error.HTTPError as error:
                assert error.code == status, error
        print(f"live: {first} trials, then more")
        return page
    finally:
        search.kill()
        search.wait()


def check_script(chromium, page):
    """The live page's script shows what the server has by then, with the texts open that were."""
    later = page.replace("</h1>", " (later)</h1>", 1)
    served = [page, page, later]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = (served.pop(0) if len(served) > 1 else served[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    shown = Page(run_browser(chromium, url, "--dump-dom", "--virtual-time-budget=10000"))
    server.shutdown()
    assert shown.headings[0].endswith(" (later)"), shown.headings[0]
    print("live: the page follows what is served")


def main():
    cellc, chromium = (str(pathlib.Path(path).resolve()) if "/" in path else path for path in sys.argv[1:3])
    pictures = pathlib.Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        small = ["--limit", "200", "--base", "2", "--out", folder]
        runs = {
            "ppo": (["--strategy", "ppo", "--trials", "24", "--set", "ppo.batch_size=8"],
                    ["Reward", "Controller", "Reward and size", "Choices over time", "Best cells", "Trials"]),
            "front": (["--strategy", "evolution", "--trials", "16", "--set", "evolution.population=8", "--set",
                       "evolution.sample_size=3", "--pareto", "accuracy,params"],
                      ["Reward", "Pareto front", "Choices over time", "Best cells", "Trials"]),
            "enas": (["--strategy", "enas", "--trials", "4", "--set", "enas.epochs=3", "--set",
                      "enas.controller_updates=2"],
                     ["Shared weights", "Reward", "Best cells", "Trials"]),
        }
        for name, (arguments, must_have) in runs.items():
            command = [cellc, "search", *arguments, *small, "--name", name]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            check_report(chromium, pathlib.Path(folder) / name, must_have, pictures)
        page = check_live(cellc, chromium, folder)
        check_script(chromium, page)


main()
