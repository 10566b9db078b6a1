"""Prints the figures of runs as Markdown tables: `python -m benchmarks.markdown figures.json …`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .contenders import LIMIT, OURS, REFERENCES
from .goals import GOALS, judge
from .record import Record, advantage, find, spread
from .table import number

_MARKS = {True: "yes", False: "**no**", None: ""}
_HEAD = (
    "| case | figure | Chainlit's layer | chainlit-sqla | times better (quartiles) "
    "| the limit's | goal | met |"
)


def markdown(records: Sequence[Record]) -> Iterator[str]:
    """Make the lines of a table for each workload and database.

    Args:
        records: Those of one or more runs.

    Yields:
        Lines of Markdown.
    """
    verdicts = {(v.goal.workload, v.goal.database, v.goal.case, v.goal.metric): v
                for v in judge(records, GOALS)}  # fmt: skip
    kinds = dict.fromkeys((record.workload, record.database) for record in records)
    for workload, database in kinds:
        name = REFERENCES.get(database, "")
        yield from (f"**{workload}, {database}** (against `{name}`)", "", _HEAD, "|---" * 8 + "|")
        places = [r.place for r in records if (r.workload, r.database) == (workload, database)]
        for place in dict.fromkeys(places):
            if (ours := find(records, OURS, place)) is None:
                continue
            verdict = verdicts.get(place)
            cells = [
                place[2],
                f"{place[3]}, {ours.unit}" if ours.unit else place[3],
                _figure(find(records, name, place)),
                _figure(ours),
                _times(records, OURS, name, place),
                _times(records, LIMIT, name, place),
                verdict.goal.text if verdict else "",
                _MARKS[verdict.met] if verdict else "",
            ]
            yield "| " + " | ".join(cells) + " |"
        yield ""


def _figure(record: Record | None) -> str:
    return number(spread(record.values).median) if record else "–"


def _times(
    records: Sequence[Record], contender: str, reference: str, place: tuple[str, str, str, str]
) -> str:
    one, other = find(records, contender, place), find(records, reference, place)
    ratio = advantage(one, other) if one and other else None
    if ratio is None:
        return "–"
    return f"{number(ratio.median)}× ({number(ratio.low)}-{number(ratio.high)})"


if __name__ == "__main__":
    documents = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    found = [Record(**record) for document in documents for record in document["records"]]
    print("\n".join(markdown(found)))
