"""Medians and ratios of the samples, as a table and as files."""
import json
import os
import statistics

import page
import plan


def rate_of(case):
    return "ops_per_s" if case["op"] == "lookup" else "bytes_per_s"


def summarise(case, samples):
    """The medians of each contender; a contender that failed a sample has only the error."""
    result = plan.as_json(case)
    result["rows"] = {}
    for name, runs in samples.items():
        errors = [run["error"] for run in runs if "error" in run]
        if errors:
            result["rows"][name] = {"error": errors[0], "runs": runs}
            continue
        row = {key: statistics.median(run[key] for run in runs)
               for key in ("bytes_per_s", "ops_per_s", "p50_us", "p99_us")}
        for side in ("client", "server"):
            used = [run[f"{side}_cpu_s"] / share(case, run) for run in runs]
            row[f"{side}_cpu"] = statistics.median(used)  # s/GB; of a Lookup us a call
        row["runs"] = runs
        result["rows"][name] = row
    return result


def share(case, run):
    return run["ops"] / 1e6 if case.op == "lookup" else run["bytes"] / 1e9


def ratio(case, one, other):
    """The median of each round's own ratio: what disturbs the machine then disturbs both."""
    rows = [case["rows"].get(name) for name in (one, other)]
    if any(row is None or "error" in row for row in rows):
        return None
    rate = rate_of(case)
    return statistics.median(a[rate] / b[rate] for a, b in zip(rows[0]["runs"], rows[1]["runs"]))


def lines(case):
    """Name, rate, p50 and p99 in ms, CPU of server and client, ratio to the case's first."""
    first = case["contenders"][0]
    for name in case["contenders"]:
        row = case["rows"][name]
        if "error" in row:
            yield name, "failed: " + row["error"]
            continue
        scale = 1 if case["op"] == "lookup" else 1e9
        digits = 0 if case["op"] == "lookup" else 2
        to_first = ratio(case, first, name)
        yield (name, f"{row[rate_of(case)] / scale:.{digits}f}", f"{row['p50_us'] / 1e3:.2f}",
               f"{row['p99_us'] / 1e3:.2f}", f"{row['server_cpu']:.{digits}f}",
               f"{row['client_cpu']:.{digits}f}", "-" if to_first is None else f"{to_first:.2f}")


def heading(case):
    if case["op"] == "lookup":
        return ("calls/s", "p50 ms", "p99 ms", "CPU us server", "CPU us client")
    return ("GB/s", "p50 ms", "p99 ms", "CPU s/GB server", "CPU s/GB client")


def print_case(case):
    print(f"\n{case['name']} ({case['rounds']} rounds)")
    print(f"  {'':11}" + "".join(f"{text:>17}" for text in heading(case))
          + f"{case['contenders'][0] + ' : it':>17}")
    for name, *cells in lines(case):
        if len(cells) == 1:
            print(f"  {name:11}  {cells[0]}")
        else:
            print(f"  {name:11}" + "".join(f"{cell:>17}" for cell in cells))
    print(end="", flush=True)


def bars(cases):
    """Each bar whose both sides were measured."""
    by_name = {case["name"]: case for case in cases}
    results = []
    for bar in plan.BARS:
        case = by_name.get(bar.case)
        value = ratio(case, bar.ours, bar.other) if case else None
        if case:
            results.append(verdict(bar.name, value, bar.least))
    if plan.DISK in by_name:
        results.append(disk_bar(by_name[plan.DISK]))
    return results


def verdict(name, value, least):
    return {"name": name, "ratio": value, "least": least,
            "passed": value is not None and value >= least}


def disk_bar(case):
    """Against the disk while that is slower than the network, else against the RAM tier."""
    to_network = ratio(case, "file loop", "raw")
    if to_network is not None and to_network < 1:
        return verdict("Read 1.2 MB x 8 from disk : direct-read loop",
                       ratio(case, "ours disk", "file loop"), 0.8)
    return verdict("Read 1.2 MB x 8 from disk : RAM tier (the disk outruns the network)",
                   ratio(case, "ours disk", "ours"), 0.8)


def text_of(value):
    return json.dumps(value, indent=1)


def print_bars(results):
    if not results:
        return
    width = max(len(bar["name"]) for bar in results)
    print(f"\n{'':{width}}  ratio  least")
    for bar in results:
        value = "    -" if bar["ratio"] is None else f"{bar['ratio']:5.2f}"
        print(f"{bar['name']:{width}}  {value}  {bar['least']:5.2f}  "
              f"{'PASS' if bar['passed'] else 'FAIL'}")


def write(results, folder):
    with open(os.path.join(folder, "results.json"), "w") as file:
        json.dump(results, file, indent=1)
    with open(os.path.join(folder, "index.html"), "w") as file:
        file.write(page.render(results))
