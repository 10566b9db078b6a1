"""What Chainlit's own layers make of threads, deletions, elements, feedback and the list."""

from __future__ import annotations

from tests.official.difference import ALL, CD, PG, SA, SL, Difference

THREADS = (
    # Threads
    Difference(
        "get_thread_author raises ValueError where there is no author",
        ALL,
        """test_an_unknown_thread_has_no_author
        test_a_bare_thread_has_empty_fields
        test_the_first_write_makes_the_thread
        test_a_deleted_thread_is_gone""",
    ),
    Difference(
        "an unknown owner fails an assertion (SA) or a foreign key (CD)",
        ALL,
        """test_an_unknown_owner_is_refused_alone
        test_an_unknown_owner_makes_no_thread""",
    ),
    Difference(
        "any late write makes a deleted thread again (#1684)",
        ALL,
        """test_a_deleted_thread_stays_deleted[metadata]
        test_a_deleted_thread_stays_deleted[name]
        test_a_deleted_thread_stays_deleted[create_step]
        test_a_deleted_thread_stays_deleted[update_step]
        test_a_deleted_thread_stays_deleted[element]
        test_an_owner_brings_a_thread_id_to_life_again_empty
        test_what_one_layer_deleted_the_other_cannot_bring_back""",
    ),
    Difference(
        "any late write makes a deleted thread again (#1684)",
        (PG, CD),
        "test_a_deleted_thread_stays_deleted[tags]",
    ),
    Difference(
        "late feedback raises the driver's error",
        (CD,),
        "test_a_deleted_thread_stays_deleted[feedback]",
    ),
    # Deleting
    Difference(
        "deleting a step leaves its descendants, and late writes bring it back",
        ALL,
        """test_a_step_takes_its_descendants_along
        test_a_deleted_step_stays_deleted
        test_a_late_end_of_a_child_does_not_bring_it_back""",
    ),
    Difference(
        "deleting a step leaves its descendants",
        SA,
        """test_steps_in_a_ring_can_be_deleted
        test_any_text_is_an_id""",
    ),
    Difference(
        "delete_feedback says True whatever was there",
        ALL,
        """test_deleting_says_whether_it_was_there
        test_deleting_what_is_not_there""",
    ),
    # Other people's threads
    Difference(
        "an id of another thread reaches the row there: it is overwritten, moved or deleted",
        ALL,
        """test_a_write_with_a_foreign_id_touches_nothing_there[create_step]
        test_a_write_with_a_foreign_id_touches_nothing_there[feedback*]
        test_both_rows_live_side_by_side
        test_deleting_an_element_in_ones_own_thread
        test_deleting_a_thread_leaves_the_other
        test_deleting_a_step_in_a_session_stays_in_its_thread""",
    ),
    Difference(
        "an id of another thread reaches the row there: it is overwritten, moved or deleted",
        SA,
        "test_a_write_with_a_foreign_id_touches_nothing_there[element]",
    ),
    Difference(
        "an id of another thread reaches the row there: it is overwritten, moved or deleted",
        ALL,
        """test_a_deletion_in_ones_own_thread_ends_no_upload_elsewhere
        test_a_session_ends_no_upload_elsewhere_by_an_id_alone""",
    ),
    # Elements
    Difference(
        "get_element raises TypeError where there are no props",
        SA,
        "test_an_element_is_read_in_its_own_thread_only",
    ),
    Difference(
        "autoPlay and playerConfig do not come back, props as text or empty (#1932)",
        ALL,
        "test_an_element_comes_back_as_sent",
    ),
    Difference(
        "for_id '' returns early: a TaskList is never stored",
        ALL,
        "test_a_task_list_is_kept_and_replaced",
    ),
    Difference(
        "the server fetches the address that was given (CVE-2026-22219)",
        SA,
        """test_a_link_stays_a_link_and_is_never_fetched
        test_a_dead_link_is_kept""",
    ),
    Difference(
        "get_element gives the text 'None' for what is empty",
        (CD,),
        "test_a_link_stays_a_link_and_is_never_fetched",
    ),
    Difference(
        "the error of the file system is raised as it is",
        ALL,
        "test_a_file_that_cannot_be_read_is_an_error",
    ),
    Difference(
        "an element cannot come before its thread (#1788 #1960)",
        (PG,),
        "test_an_element_before_its_step_waits_for_it",
    ),
    Difference(
        "an element in a thread that is not there is not found", (SL,), "test_a_name_is_only_a_name"
    ),
    # Favourites and feedback
    Difference(
        'the text "true" counts as a favourite',
        (CD,),
        "test_only_a_true_mark_is_a_favorite",
    ),
    Difference(
        "jsonb LIKE is no operator: favourites are always empty (#2751 #2752)",
        (PG,),
        """test_favorites_come_newest_first_from_all_threads
        test_favorites_are_of_ones_own_threads
        test_only_a_true_mark_is_a_favorite
        test_a_favorite_can_be_set_before_the_first_message""",
    ),
    Difference(
        "metadata is text on SQLite: setting a favourite raises",
        (SL,),
        "test_a_favorite_can_be_set_before_the_first_message",
    ),
    Difference(
        "keys that have no column lose the whole step (#1932 #2126 #2773 #2887)",
        SA,
        "test_a_step_read_and_written_back_is_the_same",
    ),
    Difference(
        "each feedback without an id is another row, and its step is read twice",
        ALL,
        "test_a_second_feedback_replaces_the_first[False]",
    ),
    Difference(
        "threadId is NOT NULL: feedback of Slack and Teams is lost, an id is returned all the "
        "same (#2391 #2392 #2132)",
        SA,
        """test_feedback_without_a_thread_finds_it_by_the_step
        test_feedback_for_nothing_known_is_refused""",
    ),
    Difference(
        "the driver's error is raised as it is",
        (CD,),
        "test_feedback_for_nothing_known_is_refused",
    ),
    Difference(
        "feedback needs its step or thread first",
        (PG, CD),
        "test_feedback_before_its_step_waits_for_it",
    ),
    # The list
    Difference(
        "all threads are loaded with all their steps (#1365 #2241)",
        (PG,),
        "test_the_list_names_its_threads",
    ),
    Difference(
        "without a user the list raises ValueError (SA) or shows everybody's threads (CD)",
        ALL,
        "test_a_list_of_everybodys_threads_is_refused",
    ),
    Difference(
        "an unknown cursor starts from the first page (SA) or shows nothing (CD)",
        ALL,
        "test_a_foreign_cursor_is_refused",
    ),
    Difference(
        "threads without messages are in no order (SA); only three digits of a second (CD)",
        ALL,
        """test_an_empty_search_is_none
        test_pages_join_to_the_whole
        test_a_page_says_whether_there_is_another
        test_a_cursor_outlives_a_restart
        test_threads_of_one_moment_are_all_listed""",
        sure=False,
    ),
    Difference(
        "the list is sorted by the last step (SA) or by the last write to the thread (CD), and "
        "shows another time; the cursor is a thread that may be gone (#2539)",
        ALL,
        """test_newest_activity_comes_first
        test_the_time_in_the_list_is_the_last_activity
        test_pages_survive_what_happens_between_them""",
    ),
    Difference(
        "a tool's step moves the thread up", SA, "test_only_a_new_message_moves_a_thread[run_tool]"
    ),
    Difference(
        "renaming and the end of a session move the thread up (#2539)",
        (CD,),
        """test_only_a_new_message_moves_a_thread[rename]
        test_only_a_new_message_moves_a_thread[end_session]
        test_only_a_new_message_moves_a_thread[own_again]""",
    ),
    Difference(
        "search looks only in the output of steps, tools among them (#1365)",
        SA,
        """test_texts_are_found[name]
        test_messages_of_both_sides_are_searched_and_tools_are_not""",
    ),
    Difference(
        "search looks only in titles, and % and _ match anything (#1365)",
        (CD,),
        """test_texts_are_found
        test_a_search_stays_with_its_user
        test_messages_of_both_sides_are_searched_and_tools_are_not
        test_a_search_is_literal[*-a%c]
        test_a_search_is_literal[*-%]
        test_a_search_is_literal[*-a_c]
        test_a_search_is_literal[*-_]
        test_a_search_is_literal[a%c-*]""",
    ),
    Difference(
        "thumbs down is taken for no filter",
        SA,
        """test_threads_are_filtered_by_feedback
        test_the_feedback_filter_follows_the_feedback
        test_filters_combine_and_page""",
    ),
    Difference(
        "the feedback filter is ignored",
        (CD,),
        """test_threads_are_filtered_by_feedback
        test_the_feedback_filter_follows_the_feedback
        test_filters_combine_and_page""",
    ),
    Difference(
        "the display name is not stored",
        ALL,
        "test_the_display_name_comes_back",
    ),
)
