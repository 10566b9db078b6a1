"""The examples in the documentation are what an export writes."""

from __future__ import annotations

from tests.export import sample


async def test_the_examples_are_up_to_date() -> None:
    written = sample.FILE.read_text(encoding="utf-8")
    assert written == sample.page(written, await sample.examples()), (
        "run: python -m tests.export.sample"
    )
