"""Writes the measured parts of BENCHMARKS.md from JSON lines.

    python3 benchmarks/tables.py [--other] FILE...

A file holds a JSON object a line: what toygrad-bench, `peers.py` and the programs of the other
libraries print, and what `cold-build.sh` prints. Of several measurements of one thing, the last
counts. What stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced. The machine
is the one that this runs on. With `--other` only the tables of the other machine are written: what it
is, and times.
"""
import datetime, json, os, platform, re, subprocess, sys

OTHER = "--other" in sys.argv
FILES = [a for a in sys.argv[1:] if a != "--other"]
PAGE = os.path.join(os.path.dirname(__file__), "..", "BENCHMARKS.md")
WORKLOADS = ["W1", "W2", "W3", "W4", "W6"] + [f"F{i}" for i in range(1, 11)]
OURS = {"toygrad": "toygrad compiled", "toygrad-step": "toygrad step by step"}
PEERS = OURS | {"torch-eager": "PyTorch eager", "torch-compile": "torch.compile", "jax": "JAX",
                "candle": "candle", "burn": "burn"}


def said(*command):
    try: return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError: return ""


def table(head, rows):
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(r) + " |" for r in rows)


def duration(us):
    """Three digits and a unit."""
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1)):
        if us >= size: break
    x = us / size
    return f"{x:.{max(0, 2 - len(str(int(x))) + 1)}f} {unit}"


class Results:
    def __init__(self, lines):
        self.steps = {(l["workload"], l["threads"], l["peer"]): l for l in lines if "workload" in l}
        self.builds = {l["cold_build"]: l for l in lines if "cold_build" in l}
        found = {p for _, _, p in self.steps}
        self.peers = [p for p in PEERS if p in found] + sorted(found - PEERS.keys())
        self.titles = [PEERS.get(p, p) for p in self.peers]

    def rows(self, threads):
        """Workloads that were measured on so many threads, with the line of each peer or None."""
        for w in WORKLOADS:
            lines = [self.steps.get((w, threads, p)) for p in self.peers]
            if any(lines): yield w, lines

    def threads(self):
        return sorted({t for _, t, _ in self.steps}, reverse=True)

    def cells(self, threads, text):
        """A table of a text for each line."""
        rows = [[w] + [text(l) if l else "–" for l in lines] for w, lines in self.rows(threads)]
        return table([""] + self.titles, rows)

    def times(self):
        parts = []
        for t in self.threads():
            rows, slower = [], []
            for w, lines in self.rows(t):
                median = {l["peer"]: l["median_us"] for l in lines if l}
                others = [p for p in median if p not in OURS]
                ratio = "–"
                if others and "toygrad" in median:
                    best = min(others, key=median.get)
                    ratio = f"{median[best] / median['toygrad']:.2f}"
                    if median[best] < median["toygrad"]:
                        ratio = f"**{ratio}**"
                        slower.append(f"{w} ({PEERS.get(best, best)} takes {duration(median[best])}, "
                                      f"we take {duration(median['toygrad'])})")
                cell = lambda l: f"{duration(l['median_us'])} ({duration(l['min_us'])})" if l else "–"
                rows.append([w] + [cell(l) for l in lines] + [ratio])
            parts += [f"### {t} thread{'s' * (t > 1)}", table([""] + self.titles + ["best peer ÷ ours"], rows)]
            if slower: parts.append("Slower than the best peer: " + "; ".join(slower) + ".")
            elif any(r[-1] != "–" for r in rows): parts.append("In no workload is a peer faster.")
        return "\n\n".join(parts)

    def losses(self):
        """How far apart the peers' losses are, relative to ours."""
        rows = []
        for w, lines in self.rows(max(self.threads())):
            ours = self.steps.get((w, max(self.threads()), "toygrad"))
            if not ours: continue
            apart = lambda key: max(abs(l[key] / ours[key] - 1) for l in lines if l)
            rows.append([w, f"{ours['loss0']:.6g}", f"{apart('loss0'):.0e}", f"{apart('loss10'):.0e}"])
        return table(["", "loss at first", "furthest apart", "furthest apart after 10 steps"], rows)

    def build(self):
        rows = [[n, f"{b['cpu_s']:.0f} s", f"{b['crates']}", f"{b['stripped_kb'] / 1024:.1f} MB"]
                for n, b in self.builds.items()]
        return table(["", "CPU time", "crates", "program, stripped"], rows)

    def machine(self):
        cpu = dict(re.findall(r"^ *(.+?): +(.+)$", said("lscpu"), re.M))
        with open("/proc/meminfo") as f: memory = int(f.readline().split()[1]) / 2**20
        caches = ", ".join(f"{c} {cpu[c]}" for c in ("L1d cache", "L2 cache", "L3 cache") if c in cpu)
        versions = {p: {l["version"] for l in self.steps.values() if l["peer"] == p and l.get("version")} for p in self.peers}
        versions = [f"{PEERS.get(p, p)} {', '.join(sorted(v))}" for p, v in versions.items() if v and p not in OURS]
        os_name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
        lines = [f"{cpu.get('Model name')} (family {cpu.get('CPU family')}, model {cpu.get('Model')}), {cpu.get('CPU(s)')} cores",
                 caches, f"{memory:.0f} GiB of memory",
                 f"{os_name}, {platform.system()} {platform.release().split('-')[0]}", said("rustc", "--version"), *versions,
                 f"measured until {datetime.date.today()}"]
        return "\n".join(f"- {l}" for l in lines if l)


def main():
    lines = []
    for name in FILES:
        with open(name) as f: lines += [json.loads(l) for l in f if l.startswith("{")]
    r = Results(lines)
    parts = {"machine": r.machine()}
    if r.steps:
        most = max(r.threads())
        parts |= {"times": r.times(), "losses": r.losses(),
                  "memory": r.cells(most, lambda l: f"{l['peak_rss_mb']:.0f} MB"),
                  "first": r.cells(most, lambda l: duration(l["first_step_s"] * 1e6))}
    if r.builds: parts["build"] = r.build()
    if OTHER: parts = {f"other {name}": parts[name] for name in ("machine", "times")}
    with open(PAGE) as f: page = f.read()
    for name, text in parts.items():
        between = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.S)
        page = between.sub(lambda m: m[1] + text + "\n" + m[2], page)
    with open(PAGE, "w") as f: f.write(page)


if __name__ == "__main__":
    main()
