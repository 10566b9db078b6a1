"""Sum up what pytest printed: the last line is `N passed, N failed, N skipped`.

Arguments: the logs of the README's tests, of those on the oldest SQLAlchemy and the oldest
cloud libraries, and of the containers job, and how many stages failed. Exit code 1 when
anything failed, was skipped or was not run at all.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

SUMMARY = re.compile(r"^=* ?(\d+ \w+(?:, \d+ \w+)*) in [\d.]+s", re.MULTILINE)


def counts(log: str) -> Counter[str]:
    path = Path(log)
    total: Counter[str] = Counter()
    for line in SUMMARY.findall(path.read_text(errors="replace") if path.exists() else ""):
        for number, word in re.findall(r"(\d+) (\w+)", line):
            total[word.removesuffix("s") if word.startswith("error") else word] += int(number)
    return total


def main(
    tests_log: str, oldest_log: str, stores_log: str, containers_log: str, failed_stages: str
) -> int:
    tests, containers = counts(tests_log), counts(containers_log)
    total = tests + counts(oldest_log) + counts(stores_log) + containers
    failed = total["failed"] + total["error"]
    left_out = tests["deselected"] - containers["passed"] - containers["failed"]
    if expected := total["xfailed"]:
        print(f"{expected} known differences of other data layers (xfailed)")
    if total["xpassed"]:
        print(f"{total['xpassed']} passed though a failure was expected (xpassed)")
    if left_out > 0:
        print(f"{left_out} tests were deselected and ran nowhere")
    skipped = total["skipped"] + max(left_out, 0)
    # A stage that failed without a test failing in it must not read as "0 failed".
    failed = max(failed, int(failed_stages))
    print(f"{total['passed']} passed, {failed} failed, {skipped} skipped")
    return int(bool(failed or skipped or not total["passed"]))


sys.exit(main(*sys.argv[1:]))
