#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""count.py TESTLOG.json...: count the TAP subtests of runs of `meson test`.

Prints "PASSED FAILED SKIPPED", then a line for each that failed or was skipped; for a test that failed
with its comments, of which meson shows none. A test that failed
without a "not ok" line (it crashed, ran out of time, or had no plan), or that ran nothing and gave no
reason, counts as one failure more.
"""
import json
import re
import sys

LINE = re.compile(r"\s*(not )?ok\b\s*\d*\s*(?:- )?(.*?)(?:\s+#\s*(skip|todo)\b[:\s]*(.*))?$", re.I)
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}
COMMENTS = 60  # the last ones of a test


def comments(test):
    lines = [text for text in (test.get("stdout") or "").splitlines() if text.startswith("#")]
    lines += (test.get("stderr") or "").splitlines()
    return [f"{test['name']}| {text}" for text in lines[-COMMENTS:]]


def count(path):
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    notes = []
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            test = json.loads(line)
            failed_before = totals["failed"]
            sum_before = sum(totals.values())
            plan_of_none = None
            for text in (test.get("stdout") or "").splitlines():
                plan_of_none = plan_of_none or re.match(r"1\.\.0\s*#\s*skip\S*\s*(.*)", text, re.I)
                match = LINE.match(text)
                if not match:
                    continue
                bad, name, directive, reason = match.groups()
                if (directive or "").lower() == "skip":
                    totals["skipped"] += 1
                    notes.append(f"skipped: {test['name']}: {name} ({reason})")
                elif bad:
                    totals["failed"] += 1
                    notes.append(f"failed: {test['name']}: {name}")
                else:
                    totals["passed"] += 1
            if plan_of_none:
                totals["skipped"] += 1
                notes.append(f"skipped: {test['name']} ({plan_of_none.group(1)})")
            if test["result"] == "SKIP" and sum(totals.values()) == sum_before:
                totals["failed"] += 1
                notes.append(f"failed: {test['name']}: skipped without a reason")
            if test["result"] not in GOOD and totals["failed"] == failed_before:
                totals["failed"] += 1
                notes.append(f"failed: {test['name']}: {test['result']}")
            if totals["failed"] > failed_before:
                notes += comments(test)
    return totals, notes


def main():
    counts = [count(path) for path in sys.argv[1:]]
    print(*(sum(totals[key] for totals, _ in counts) for key in ("passed", "failed", "skipped")))
    for _, notes in counts:
        for note in notes:
            print(note)


if __name__ == "__main__":
    main()
