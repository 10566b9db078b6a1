-- postgres_ours_0004: made by our migrations

BEGIN;

CREATE TABLE chainlit_sqla_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT chainlit_sqla_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE users (
    id TEXT NOT NULL,
    identifier TEXT NOT NULL,
    "displayName" TEXT,
    metadata JSONB NOT NULL,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_identifier UNIQUE (identifier)
);

CREATE TABLE threads (
    id TEXT NOT NULL,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    "updatedAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    name TEXT,
    "userId" TEXT,
    "userIdentifier" TEXT,
    tags JSONB,
    metadata JSONB NOT NULL,
    CONSTRAINT pk_threads PRIMARY KEY (id),
    CONSTRAINT "fk_threads_userId_users" FOREIGN KEY("userId") REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX "ix_threads_userId_updatedAt_id" ON threads ("userId", "updatedAt", id);

CREATE TABLE steps (
    "threadId" TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    "parentId" TEXT,
    command TEXT,
    modes JSONB,
    streaming BOOLEAN DEFAULT false NOT NULL,
    "waitForAnswer" BOOLEAN,
    "isError" BOOLEAN,
    metadata JSONB NOT NULL,
    tags JSONB,
    input TEXT,
    output TEXT,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    start TIMESTAMP WITH TIME ZONE,
    "end" TIMESTAMP WITH TIME ZONE,
    generation JSONB,
    "showInput" JSONB,
    "defaultOpen" BOOLEAN,
    "autoCollapse" BOOLEAN,
    language TEXT,
    extra JSONB,
    ordinal BIGINT NOT NULL,
    CONSTRAINT pk_steps PRIMARY KEY ("threadId", id),
    CONSTRAINT "fk_steps_threadId_threads" FOREIGN KEY("threadId") REFERENCES threads (id) ON DELETE CASCADE
);

CREATE INDEX ix_steps_id ON steps (id);

CREATE TABLE elements (
    "threadId" TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    "chainlitKey" TEXT,
    url TEXT,
    "objectKey" TEXT,
    name TEXT NOT NULL,
    display TEXT,
    size TEXT,
    "byteSize" BIGINT,
    language TEXT,
    page INTEGER,
    props JSONB,
    "autoPlay" BOOLEAN,
    "playerConfig" JSONB,
    "forId" TEXT,
    mime TEXT,
    extra JSONB,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    ordinal BIGINT NOT NULL,
    CONSTRAINT pk_elements PRIMARY KEY ("threadId", id),
    CONSTRAINT "fk_elements_threadId_threads" FOREIGN KEY("threadId") REFERENCES threads (id) ON DELETE CASCADE
);

CREATE INDEX ix_elements_id ON elements (id);

CREATE TABLE feedbacks (
    "threadId" TEXT NOT NULL,
    "forId" TEXT NOT NULL,
    id TEXT NOT NULL,
    value INTEGER NOT NULL,
    comment TEXT,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_feedbacks PRIMARY KEY ("threadId", "forId"),
    CONSTRAINT "fk_feedbacks_threadId_threads" FOREIGN KEY("threadId") REFERENCES threads (id) ON DELETE CASCADE
);

CREATE INDEX ix_feedbacks_id ON feedbacks (id);

CREATE TABLE chainlit_sqla_tombstones (
    "threadId" TEXT NOT NULL,
    id TEXT NOT NULL,
    "deletedAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_chainlit_sqla_tombstones PRIMARY KEY ("threadId", id)
);

CREATE TABLE chainlit_sqla_blob_deletions (
    "objectKey" TEXT NOT NULL,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_chainlit_sqla_blob_deletions PRIMARY KEY ("objectKey")
);

INSERT INTO chainlit_sqla_version (version_num) VALUES ('0001') RETURNING chainlit_sqla_version.version_num;

-- Running upgrade 0001 -> 0002

CREATE TABLE chainlit_sqla_signatures (
    "threadId" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "updatedAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    claim TEXT NOT NULL,
    signature BYTEA,
    CONSTRAINT pk_chainlit_sqla_signatures PRIMARY KEY ("threadId"),
    CONSTRAINT "fk_chainlit_sqla_signatures_threadId_threads" FOREIGN KEY("threadId") REFERENCES threads (id) ON DELETE CASCADE
);

CREATE INDEX "ix_chainlit_sqla_signatures_userId" ON chainlit_sqla_signatures ("userId");

ALTER TABLE chainlit_sqla_signatures SET (toast_tuple_target = 8160);

CREATE FUNCTION chainlit_sqla_forget() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE thread text;
BEGIN
  IF TG_TABLE_NAME = 'threads' THEN thread := NEW.id; ELSE thread := NEW."threadId"; END IF;
  EXECUTE format('SELECT 1 FROM %I.threads WHERE id = $1 FOR KEY SHARE', TG_TABLE_SCHEMA)
    USING thread;
  EXECUTE format('DELETE FROM %I.chainlit_sqla_signatures WHERE "threadId" = $1', TG_TABLE_SCHEMA)
    USING thread;
  RETURN NULL;
END $$;

CREATE TRIGGER chainlit_sqla_forget_insert AFTER INSERT ON steps FOR EACH ROW
WHEN (NEW.type LIKE '%message%' AND NOT current_setting('chainlit_sqla.forgets', true) IS NOT DISTINCT FROM 'on') EXECUTE FUNCTION chainlit_sqla_forget();

CREATE TRIGGER chainlit_sqla_forget_update
AFTER UPDATE OF "threadId", type, output ON steps FOR EACH ROW
WHEN (NEW.type LIKE '%message%' AND NOT current_setting('chainlit_sqla.forgets', true) IS NOT DISTINCT FROM 'on' AND (OLD.output IS DISTINCT FROM NEW.output
  OR OLD.type NOT LIKE '%message%' OR OLD."threadId" <> NEW."threadId"))
EXECUTE FUNCTION chainlit_sqla_forget();

CREATE TRIGGER chainlit_sqla_forget_name AFTER UPDATE OF name ON threads FOR EACH ROW
WHEN (OLD.name IS DISTINCT FROM NEW.name AND NOT current_setting('chainlit_sqla.forgets', true) IS NOT DISTINCT FROM 'on') EXECUTE FUNCTION chainlit_sqla_forget();

UPDATE chainlit_sqla_version SET version_num='0002' WHERE chainlit_sqla_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

CREATE TABLE IF NOT EXISTS chainlit_sqla_quarantine (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    row JSONB NOT NULL,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_chainlit_sqla_quarantine PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS chainlit_sqla_imports (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    position TEXT,
    details JSONB NOT NULL,
    "startedAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    "finishedAt" TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_chainlit_sqla_imports PRIMARY KEY (id)
);

UPDATE chainlit_sqla_version SET version_num='0003' WHERE chainlit_sqla_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

DROP TRIGGER IF EXISTS chainlit_sqla_forget_insert ON steps;

DROP TRIGGER IF EXISTS chainlit_sqla_forget_update ON steps;

DROP TRIGGER IF EXISTS chainlit_sqla_forget_name ON threads;

DROP FUNCTION IF EXISTS chainlit_sqla_forget();

DROP TABLE chainlit_sqla_signatures;

UPDATE chainlit_sqla_version SET version_num='0004' WHERE chainlit_sqla_version.version_num = '0003';

COMMIT;

INSERT INTO users ("id", "identifier", "displayName", "metadata", "createdAt") VALUES
    ('00000000-0000-4000-8000-000000000001', 'ada@example.com', 'ada@example.com 🙂', '{"role": "admin", "provider": "credentials"}', '2025-01-01 08:00:00.123456+00:00'),
    ('00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', 'Żółć 漢字 🙂 O''Brien 🙂', '{"image": null, "nested": {"list": [1, 2.5, null, {"ü": "\"''\\"}]}}', '2025-01-02 08:00:00+00:00'),
    ('00000000-0000-4000-8000-000000000003', 'quiet', NULL, '{}', '2025-01-03 08:00:00+00:00');

INSERT INTO threads ("id", "createdAt", "updatedAt", "name", "userId", "userIdentifier", "tags", "metadata") VALUES
    ('10000000-0000-4000-8000-000000000001', '2025-02-01 09:59:59.000001+00:00', '2025-02-01 23:59:59.000001+00:00', 'It''s a "whole" conversation 🙂', '00000000-0000-4000-8000-000000000001', 'ada@example.com', '["plain", "a, b", "quo\"te", "it''s {braced}", "back\\slash", "漢字 🙂", "NULL"]', '{"id": "session", "env": "{}", "deep": {"a": [{"b": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}]}, "is_shared": true, "shared_at": "2025-02-02T00:00:00Z", "chat_settings": {"model": null, "temperature": 0.25}}'),
    ('10000000-0000-4000-8000-000000000002', '2025-02-02 09:59:59.000001+00:00', '2025-02-02 23:59:59.000001+00:00', 'Złoto', '00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', '[]', '{"chat_profile": "ü"}'),
    ('10000000-0000-4000-8000-000000000003', '2025-02-03 09:59:59.000001+00:00', '2025-02-03 23:59:59.000001+00:00', NULL, '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}'),
    ('10000000-0000-4000-8000-000000000004', '2025-02-04 09:59:59.000001+00:00', '2025-02-04 23:59:59.000001+00:00', 'Nobody''s', NULL, NULL, '["anonymous"]', '{}'),
    ('10000000-0000-4000-8000-000000000005', '2025-02-05 09:59:59.000001+00:00', '2025-02-05 23:59:59.000001+00:00', 'Without a date', '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}'),
    ('10000000-0000-4000-8000-000000000006', '2025-02-06 09:59:59.000001+00:00', '2025-02-06 23:59:59.000001+00:00', 'Forms of time', '00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', NULL, '{"a": 1}'),
    ('10000000-0000-4000-8000-000000000007', '2025-02-07 09:59:59.000001+00:00', '2025-02-07 23:59:59.000001+00:00', 'Without steps', '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}');

INSERT INTO steps ("threadId", "id", "name", "type", "parentId", "command", "modes", "streaming", "waitForAnswer", "isError", "metadata", "tags", "input", "output", "createdAt", "start", "end", "generation", "showInput", "defaultOpen", "autoCollapse", "language", "extra", "ordinal") VALUES
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000001', 'Ada', 'user_message', NULL, 'Search', '{"ü": ["🙂"], "model": "large"}', false, true, false, '{"location": "https://chat.example/?a=''b''"}', NULL, '', 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', '2025-02-01 10:00:01.000001+00:00', '2025-02-01 10:00:01.000001+00:00', '2025-02-01 10:00:01.000001+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000000),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000002', 'on_message', 'run', '20000000-0000-4000-8000-000100000001', NULL, NULL, false, false, false, '{}', NULL, 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', '', '2025-02-01 10:00:02.000002+00:00', '2025-02-01 10:00:02.000002+00:00', '2025-02-01 10:00:02.000002+00:00', NULL, '"json"', true, false, NULL, NULL, 1738000000000001),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000003', 'Suche 🙂', 'tool', '20000000-0000-4000-8000-000100000002', NULL, NULL, false, false, false, '{"nested": {"big": 9007199254740993, "none": null, "float": 1.5}, "favorite": true}', '["tool", "a, b", "q\"q"]', '{"query": "it''s", "limit": 10, "deep": {"a": [1, null, true]}}', '[1, 2]', '2025-02-01 10:00:03.000003+00:00', '2025-02-01 10:00:03.000003+00:00', '2025-02-01 10:00:03.000003+00:00', NULL, '"json"', false, true, 'json', NULL, 1738000000000002),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000004', 'gpt-4', 'llm', '20000000-0000-4000-8000-000100000003', NULL, NULL, false, false, false, '{}', NULL, 'prompt', 'answer', '2025-02-01 10:00:04.000004+00:00', '2025-02-01 10:00:04.000004+00:00', '2025-02-01 10:00:09.500000+00:00', '{"model": "gpt-4", "messages": [{"role": "user", "content": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}], "provider": "openai", "settings": {"stop": ["\n", "🙂"], "temperature": 0.5}, "promptTokens": 12, "outputTokenCount": null}', 'true', false, false, NULL, NULL, 1738000000000003),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000005', 'broken', 'tool', '20000000-0000-4000-8000-000100000002', NULL, NULL, false, false, true, '{}', NULL, 'kept though it is not shown', 'ValueError: ''x'' is not \x
  at line 1', '2025-02-01 10:00:05.000005+00:00', '2025-02-01 10:00:05.000005+00:00', '2025-02-01 10:00:05.000005+00:00', NULL, 'false', false, false, NULL, NULL, 1738000000000004),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', 'Assistant', 'assistant_message', '20000000-0000-4000-8000-000100000002', NULL, NULL, false, false, false, '{}', NULL, '', 'Done. 🙂', '2025-02-01 10:00:06.000006+00:00', '2025-02-01 10:00:06.000006+00:00', '2025-02-01 10:00:06.000006+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000005),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000007', 'Assistant', 'assistant_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'Anything else?', '2025-02-01 10:00:07.000007+00:00', '2025-02-01 10:00:07.000007+00:00', '2025-02-01 10:00:07.000007+00:00', NULL, NULL, false, false, NULL, NULL, 1738000000000006),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000001', 'Żółć 漢字 🙂 O''Brien', 'user_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'Tell me a long story.', '2025-02-02 10:00:01.000001+00:00', '2025-02-02 10:00:01.000001+00:00', '2025-02-02 10:00:01.000001+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000007),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000002', 'Assistant', 'assistant_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', repeat('A line of a long answer, with a comma; "quoted" and ''so'' – 漢字 🙂.
', 1500), '2025-02-02 10:00:02.000002+00:00', '2025-02-02 10:00:02.000002+00:00', '2025-02-02 10:00:02.000002+00:00', NULL, '"json"', false, false, 'markdown', NULL, 1738000000000008),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000003', 'code', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, 'print(''ü'')
', '', '2025-02-02 10:00:03.000003+00:00', '2025-02-02 10:00:03.000003+00:00', '2025-02-02 10:00:03.000003+00:00', NULL, '"python"', false, false, 'python', NULL, 1738000000000009),
    ('10000000-0000-4000-8000-000000000003', '20000000-0000-4000-8000-000300000001', 'Ada', 'user_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'A thread without a name.', '2025-02-03 10:00:01.000001+00:00', '2025-02-03 10:00:01.000001+00:00', '2025-02-03 10:00:01.000001+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000010),
    ('10000000-0000-4000-8000-000000000003', '20000000-0000-4000-8000-000400000001', 'Ada', 'assistant_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'a twin', '2025-02-03 10:00:02.000002+00:00', '2025-02-03 10:00:02.000002+00:00', '2025-02-03 10:00:02.000002+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000028),
    ('10000000-0000-4000-8000-000000000004', '20000000-0000-4000-8000-000400000001', 'Guest', 'user_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'Nobody is logged in.', '2025-02-04 10:00:01.000001+00:00', '2025-02-04 10:00:01.000001+00:00', '2025-02-04 10:00:01.000001+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000011),
    ('10000000-0000-4000-8000-000000000004', '20000000-0000-4000-8000-000400000002', 'Assistant', 'assistant_message', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'Welcome.', '2025-02-04 10:00:02.000002+00:00', '2025-02-04 10:00:02.000002+00:00', '2025-02-04 10:00:02.000002+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000012),
    ('10000000-0000-4000-8000-000000000005', '20000000-0000-4000-8000-000500000001', 'Ada', 'user_message', NULL, NULL, NULL, false, NULL, NULL, '{}', NULL, NULL, 'by another program', '2025-02-05 10:00:01+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1738000000000025),
    ('10000000-0000-4000-8000-000000000005', '20000000-0000-4000-8000-000500000002', 'Ada', 'user_message', NULL, NULL, NULL, false, NULL, NULL, '{}', NULL, NULL, 'without a date', '2025-03-01 00:00:00+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1738000000000026),
    ('10000000-0000-4000-8000-000000000005', '20000000-0000-4000-8000-000500000003', 'Ada', 'user_message', NULL, NULL, NULL, false, NULL, NULL, '{}', NULL, NULL, NULL, '2025-03-01 00:00:00+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1738000000000027),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000001', '2025-02-06T11:00:00Z', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:00Z', '2025-02-06 10:00:01.000001+00:00', '2025-02-06 11:00:00+00:00', '2025-02-06 11:00:00+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000013),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000002', '2025-02-06T11:00:01.5Z', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:01.5Z', '2025-02-06 10:00:02.000002+00:00', '2025-02-06 11:00:01.500000+00:00', '2025-02-06 11:00:01.500000+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000014),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000003', '2025-02-06T11:00:02+00:00', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:02+00:00', '2025-02-06 10:00:03.000003+00:00', '2025-02-06 11:00:02+00:00', '2025-02-06 11:00:02+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000015),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000004', '2025-02-06T11:00:03.123456+00:00', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:03.123456+00:00', '2025-02-06 10:00:04.000004+00:00', '2025-02-06 11:00:03.123456+00:00', '2025-02-06 11:00:03.123456+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000016),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000005', '2025-02-06T13:00:04.250000+02:00', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T13:00:04.250000+02:00', '2025-02-06 10:00:05.000005+00:00', '2025-02-06 11:00:04.250000+00:00', '2025-02-06 11:00:04.250000+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000017),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000006', '2025-02-06T11:00:05+00:00Z', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:05+00:00Z', '2025-02-06 10:00:06.000006+00:00', '2025-02-06 11:00:05+00:00', '2025-02-06 11:00:05+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000018),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000007', '2025-02-06T11:00:06.789', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:06.789', '2025-02-06 10:00:07.000007+00:00', '2025-02-06 11:00:06.789000+00:00', '2025-02-06 11:00:06.789000+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000019),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000008', '2025-02-06 11:00:07', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '2025-02-06 11:00:07', '2025-02-06 10:00:08.000008+00:00', '2025-02-06 11:00:07+00:00', '2025-02-06 11:00:07+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000020),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000009', '1738839608000', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '1738839608000', '2025-02-06 10:00:09.000009+00:00', '2025-02-06 11:00:08+00:00', '2025-02-06 11:00:08+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000021),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000010', '1738839609', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '1738839609', '2025-02-06 10:00:10.000010+00:00', '2025-02-06 11:00:09+00:00', '2025-02-06 11:00:09+00:00', NULL, '"json"', false, false, NULL, NULL, 1738000000000022),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000011', 'yesterday, about noon', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', 'yesterday, about noon', '2025-02-06 10:00:11.000011+00:00', NULL, NULL, NULL, '"json"', false, false, NULL, '{"end": "yesterday, about noon", "icon": "search", "later": {"a": [1]}, "start": "yesterday, about noon"}', 1738000000000023),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000012', '', 'tool', NULL, NULL, NULL, false, false, false, '{}', NULL, '', '', '2025-02-06 10:00:12.000012+00:00', NULL, NULL, NULL, '"json"', false, false, NULL, NULL, 1738000000000024);

INSERT INTO elements ("threadId", "id", "type", "chainlitKey", "url", "objectKey", "name", "display", "size", "byteSize", "language", "page", "props", "autoPlay", "playerConfig", "forId", "mime", "extra", "createdAt", "ordinal") VALUES
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000001', 'image', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000001', 'it''s a "picture" 🙂.png', 'inline', 'large', 16, NULL, NULL, NULL, NULL, NULL, '20000000-0000-4000-8000-000100000001', 'image/png', NULL, '2025-03-01 00:00:00+00:00', 1738000000000000),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000002', 'pdf', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000002', 'report.pdf', 'side', NULL, 15, NULL, 3, NULL, NULL, NULL, '20000000-0000-4000-8000-000100000006', 'application/pdf', NULL, '2025-03-01 00:00:00+00:00', 1738000000000001),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000003', 'custom', NULL, NULL, NULL, 'LinearTicket', 'inline', NULL, NULL, NULL, NULL, '{"open": true, "title": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.", "points": [1, 2.5, {"a": []}], "assignee": null}', NULL, NULL, '20000000-0000-4000-8000-000100000006', 'application/json', '{"lostObjectKey": "threads/lost"}', '2025-03-01 00:00:00+00:00', 1738000000000002),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000004', 'audio', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000004', 'answer.mp3', 'inline', NULL, 9, NULL, NULL, NULL, true, NULL, '20000000-0000-4000-8000-000100000007', 'audio/mpeg', NULL, '2025-03-01 00:00:00+00:00', 1738000000000003),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000007', 'tasklist', 'task-key', NULL, '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000007/tasklist', 'tasklist', 'inline', NULL, NULL, NULL, NULL, '{}', NULL, NULL, '', 'application/json', NULL, '2025-03-01 00:00:00+00:00', 1738000000000006),
    ('10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000005', 'video', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000005', 'Złoto.mp4', 'page', 'medium', 5, NULL, NULL, NULL, NULL, '{"youtube": {"label": "ü", "start": 5}}', '20000000-0000-4000-8000-000200000002', 'video/mp4', NULL, '2025-03-01 00:00:00+00:00', 1738000000000004),
    ('10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000006', 'text', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000006', 'code.py', 'side', NULL, 12, 'python', NULL, NULL, NULL, NULL, '20000000-0000-4000-8000-000200000003', 'text/plain', NULL, '2025-03-01 00:00:00+00:00', 1738000000000005),
    ('10000000-0000-4000-8000-000000000003', '30000000-0000-4000-8000-000000000008', 'image', NULL, 'https://pictures.example/a%20b.png?c=''d''', NULL, 'elsewhere', 'inline', 'medium', NULL, NULL, NULL, '{}', NULL, NULL, '20000000-0000-4000-8000-000300000001', 'image/png', NULL, '2025-03-01 00:00:00+00:00', 1738000000000007);

INSERT INTO feedbacks ("threadId", "forId", "id", "value", "comment", "createdAt") VALUES
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', '40000000-0000-4000-8000-000000000001', 1, 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', '2025-03-01 00:00:00+00:00'),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000007', '40000000-0000-4000-8000-000000000002', 0, NULL, '2025-03-01 00:00:00+00:00'),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000002', '40000000-0000-4000-8000-000000000003', 0, 'zu lang', '2025-03-01 00:00:00+00:00');

INSERT INTO chainlit_sqla_tombstones ("threadId", "id", "deletedAt") VALUES
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000090', '2025-03-01 00:00:00+00:00'),
    ('10000000-0000-4000-8000-000000000001', 'element 30000000-0000-4000-8000-000000000090', '2025-03-01 00:00:00+00:00'),
    ('10000000-0000-4000-8000-000000000090', '', '2025-03-01 00:00:00+00:00');

INSERT INTO chainlit_sqla_blob_deletions ("objectKey", "createdAt", "attempts") VALUES
    ('threads/gone/ü 🙂.png', '2025-03-01 00:00:00+00:00', 3);

INSERT INTO chainlit_sqla_quarantine ("id", "source", "origin", "reason", "row", "createdAt") VALUES
    ('an orphan', 'postgresql://old/chats', 'steps', 'its thread is gone', '{"id": "20000000-0000-4000-8000-009900000001", "output": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.", "threadId": null}', '2025-03-01 00:00:00+00:00');

INSERT INTO chainlit_sqla_imports ("id", "source", "position", "details", "startedAt", "finishedAt") VALUES
    ('an import', 'postgresql://old/chats', '10000000-0000-4000-8000-000000000003', '{"rows": {"threads": 3}}', '2025-03-01 00:00:00+00:00', '2025-03-01 00:00:00+00:00');
