"""Where Chainlit's own layers differ from the contract: one test for each reason.

Each entry is an expected failure. It is strict, except where chance decides: a difference
that Chainlit fixes breaks its test, so that this list stays true. Numbers are issues of
Chainlit/chainlit. Observed with Chainlit 2.12.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

SL, PG, CD = LAYERS = ("sa-sqlite", "sa-postgresql", "cd")
"""``SQLAlchemyDataLayer`` on SQLite and on PostgreSQL; ``ChainlitDataLayer``."""


@dataclass(frozen=True)
class Difference:
    """A reason for which a test of the contract fails on a layer."""

    reason: str
    layer: str
    test: str

    def covers(self, name: str, layer: str, parameters: str) -> bool:
        """Return whether this is the reason for a failure of the test."""
        pattern = re.escape(self.test).replace(r"\*", ".*")
        full_name = f"{name}[{parameters}]" if parameters else name
        return layer == self.layer and bool(re.fullmatch(pattern, full_name, re.DOTALL))


DIFFERENCES = (
    # Writes: lost, late or out of order
    Difference(
        "tasks race: none waits for the one before it (#2029 #2040 #3007)",
        PG,
        "test_dropped_tasks_keep_their_order",
    ),
    Difference("tasks race: an upload loses its file", CD, "test_a_file_may_vanish_once_the_call*"),
    Difference("a closed layer opens its connections again", SL, "test_a_closed_layer_takes_no*"),
    Difference("close() does not wait for pending writes", SL, "test_close_drains"),
    Difference(
        "showInput of the caller's dict is changed", SL, "test_the_dict_given_is_not_chang*"
    ),
    Difference(
        "every call raises outside a session (#2073 #1126)",
        CD,
        "test_everything_works_without_a_context",
    ),
    # Steps
    Difference(
        "keys without a column lose the whole step (#1932 #2126 #2773 #2887)",
        PG,
        "test_unknown_keys_come_back",
    ),
    Difference(
        "command, modes, defaultOpen and autoCollapse are not read",
        PG,
        "test_a_message_comes_back_as_sent",
    ),
    Difference(
        "lists cannot be stored on SQLite (#2528)", SL, "test_tags_are_replaced_and_emptied"
    ),
    Difference(
        "JSON comes back as text, flags as numbers on SQLite (#1137)",
        SL,
        "test_a_value_keeps_its_type[isError-True]",
    ),
    Difference(
        "tags, modes, command, generation and language are dropped (chainlit-datalayer#16 #17)",
        CD,
        "test_a_thread_has_all_its_fields",
    ),
    Difference("an unknown step type is rejected", CD, "test_a_value_keeps_its_type[type-a_type*]"),
    Difference("each write needs every NOT NULL column", PG, "test_a_step_has_every_key"),
    Difference("an update without type raises KeyError", CD, "test_a_step_has_every_key"),
    Difference(
        "an empty text never replaces another (chainlit-datalayer#17)",
        CD,
        "test_an_empty_text_on_purpose_is_kept[output]",
    ),
    Difference(
        "None never replaces a value", PG, "test_a_none_that_is_given_is_stored[language-*]"
    ),
    Difference(
        "a text column rejects other types", PG, "test_values_of_another_type[isError-true-*]"
    ),
    # Order and timestamps
    Difference(
        "steps are unordered at equal times", PG, "test_equal_times_keep_the_order_of_arrival"
    ),
    Difference("parents may follow their children", CD, "test_parents_come_before_their_children"),
    Difference("times are sorted as text (#2486 #2798)", PG, "test_offsets_count_in_the_order"),
    Difference(
        "times come back as the text that was sent (#2486 #2821)", SL, "test_instants[1767225600*]"
    ),
    Difference("times come back in local time without Z (#2491)", CD, "test_a_user_comes_back"),
    # Values that databases refuse
    Difference("NUL is refused", PG, "test_texts_in_threads_and_feedback"),
    Difference("a value that is not JSON raises TypeError", SL, "test_metadata_that_is_not_json*"),
    Difference("ids are UUIDs in the documented schema", PG, "test_ids_are_case_sensitive"),
    # Threads and deletions
    Difference(
        "a thread without user raises ValueError", PG, "test_an_unknown_thread_has_no_author"
    ),
    Difference(
        "a late write restores a deleted thread (#1684)",
        PG,
        "test_a_deleted_thread_stays_deleted[metadata]",
    ),
    Difference(
        "late feedback raises the driver's error",
        CD,
        "test_a_deleted_thread_stays_deleted[feedback]",
    ),
    Difference("descendants of a deleted step stay", SL, "test_a_step_takes_its_descendants_along"),
    Difference("a late write restores a deleted step", CD, "test_a_deleted_step_stays_deleted*"),
    Difference(
        "delete_feedback always returns True", PG, "test_deleting_says_whether_it_was_there"
    ),
    Difference(
        "an id of another thread changes the row there",
        PG,
        "test_a_write_with_a_foreign_id_touches_nothing_there[create_step]",
    ),
    # Elements
    Difference("a TaskList is never stored", SL, "test_a_task_list_is_kept_and_replaced"),
    Difference(
        "autoPlay and playerConfig do not come back (#1932)",
        CD,
        "test_an_element_comes_back_as_sent*",
    ),
    Difference(
        "the server fetches the URL of an element (CVE-2026-22219)",
        SL,
        "test_a_link_stays_a_link_and_is_never_fetched",
    ),
    Difference(
        "an element cannot precede its thread (#1788 #1960)",
        PG,
        "test_an_element_before_its_step_waits_for_it",
    ),
    # Favorites and feedback
    Difference(
        "favorites are always empty on PostgreSQL (#2751 #2752)",
        PG,
        "test_favorites_are_of_ones_own_threads",
    ),
    Difference('the text "true" counts as a favorite', CD, "test_only_a_true_mark_is_a_favorite"),
    Difference(
        "feedback without an id is added twice",
        CD,
        "test_a_second_feedback_replaces_the_first[False]",
    ),
    Difference(
        "feedback of Slack and Teams is lost, and an id returned (#2391 #2392 #2132)",
        PG,
        "test_feedback_without_a_thread_finds_it_by_the_step",
    ),
    # The thread list
    Difference(
        "without a user, the list contains everybody's threads",
        CD,
        "test_a_list_of_everybodys_threads_is_refused",
    ),
    Difference("an unknown cursor returns a page", PG, "test_a_foreign_cursor_is_refused*"),
    Difference(
        "a tool's step moves its thread up", SL, "test_only_a_new_message_moves_a_thread[run_tool]"
    ),
    Difference(
        "the end of a session moves its thread up (#2539)",
        CD,
        "test_only_a_new_message_moves_a_thread[end_session]",
    ),
    Difference("search ignores titles (#1365)", PG, "test_texts_are_found[name]"),
    Difference("% matches anything in a search", CD, "test_a_search_is_literal[a%c-*]"),
    Difference("thumbs down is taken for no filter", PG, "test_threads_are_filtered_by_feedback"),
    Difference("the feedback filter is ignored", CD, "test_threads_are_filtered_by_feedback"),
    Difference("the display name is not stored", SL, "test_the_display_name_comes_back"),
)


def expected_failure(
    test: Callable[..., Any], layer: str, parameters: str
) -> pytest.MarkDecorator | None:
    """Return the mark for a test, None if it shows no difference."""
    for difference in DIFFERENCES:
        if difference.covers(test.__name__, layer, parameters):
            # Concurrent tasks of a test finish in any order.
            concurrent = not {"gather", "create_task"}.isdisjoint(test.__code__.co_names)
            return pytest.mark.xfail(reason=difference.reason, strict=not concurrent)
    return None
