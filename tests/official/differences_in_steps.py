"""How Chainlit's own layers write, and what they make of steps, times and values."""

from __future__ import annotations

from tests.official.difference import ALL, CD, PG, SA, SL, Difference

STEPS = (
    # Writes: lost, late or in another order
    Difference(
        "close() waits for ever for connections that tasks hold",
        (CD,),
        "test_close_drains",
        run=False,
    ),
    Difference(
        "tasks race: none waits for the one before it (#2029 #2040 #3007)",
        ALL,
        """test_dropped_tasks_keep_their_order
        test_tasks_that_nobody_holds_are_not_lost
        test_a_read_sees_the_writes_made_before_it
        test_a_read_waits_for_files_on_their_way
        test_a_thread_deleted_and_opened_again_in_one_moment
        test_a_session_that_ends_while_its_thread_is_deleted
        test_made_changed_and_removed_in_one_moment
        test_a_child_that_came_first_goes_with_its_parent
        test_two_clicks_at_once_leave_one_feedback
        test_feedback_right_after_its_step_finds_the_thread
        test_metadata_merges_in_one_moment
        test_the_first_message_and_the_owner_arrive_together
        test_two_layers_merge_the_metadata_of_one_thread
        test_many_threads_at_once
        test_the_last_of_many_updates_wins
        test_an_element_removed_while_it_is_stored_is_gone
        test_a_file_that_is_stored_while_its_place_is_deleted_leaves_nothing
        test_a_file_may_vanish_once_the_call_was_made
        test_many_files_may_vanish_once_the_calls_were_made
        test_eight_logins_at_once_make_one_user""",
    ),
    Difference(
        "a cancelled or unfinished write is rolled back; close() does not wait for it",
        ALL,
        """test_close_drains
        test_a_cancelled_caller_loses_nothing""",
    ),
    Difference(
        "a closed layer opens its connections again",
        ALL,
        "test_a_closed_layer_takes_no_writes",
    ),
    Difference(
        "values are read when the task gets to them, not when the call is made",
        ALL,
        """test_a_dict_changed_after_the_call_is_stored_as_it_was
        test_content_changed_after_the_call_is_stored_as_it_was""",
    ),
    Difference(
        "the dict given is changed: showInput becomes text",
        SA,
        "test_the_dict_given_is_not_changed",
    ),
    Difference(
        "every call raises outside of a session (#2073 #1126)",
        ALL,
        "test_everything_works_without_a_context",
    ),
    # Steps
    Difference(
        "keys that have no column lose the whole step or element (#1932 #2126 #2773 #2887)",
        ALL,
        """test_unknown_keys_come_back
        test_an_element_of_the_future_comes_back
        test_steps_survive_a_restart
        test_get_step
        test_a_value_keeps_its_type[icon-*]""",
    ),
    Difference(
        "command, modes, defaultOpen, autoCollapse are not read; showInput comes back as text; "
        "lists and dicts cannot be stored on SQLite, modes nowhere (#2528 #1137)",
        ALL,
        """test_a_message_comes_back_as_sent
        test_a_tool_step_comes_back_as_sent
        test_chainlits_own_objects_come_back
        test_nothing_is_stored_before_the_first_message
        test_a_partial_update_erases_nothing
        test_a_message_dict_over_a_step_dict_keeps_the_keys_of_both
        test_a_tool_step_can_be_a_favorite
        test_marking_and_unmarking
        test_two_layers_on_one_database
        test_text_in_a_step
        test_deep_json_is_kept
        test_long_texts
        test_a_step_deleted_here_can_be_written_there
        test_a_value_keeps_its_type[showInput-False]
        test_a_value_keeps_its_type[showInput-True]
        test_a_value_keeps_its_type[showInput-None]
        test_a_value_keeps_its_type[defaultOpen-*]
        test_a_value_keeps_its_type[autoCollapse-*]
        test_a_value_keeps_its_type[modes-*]
        test_a_value_keeps_its_type[command-*]""",
    ),
    Difference(
        "lists and dicts cannot be stored; JSON comes back as text, booleans as numbers "
        "(#2528 #1137)",
        (SL,),
        """test_a_value_keeps_its_type[streaming-True]
        test_a_value_keeps_its_type[isError-True]
        test_a_value_keeps_its_type[waitForAnswer-True]
        test_a_value_keeps_its_type[tags-*]
        test_a_value_keeps_its_type[metadata-*]
        test_a_value_keeps_its_type[generation-*]
        test_the_metadata_of_a_step_is_replaced
        test_a_thread_has_all_its_fields
        test_a_bare_thread_has_empty_fields
        test_renaming_changes_the_name_only
        test_what_is_not_given_stays
        test_tags_are_replaced_and_emptied
        test_metadata_merges_and_none_removes
        test_sharing_and_unsharing
        test_a_custom_element_is_replaced
        test_the_list_names_its_threads
        test_texts_in_threads
        test_an_owner_brings_a_thread_id_to_life_again_empty
        test_values_of_another_type[streaming-None-*]
        test_values_of_another_type[streaming-false-*]
        test_values_of_another_type[isError-*]
        test_values_of_another_type[tags-sent*]
        test_values_of_another_type[metadata-*]
        test_values_of_another_type[*-sent*]""",
    ),
    Difference(
        "tags, modes, command, generation, language, waitForAnswer are dropped; show_input is "
        "text (chainlit-datalayer#16 #17)",
        (CD,),
        """test_a_value_keeps_its_type[streaming-*]
        test_a_value_keeps_its_type[waitForAnswer-*]
        test_a_value_keeps_its_type[tags-*]
        test_a_value_keeps_its_type[generation-*]
        test_a_value_keeps_its_type[language-*]
        test_a_value_keeps_its_type[type-a_type_of_next_year]
        test_a_none_that_is_given_is_stored
        test_a_thread_has_all_its_fields
        test_tags_are_replaced_and_emptied
        test_texts_in_threads
        test_values_of_another_type[output-*]
        test_values_of_another_type[input-*]
        test_values_of_another_type[type-*]
        test_values_of_another_type[metadata-*]
        test_values_of_another_type[streaming-*]
        test_values_of_another_type[isError-*]
        test_values_of_another_type[tags-*]""",
    ),
    Difference(
        "a step needs every NOT NULL column in each write, else it is lost",
        SA,
        """test_a_step_has_every_key
        test_an_update_before_its_create_is_completed_by_it
        test_an_empty_text_on_purpose_is_kept
        test_an_edited_text_is_found_by_its_new_words
        test_the_queue_is_flushed_method_by_method""",
    ),
    Difference(
        "an update without its type raises KeyError",
        (CD,),
        """test_a_step_has_every_key
        test_an_update_before_its_create_is_completed_by_it
        test_an_edited_text_is_found_by_its_new_words
        test_the_queue_is_flushed_method_by_method
        test_a_write_with_a_foreign_id_touches_nothing_there[update_step]""",
    ),
    Difference(
        "an empty text or empty metadata never replaces another (chainlit-datalayer#17)",
        (CD,),
        """test_an_empty_text_on_purpose_is_kept[output]
        test_an_empty_text_on_purpose_is_kept[input]
        test_the_metadata_of_a_step_is_replaced""",
    ),
    Difference(
        "None never replaces a value",
        SA,
        """test_a_none_that_is_given_is_stored[language-*]
        test_a_none_that_is_given_is_stored[modes-*]
        test_a_none_that_is_given_is_stored[command-*]
        test_a_none_that_is_given_is_stored[isError-*]
        test_a_none_that_is_given_is_stored[showInput-*]
        test_a_none_that_is_given_is_stored[end-*]
        test_values_of_another_type[output-None-]
        test_values_of_another_type[input-None-]
        test_values_of_another_type[metadata-None-*]""",
    ),
    Difference("None never replaces tags", (PG,), "test_a_none_that_is_given_is_stored[tags-*]"),
    Difference(
        "None never replaces a value, and generation comes back as text",
        (SL,),
        """test_a_none_that_is_given_is_stored[parentId-*]
        test_a_none_that_is_given_is_stored[generation-*]""",
    ),
    Difference(
        "a text column refuses other types; the step is lost",
        (PG,),
        """test_values_of_another_type[output-*]
        test_values_of_another_type[input-sent*]
        test_values_of_another_type[streaming-false-*]
        test_values_of_another_type[isError-true-*]
        test_values_of_another_type[tags-single-*]""",
    ),
    # Order and times
    Difference(
        "steps are in no order at equal times, and parents are not moved before children",
        ALL,
        """test_equal_times_keep_the_order_of_arrival
        test_parents_come_before_their_children""",
    ),
    Difference(
        "steps are in no order at equal times, and parents are not moved before children",
        ALL,
        """test_arrival_goes_on_after_a_restart
        test_parents_come_first_at_equal_times
        test_elements_are_listed_in_the_order_of_arrival""",
        sure=False,
    ),
    Difference(
        "times are text and sorted as text (#2486 #2798)",
        SA,
        """test_the_fraction_of_a_second_is_a_fraction
        test_offsets_count_in_the_order""",
    ),
    Difference(
        "times come back as the text that was sent, whatever it is (#2486 #2821)",
        SA,
        """test_instants[*.000000Z-*]
        test_instants[*.250Z-*]
        test_instants[2026-03-01T12:00:00-2026*]
        test_instants[2026-03-01T12:00:00.5-*]
        test_instants[2026-03-01 12:00:00-*]
        test_instants[*+02:00-*]
        test_instants[*-05:30-*]
        test_instants[*+00:00-*]
        test_instants[2026-03-29T02:30:00-*]
        test_instants[1767225600*]
        test_instants[sent*]""",
    ),
    Difference(
        "only one form of time is read, others raise; it gives times without Z, in local time, "
        "and its own time as createdAt (#2491 #2798)",
        (CD,),
        """test_instants
        test_the_fraction_of_a_second_is_a_fraction
        test_offsets_count_in_the_order
        test_a_time_that_is_given_stays
        test_the_layer_writes_its_own_instants_in_utc
        test_a_user_comes_back
        test_a_step_read_and_written_back_is_the_same
        test_a_favorite_can_be_set_before_the_first_message
        test_an_http_session_writes_at_once
        test_favorites_come_newest_first_from_all_threads
        test_the_list_names_its_threads""",
    ),
    # Values that databases refuse
    Difference(
        "NUL and lone surrogates are refused, or stored where SQLite takes them",
        ALL,
        """test_texts_in_threads
        test_texts_in_feedback
        test_text_in_ids_and_questions""",
    ),
    Difference(
        "what is not JSON raises TypeError; NaN makes invalid JSON",
        ALL,
        """test_what_is_not_json
        test_metadata_that_is_not_json""",
    ),
    Difference(
        "endless values raise ValueError or RecursionError, deep ones are stored",
        ALL,
        """test_a_value_without_end_is_refused_alone
        test_a_thread_with_refused_metadata_keeps_what_it_had""",
    ),
    Difference(
        "ids are UUIDs in the documented schema",
        (PG,),
        """test_any_text_is_an_id
        test_ids_are_case_sensitive
        test_a_name_is_only_a_name
        test_the_id_given_with_new_feedback_is_used""",
    ),
)
