#!/usr/bin/env python3
"""One table of what `cellc bench --json` and pytorch_on_card.py printed: compared.py FILE, lines of JSON.

Behind each time stands its ratio to that of cellc on the card: above 1 where that is faster. `--self-test` needs
nothing.
"""
import json, sys

MODES = ["eager", "channels_last", "compile", "cuda_graphs"]
CARD, PROCESSOR = "cellc card", "cellc cpu"
COLUMNS = [CARD, PROCESSOR] + MODES
# A row: what, the field of a report, and the one where cellc has another.
ROWS = [("train ms", "train_step_ms", None), ("infer ms", "infer_ms", None),
        ("train MiB", "train_peak_mib", "train_planned_mib"), ("infer MiB", "infer_peak_mib", "infer_planned_mib")]


def column(report):
    if report["program"].startswith("pytorch"):
        return report["mode"]
    return PROCESSOR if report["device"] == "cpu" else CARD


def gathered(lines):
    """Reports by their case, scale and batch, and column; cellc's for training and inference in one."""
    cases = {}
    for line in lines:
        report = json.loads(line)
        fields = {name: value for name, value in report.items() if value is not None}
        if report["program"].startswith("cellc"):
            what = "train" if report["train_step_ms"] is not None else "infer"
            fields[what + "_planned_mib"] = fields.pop("planned_mib")
        of_case = cases.setdefault((report["scale"], report["batch"]), {})
        of_case.setdefault(column(report), {}).update(fields)
    return cases


def cell(report, base, field, other):
    """A number with its ratio to the base's, `failed`, or nothing."""
    def value(report):
        return report.get(field, report.get(other))
    if "failed" in report:
        return "failed"
    if value(report) is None:
        return "-"
    ratio = f" ({value(report) / value(base):.2f})" if value(base) and report is not base else ""
    return f"{value(report):.{2 if field.endswith('_ms') else 1}f}{ratio}"


def table(lines):
    """The table with what must be said about it, as text."""
    rows, notes = [["scale", "batch", ""] + COLUMNS], []
    for (scale, batch), reports in gathered(lines).items():
        base = reports.get(CARD, {})
        for what, field, other in ROWS:
            # Of the processor's memory neither program says the like.
            shown = {name: {} if name == PROCESSOR and "mib" in field else report for name, report in reports.items()}
            numbers = [cell(shown.get(name, {}), base, field, other) for name in COLUMNS]
            rows.append([scale, str(batch), what] + numbers)
        sizes = {report["params"] for report in reports.values() if "params" in report}
        if len(sizes) > 1:
            notes.append(f"{scale}: not the same network, parameters {sorted(sizes)}")
        notes += [f"{scale}, batch {batch}, {name}: {report['failed']}" for name, report in reports.items()
                  if "failed" in report]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths)) for row in rows]
    return "\n".join(lines + [""] + notes + [
        "NASNet-A on 32x32 images. In brackets: how many times as long, or as much, as cellc on the card.",
        "A step and an inference begin with the batch on the host.",
        "Memory on the card: PyTorch's peak, and what cellc plans."])


def self_test():
    def of_cellc(device, what, ms, mib):
        fields = dict(train_step_ms=None, infer_ms=None) | {what: ms}
        return json.dumps(dict(program="cellc 0.1.0", device=device, scale="1@96", batch=32, params=5, planned_mib=mib)
                          | fields)

    def of_pytorch(mode, **fields):
        common = dict(program="pytorch 2", mode=mode, device="cuda:0", scale="1@96", batch=32)
        return json.dumps(common | fields)

    lines = [of_cellc("cuda:0 (H200)", "train_step_ms", 2.0, 100.0), of_cellc("cuda:0 (H200)", "infer_ms", 0.5, 10.0),
             of_cellc("cpu", "train_step_ms", 150.0, 100.0),
             of_pytorch("eager", train_step_ms=25.0, infer_ms=5.25, train_peak_mib=250.0, infer_peak_mib=None, params=5),
             of_pytorch("compile", failed="OutOfMemoryError: no memory"), of_pytorch("cuda_graphs", params=6)]
    found = [line.split("  ") for line in table(lines).splitlines()]
    found = [[text.strip() for text in line if text.strip()] for line in found]
    assert found[0] == ["scale", "batch"] + COLUMNS, found[0]
    assert found[1] == ["1@96", "32", "train ms", "2.00", "150.00 (75.00)", "25.00 (12.50)", "-", "failed", "-"], found[1]
    assert found[2] == ["1@96", "32", "infer ms", "0.50", "-", "5.25 (10.50)", "-", "failed", "-"], found[2]
    assert found[3] == ["1@96", "32", "train MiB", "100.0", "-", "250.0 (2.50)", "-", "failed", "-"], found[3]
    assert found[4] == ["1@96", "32", "infer MiB", "10.0", "-", "-", "-", "failed", "-"], found[4]
    text = table(lines)
    assert "1@96: not the same network, parameters [5, 6]" in text, text
    assert "1@96, batch 32, compile: OutOfMemoryError: no memory" in text, text
    # Without a card there is nothing to compare with.
    assert "25.00  " in table(lines[3:4]) and "(" not in table(lines[3:4]).splitlines()[1]
    print("the table has what it was given")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        with open(sys.argv[1]) as file:
            print(table(file.read().splitlines()))
