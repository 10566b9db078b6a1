"""Where Chainlit's own layers differ from the contract: one test for each reason.

Each entry is an expected failure. It is strict, except where chance decides: a difference
that Chainlit fixes breaks its test, so that this list stays true. Numbers are issues of
Chainlit/chainlit. Observed with Chainlit 2.12.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

DIFFERENCES = {
    # ``SQLAlchemyDataLayer`` on SQLite
    "sa-sqlite": {
        "test_a_closed_layer_takes_no*": "a closed layer opens its connections again",
        "test_close_drains": "close() does not wait for pending writes",
        "test_the_dict_given_is_not_chang*": "showInput of the caller's dict is changed",
        "test_tags_are_replaced_and_emptied": "lists cannot be stored on SQLite (#2528)",
        "test_a_value_keeps_its_type[isError-True]": (
            "JSON comes back as text, flags as numbers on SQLite (#1137)"
        ),
        "test_instants[1767225600*]": "times come back as the text that was sent (#2486 #2821)",
        "test_metadata_that_is_not_json*": "a value that is not JSON raises TypeError",
        "test_a_step_takes_its_descendants_along": "descendants of a deleted step stay",
        "test_a_task_list_is_kept_and_replaced": "a TaskList is never stored",
        "test_a_link_stays_a_link_and_is_never_fetched": (
            "the server fetches the URL of an element (CVE-2026-22219)"
        ),
        "test_only_a_new_message_moves_a_thread[run_tool]": "a tool's step moves its thread up",
        "test_the_display_name_comes_back": "the display name is not stored",
    },
    # ``SQLAlchemyDataLayer`` on PostgreSQL
    "sa-postgresql": {
        "test_dropped_tasks_keep_their_order": (
            "tasks race: none waits for the one before it (#2029 #2040 #3007)"
        ),
        "test_unknown_keys_come_back": (
            "keys without a column lose the whole step (#1932 #2126 #2773 #2887)"
        ),
        "test_a_message_comes_back_as_sent": (
            "command, modes, defaultOpen and autoCollapse are not read"
        ),
        "test_a_step_has_every_key": "each write needs every NOT NULL column",
        "test_what_is_given_on_purpose_is_stored[language-*]": "None never replaces a value",
        "test_values_of_another_type[isError-true-*]": "a text column rejects other types",
        "test_equal_times_keep_the_order_of_arrival": "steps are unordered at equal times",
        "test_steps_are_ordered_by_time[offsets]": "times are sorted as text (#2486 #2798)",
        "test_texts_in_threads_and_feedback": "NUL is refused",
        "test_ids_are_case_sensitive": "ids are UUIDs in the documented schema",
        "test_an_unknown_thread_has_no_author": "a thread without user raises ValueError",
        "test_a_deleted_thread_stays_deleted[metadata]": (
            "a late write restores a deleted thread (#1684)"
        ),
        "test_deleting_says_whether_it_was_there": "delete_feedback always returns True",
        "test_a_write_with_a_foreign_id_touches_nothing_there": (
            "an id of another thread changes the row there"
        ),
        "test_an_element_before_its_step_waits_for_it": (
            "an element cannot precede its thread (#1788 #1960)"
        ),
        "test_favorites_are_of_ones_own_threads": (
            "favorites are always empty on PostgreSQL (#2751 #2752)"
        ),
        "test_feedback_without_a_thread_finds_it_by_the_step": (
            "feedback of Slack and Teams is lost, and an id returned (#2391 #2392 #2132)"
        ),
        "test_a_foreign_cursor_is_refused*": "an unknown cursor returns a page",
        "test_texts_are_found[name]": "search ignores titles (#1365)",
        "test_threads_are_filtered_by_feedback": "thumbs down is taken for no filter",
    },
    # ``ChainlitDataLayer``
    "cd": {
        "test_a_file_may_vanish_once_the_call*": "tasks race: an upload loses its file",
        "test_everything_works_without_a_context": (
            "every call raises outside a session (#2073 #1126)"
        ),
        "test_a_thread_has_all_its_fields": (
            "tags, modes, command, generation and language are dropped (chainlit-datalayer#16 #17)"
        ),
        "test_a_value_keeps_its_type[type-a_type*]": "an unknown step type is rejected",
        "test_a_step_has_every_key": "an update without type raises KeyError",
        "test_what_is_given_on_purpose_is_stored[output-*]": (
            "an empty text never replaces another (chainlit-datalayer#17)"
        ),
        "test_parents_come_before_their_children": "parents may follow their children",
        "test_a_user_comes_back": "times come back in local time without Z (#2491)",
        "test_a_deleted_thread_stays_deleted[feedback]": (
            "late feedback raises the driver's error"
        ),
        "test_a_deleted_step_stays_deleted*": "a late write restores a deleted step",
        "test_an_element_comes_back_as_sent*": (
            "autoPlay and playerConfig do not come back (#1932)"
        ),
        "test_only_a_true_mark_is_a_favorite": 'the text "true" counts as a favorite',
        "test_a_second_feedback_replaces_the_first[False]": (
            "feedback without an id is added twice"
        ),
        "test_a_list_of_everybodys_threads_is_refused": (
            "without a user, the list contains everybody's threads"
        ),
        "test_only_a_new_message_moves_a_thread[end_session]": (
            "the end of a session moves its thread up (#2539)"
        ),
        "test_a_search_is_literal[a%c-*]": "% matches anything in a search",
        "test_threads_are_filtered_by_feedback": "the feedback filter is ignored",
    },
}
"""Of each layer, the tests with their reasons. The name of a test is followed by its parameters
but the layer, in which ``*`` stands for any text."""


def expected_failure(
    test: Callable[..., Any], layer: str, parameters: str
) -> pytest.MarkDecorator | None:
    """Return the mark for a test with parameters but the layer, None if it shows no difference."""
    full_name = f"{test.__name__}[{parameters}]" if parameters else test.__name__
    for name, reason in DIFFERENCES[layer].items():
        if re.fullmatch(re.escape(name).replace(r"\*", ".*"), full_name, re.DOTALL):
            # Concurrent tasks of a test finish in any order.
            concurrent = not {"gather", "create_task"}.isdisjoint(test.__code__.co_names)
            return pytest.mark.xfail(reason=reason, strict=not concurrent)
    return None
