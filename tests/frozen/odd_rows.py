"""Statements for the rows that only one variant holds: orphans, duplicates, columns of others."""

from __future__ import annotations

from tests.frozen.conversations import element_id, feedback_id, step_id, thread_id, user_id

GONE_THREAD, GONE_USER = thread_id(99), user_id(99)

_OTHERS_COLUMNS = (
    f"UPDATE steps SET icon = 'search' WHERE id = '{step_id(1, 3)}'",
    f"UPDATE elements SET path = '/srv/files/it''s.png' WHERE id = '{element_id(1)}'",
)

_STEP = 'INSERT INTO steps (id, "threadId", name, type, streaming, output, "createdAt") VALUES'
_ORPHANS = (
    f"""{_STEP} ('{step_id(99, 1)}', '{GONE_THREAD}', 'Ada', 'user_message', false,
        'in a thread that is gone', '2025-03-01T00:00:00Z')""",
    f"""{_STEP} ('{step_id(99, 2)}', NULL, 'Ada', 'user_message', false, 'in no thread', NULL)""",
    f"""{_STEP} (NULL, '{thread_id(1)}', 'Ada', 'user_message', false, 'without an id', NULL)""",
    f"""INSERT INTO elements (id, "threadId", type, name, "forId", "objectKey") VALUES
        ('{element_id(98)}', '{GONE_THREAD}', 'file', 'of a thread that is gone',
         '{step_id(99, 1)}', 'key/of/an/orphan')""",
    f"""INSERT INTO elements (id, "threadId", type, name, "forId") VALUES
        ('{element_id(99)}', NULL, 'file', 'of no thread', '{step_id(1, 1)}')""",
    f"""INSERT INTO feedbacks (id, "threadId", "forId", value, comment) VALUES
        ('{feedback_id(97)}', '{GONE_THREAD}', '{step_id(99, 1)}', 1, 'of a thread that is gone'),
        ('{feedback_id(98)}', '{thread_id(1)}', '{step_id(1, 99)}', 0, 'for a step that is gone'),
        ('{feedback_id(99)}', NULL, NULL, 1, 'for nothing')""",
    f"""INSERT INTO threads (id, "createdAt", name, "userId", "userIdentifier") VALUES
        ('{thread_id(98)}', '2025-03-01T00:00:00Z', 'of a user who is gone', '{GONE_USER}', 'gone')
    """,
    f"""{_STEP} ('{step_id(98, 1)}', '{thread_id(98)}', 'gone', 'user_message', false,
        'by a user who is gone', '2025-03-01T00:00:01Z')""",
)

_DUPLICATES = (
    "INSERT INTO users SELECT * FROM users WHERE identifier = 'quiet'",
    f"""INSERT INTO users (id, identifier, metadata, "createdAt") VALUES
        ('{user_id(11)}', 'ada@example.com', '{{"role": "second"}}', '2025-04-01T00:00:00Z')""",
    f"INSERT INTO threads SELECT * FROM threads WHERE id = '{thread_id(3)}'",
    f"""INSERT INTO threads (id, "createdAt", name, "userId", "userIdentifier", metadata) VALUES
        ('{thread_id(97)}', '2025-04-01T00:00:01Z', 'of her second account', '{user_id(11)}',
         'ada@example.com', '{{}}')""",
    f"INSERT INTO steps SELECT * FROM steps WHERE id = '{step_id(1, 3)}'",
    f"""{_STEP} ('{step_id(2, 1)}', '{thread_id(2)}', 'Ada', 'user_message', false,
        'another with the same id', '2025-02-02T10:00:01.000001Z')""",
    f"INSERT INTO elements SELECT * FROM elements WHERE id = '{element_id(2)}'",
    f"INSERT INTO feedbacks SELECT * FROM feedbacks WHERE id = '{feedback_id(1)}'",
)

_ODD_THREAD, _ODD_STEP = "C0123/1712345678.000100", "msg_ü 🙂/1"
_ODD_IDS = (
    f"""INSERT INTO threads (id, "createdAt", name, "userId", "userIdentifier", metadata) VALUES
        ('{_ODD_THREAD}', '2025-03-02T00:00:00Z', 'Slack', '{user_id(1)}', 'ada@example.com',
         '{{}}')""",
    f"""{_STEP} ('{_ODD_STEP}', '{_ODD_THREAD}', 'Ada', 'user_message', false, 'from Slack',
        '2025-03-02T00:00:01Z'),
        ('{_ODD_STEP.upper()}', '{_ODD_THREAD}', 'Ada', 'user_message', false, 'another case',
        '2025-03-02T00:00:02Z')""",
    f"""INSERT INTO feedbacks (id, "threadId", "forId", value, comment) VALUES
        ('f', '{_ODD_THREAD}', '{_ODD_STEP}', 1, 'from Slack')""",
)

ODD_ROWS: dict[str, tuple[str, ...]] = {
    "sqlite_declared": _OTHERS_COLUMNS,
    "sqlite_text": (
        *_OTHERS_COLUMNS,
        *_ODD_IDS,
        f"UPDATE steps SET \"isError\" = 'true' WHERE id = '{step_id(1, 5)}'",
        f"UPDATE steps SET \"isError\" = 'False' WHERE id = '{step_id(1, 6)}'",
        f"UPDATE steps SET streaming = '' WHERE id = '{step_id(1, 6)}'",
        f"UPDATE feedbacks SET value = '1.0' WHERE id = '{feedback_id(1)}'",
        # Python's json writes what is no JSON, and SQLite's texts may have a NUL.
        f"""UPDATE threads SET metadata = '{{"score": NaN}}' WHERE id = '{thread_id(4)}'""",
        f"UPDATE steps SET generation = 'no JSON' WHERE id = '{step_id(2, 3)}'",
        f"UPDATE steps SET output = 'a' || char(0) || 'b' WHERE id = '{step_id(4, 2)}'",
    ),
    "sqlite_no_foreign_keys": _ORPHANS,
    "postgres_no_foreign_keys": _ORPHANS,
    "sqlite_duplicates": _DUPLICATES,
    "postgres_duplicates": _DUPLICATES,
    # A column of arrays that was made one of text: ALTER … TYPE TEXT USING tags::TEXT.
    "postgres_text_json": (
        rf"""UPDATE threads SET tags = '{{plain,"a, b","quo\"te",漢字}}'
            WHERE id = '{thread_id(6)}'""",
    ),
    "postgres_text_ids": (*_OTHERS_COLUMNS, *_ODD_IDS),
    "postgres_schema": (
        *_OTHERS_COLUMNS,
        *(
            f"""UPDATE {table} SET "createdAtTimestamp" =
                TIMESTAMPTZ '2025-06-01 00:00:00+00' + INTERVAL '1 day' * length("createdAt")"""
            for table in ("users", "threads", "steps")
        ),
    ),
    "postgres_float_feedback": (
        f"""INSERT INTO feedbacks (id, "threadId", "forId", value, comment) VALUES
        ('{feedback_id(5)}', NULL, '{step_id(3, 1)}', 1.0, 'from Slack, without its thread'),
        ('{feedback_id(6)}', '{thread_id(4)}', NULL, 0.0, 'for no step')""",
        f"""UPDATE steps SET "disableFeedback" = true WHERE id = '{step_id(1, 2)}'""",
    ),
}
