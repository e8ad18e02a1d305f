"""The results as one HTML page: no asset from elsewhere, readable in the dark and in the light."""
import html

import report

COLOURS = {"ours": "#2f81f7", "ours full": "#1f6feb", "ours batch": "#1f6feb",
           "ours disk": "#1f6feb", "raw": "#e3832b", "redis": "#d64545", "redis aof": "#d64545",
           "protobuf": "#8a63d2", "tcp": "#7d8590", "memcached": "#2da44e", "nginx": "#1b9e9e",
           "file loop": "#7d8590"}
WIDTH, HEIGHT, BAR, GAP = 860, 190, 13, 26

STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --dim: #656d76; --line: #d0d7de; --back: #fff;
        --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --dim: #8d96a0; --line: #30363d; --back: #0d1117; --good: #3fb950;
          --bad: #f85149; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
       max-width: 920px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2em .8em; border-bottom: 1px solid var(--line); text-align: right; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
th { color: var(--dim); font-weight: 500; }
.pass { color: var(--good); } .fail { color: var(--bad); } .dim { color: var(--dim); }
svg text { fill: var(--text); font: 11px system-ui, sans-serif; } svg .dim { fill: var(--dim); }
svg line { stroke: var(--line); } svg { max-width: 100%; height: auto; }
.key { display: inline-block; margin-right: 1.2em; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
pre { white-space: pre-wrap; }
"""


def table(head, rows):
    """`rows` of cells that are HTML already."""
    text = "<div class=wide><table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"
    for row in rows:
        text += "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    return text + "</table></div>"


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def bar_rows(bars):
    for bar in bars:
        verdict = "pass" if bar["passed"] else "fail"
        value = "-" if bar["ratio"] is None else f"{bar['ratio']:.2f}"
        yield (html.escape(bar["name"]), value, f"{bar['least']:.2f}",
               f"<b class={verdict}>{verdict.upper()}</b>")


def chart(cases, value):
    """Groups of bars, one for each case; `value` of a row, or None where there is none to show."""
    groups = []
    for case in cases:
        rows = [(name, case["rows"][name]) for name in case["contenders"]]
        groups.append((case, [(name, value(case, row)) for name, row in rows
                              if "error" not in row]))
    most = max((v for _, bars in groups for _, v in bars if v), default=0)
    if most == 0:
        return ""
    needed = sum(len(bars) * BAR + GAP for _, bars in groups)
    parts, x = [], 8
    for case, bars in groups:
        begin = x
        for name, v in bars:
            tall = (v or 0) / most * (HEIGHT - 50)
            parts.append(f'<rect x="{x}" y="{HEIGHT - 24 - tall:.1f}" width="{BAR - 2}" '
                         f'height="{tall:.1f}" fill="{COLOURS.get(name, "#888")}">'
                         f"<title>{html.escape(name)}: {number(v or 0)}</title></rect>")
            x += BAR
        parts.append(f'<text x="{(begin + x) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
                     f'{case["in_flight"]} in flight</text>')
        x += GAP
    width = max(WIDTH, needed)
    parts.append(f'<line x1="0" x2="{width}" y1="{HEIGHT - 24}" y2="{HEIGHT - 24}"/>')
    parts.append(f'<text class=dim x="0" y="11">highest: {number(most)}</text>')
    return f'<svg viewBox="0 0 {width} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def legend(cases):
    names = dict.fromkeys(name for case in cases for name in case["contenders"])
    return "<p>" + "".join(
        f'<span class=key><i style="background:{COLOURS.get(name, "#888")}"></i>'
        f"{html.escape(name)}</span>" for name in names) + "</p>"


def rate(case, row):
    return row[report.rate_of(case)] / (1 if case["op"] == "lookup" else 1e9)


def cpu(_, row):
    return row["server_cpu"] + row["client_cpu"]


def case_table(case):
    rows = []
    for name, *cells in report.lines(case):
        cells = cells if len(cells) > 1 else [cells[0]] + [""] * 5
        rows.append([html.escape(name)] + [html.escape(cell) for cell in cells])
    first = html.escape(case["contenders"][0])
    return (f"<p class=dim>{html.escape(case['name'])}, {case['rounds']} rounds</p>"
            + table(["", *report.heading(case), f"{first} : it"], rows))


def section(title, cases):
    unit = "calls a second" if cases[0]["op"] == "lookup" else "GB/s"
    cpu_unit = "µs a call" if cases[0]["op"] == "lookup" else "s a GB"
    text = f"<h2>{html.escape(title)}</h2>" + legend(cases)
    text += f"<p class=dim>Rate, {unit}</p>" + chart(cases, rate)
    text += f"<p class=dim>CPU of server and client together, {cpu_unit}</p>" + chart(cases, cpu)
    return text + "".join(case_table(case) for case in cases)


def render(results):
    sections = {}
    for case in results["cases"]:
        title = case["name"].rsplit(" x", 1)[0]
        sections.setdefault(title, []).append(case)
    parts = ["<!doctype html><html lang=en><meta charset=utf-8>",
             "<meta name=viewport content='width=device-width'>",
             f"<title>KVStore side by side</title><style>{STYLE}</style>",
             "<h1>KVStore side by side</h1>",
             "<p>Medians; ratios are medians of each round's own. All contenders in turn in one run on "
             "one machine, client and server on loopback.</p>"]
    if results["bars"]:
        parts.append("<h2>Bars</h2>" + table(["", "ratio", "least", ""], bar_rows(results["bars"])))
    parts += [section(title, cases) for title, cases in sections.items()]
    for name, value in results["extras"].items():
        parts.append(f"<h2>{html.escape(name)}</h2><pre>{html.escape(report.text_of(value))}</pre>")
    machine = [(html.escape(key), html.escape(value)) for key, value in results["machine"].items()]
    return "\n".join(parts) + "<h2>Machine</h2>" + table(["", ""], machine) + "</html>\n"
