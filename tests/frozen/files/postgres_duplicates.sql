-- postgres_duplicates: made by SQLAlchemyDataLayer of Chainlit 2.12

CREATE TABLE users (
    "id" UUID,
    "identifier" TEXT,
    "metadata" JSONB,
    "createdAt" TEXT
);

CREATE TABLE threads (
    "id" UUID,
    "createdAt" TEXT,
    "name" TEXT,
    "userId" UUID,
    "userIdentifier" TEXT,
    "tags" TEXT[],
    "metadata" JSONB
);

CREATE TABLE steps (
    "id" UUID,
    "name" TEXT,
    "type" TEXT,
    "threadId" UUID,
    "parentId" UUID,
    "streaming" BOOLEAN,
    "waitForAnswer" BOOLEAN,
    "isError" BOOLEAN,
    "metadata" JSONB,
    "tags" TEXT[],
    "input" TEXT,
    "output" TEXT,
    "createdAt" TEXT,
    "command" TEXT,
    "start" TEXT,
    "end" TEXT,
    "generation" JSONB,
    "showInput" TEXT,
    "language" TEXT,
    "indent" INT,
    "defaultOpen" BOOLEAN,
    "modes" JSONB
);

CREATE TABLE elements (
    "id" UUID,
    "threadId" UUID,
    "type" TEXT,
    "url" TEXT,
    "chainlitKey" TEXT,
    "name" TEXT,
    "display" TEXT,
    "objectKey" TEXT,
    "size" TEXT,
    "page" INT,
    "language" TEXT,
    "forId" UUID,
    "mime" TEXT,
    "props" JSONB
);

CREATE TABLE feedbacks (
    "id" UUID,
    "forId" UUID,
    "threadId" UUID,
    "value" INT,
    "comment" TEXT
);

INSERT INTO users ("id", "identifier", "metadata", "createdAt") VALUES
    ('00000000-0000-4000-8000-000000000001', 'ada@example.com', '{"role": "admin", "provider": "credentials"}', '2025-01-01T08:00:00.123456Z'),
    ('00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', '{"image": null, "nested": {"list": [1, 2.5, null, {"ü": "\"''\\"}]}}', '2025-01-02T08:00:00Z'),
    ('00000000-0000-4000-8000-000000000003', 'quiet', '{}', '2025-01-03T08:00:00Z'),
    ('00000000-0000-4000-8000-000000000003', 'quiet', '{}', '2025-01-03T08:00:00Z'),
    ('00000000-0000-4000-8000-000000000011', 'ada@example.com', '{"role": "second"}', '2025-04-01T00:00:00Z');

INSERT INTO threads ("id", "createdAt", "name", "userId", "userIdentifier", "tags", "metadata") VALUES
    ('10000000-0000-4000-8000-000000000001', '2025-02-01T09:59:59.000001Z', 'It''s a "whole" conversation 🙂', '00000000-0000-4000-8000-000000000001', 'ada@example.com', ARRAY['plain', 'a, b', 'quo"te', 'it''s {braced}', 'back\slash', '漢字 🙂', 'NULL'], '{"id": "session", "env": "{}", "deep": {"a": [{"b": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}]}, "is_shared": true, "shared_at": "2025-02-02T00:00:00Z", "chat_settings": {"model": null, "temperature": 0.25}}'),
    ('10000000-0000-4000-8000-000000000002', '2025-02-02T09:59:59.000001Z', 'Złoto', '00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', '{}', '{"chat_profile": "ü"}'),
    ('10000000-0000-4000-8000-000000000003', '2025-02-03T09:59:59.000001Z', NULL, '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, 'null'),
    ('10000000-0000-4000-8000-000000000003', '2025-02-03T09:59:59.000001Z', NULL, '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, 'null'),
    ('10000000-0000-4000-8000-000000000004', '2025-02-04T09:59:59.000001Z', 'Nobody''s', NULL, NULL, ARRAY['anonymous'], '{}'),
    ('10000000-0000-4000-8000-000000000005', NULL, 'Without a date', '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}'),
    ('10000000-0000-4000-8000-000000000006', '2025-02-06T09:59:59.000001Z', 'Forms of time', '00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', NULL, '{"a": 1}'),
    ('10000000-0000-4000-8000-000000000007', '2025-02-07T09:59:59.000001Z', 'Without steps', '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, NULL),
    ('10000000-0000-4000-8000-000000000097', '2025-04-01T00:00:01Z', 'of her second account', '00000000-0000-4000-8000-000000000011', 'ada@example.com', NULL, '{}');

INSERT INTO steps ("id", "name", "type", "threadId", "parentId", "streaming", "waitForAnswer", "isError", "metadata", "tags", "input", "output", "createdAt", "command", "start", "end", "generation", "showInput", "language", "indent", "defaultOpen", "modes") VALUES
    ('20000000-0000-4000-8000-000100000001', 'Ada', 'user_message', '10000000-0000-4000-8000-000000000001', NULL, false, true, false, '{"location": "https://chat.example/?a=''b''"}', NULL, '', 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', '2025-02-01T10:00:01.000001Z', 'Search', '2025-02-01T10:00:01.000001Z', '2025-02-01T10:00:01.000001Z', 'null', 'json', NULL, 0, false, '{"ü": ["🙂"], "model": "large"}'),
    ('20000000-0000-4000-8000-000100000002', 'on_message', 'run', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000001', false, false, false, '{}', NULL, 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', '', '2025-02-01T10:00:02.000002Z', NULL, '2025-02-01T10:00:02.000002Z', '2025-02-01T10:00:02.000002Z', 'null', 'json', NULL, 0, true, NULL),
    ('20000000-0000-4000-8000-000100000003', 'Suche 🙂', 'tool', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000002', false, false, false, '{"nested": {"big": 9007199254740993, "none": null, "float": 1.5}, "favorite": true}', ARRAY['tool', 'a, b', 'q"q'], '{"query": "it''s", "limit": 10, "deep": {"a": [1, null, true]}}', '[1, 2]', '2025-02-01T10:00:03.000003Z', NULL, '2025-02-01T10:00:03.000003Z', '2025-02-01T10:00:03.000003Z', 'null', 'json', 'json', 1, false, NULL),
    ('20000000-0000-4000-8000-000100000003', 'Suche 🙂', 'tool', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000002', false, false, false, '{"nested": {"big": 9007199254740993, "none": null, "float": 1.5}, "favorite": true}', ARRAY['tool', 'a, b', 'q"q'], '{"query": "it''s", "limit": 10, "deep": {"a": [1, null, true]}}', '[1, 2]', '2025-02-01T10:00:03.000003Z', NULL, '2025-02-01T10:00:03.000003Z', '2025-02-01T10:00:03.000003Z', 'null', 'json', 'json', 1, false, NULL),
    ('20000000-0000-4000-8000-000100000004', 'gpt-4', 'llm', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000003', false, false, false, '{}', NULL, 'prompt', 'answer', '2025-02-01T10:00:04.000004Z', NULL, '2025-02-01T10:00:04.000004Z', '2025-02-01T10:00:09.5Z', '{"model": "gpt-4", "messages": [{"role": "user", "content": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}], "provider": "openai", "settings": {"stop": ["\n", "🙂"], "temperature": 0.5}, "promptTokens": 12, "outputTokenCount": null}', 'true', NULL, 2, false, NULL),
    ('20000000-0000-4000-8000-000100000005', 'broken', 'tool', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000002', false, false, true, '{}', NULL, 'kept though it is not shown', 'ValueError: ''x'' is not \x
  at line 1', '2025-02-01T10:00:05.000005Z', NULL, '2025-02-01T10:00:05.000005Z', '2025-02-01T10:00:05.000005Z', 'null', 'false', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000100000006', 'Assistant', 'assistant_message', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000002', false, false, false, '{}', NULL, '', 'Done. 🙂', '2025-02-01T10:00:06.000006Z', NULL, '2025-02-01T10:00:06.000006Z', '2025-02-01T10:00:06.000006Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000100000007', 'Assistant', 'assistant_message', '10000000-0000-4000-8000-000000000001', NULL, false, false, false, '{}', NULL, '', 'Anything else?', '2025-02-01T10:00:07.000007Z', NULL, '2025-02-01T10:00:07.000007Z', '2025-02-01T10:00:07.000007Z', 'null', 'none', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000200000001', 'Ada', 'user_message', '10000000-0000-4000-8000-000000000002', NULL, false, NULL, NULL, NULL, NULL, NULL, 'another with the same id', '2025-02-02T10:00:01.000001Z', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('20000000-0000-4000-8000-000200000001', 'Żółć 漢字 🙂 O''Brien', 'user_message', '10000000-0000-4000-8000-000000000002', NULL, false, false, false, '{}', NULL, '', 'Tell me a long story.', '2025-02-02T10:00:01.000001Z', NULL, '2025-02-02T10:00:01.000001Z', '2025-02-02T10:00:01.000001Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000200000002', 'Assistant', 'assistant_message', '10000000-0000-4000-8000-000000000002', NULL, false, false, false, '{}', NULL, '', repeat('A line of a long answer, with a comma; "quoted" and ''so'' – 漢字 🙂.
', 1500), '2025-02-02T10:00:02.000002Z', NULL, '2025-02-02T10:00:02.000002Z', '2025-02-02T10:00:02.000002Z', 'null', 'json', 'markdown', 0, false, NULL),
    ('20000000-0000-4000-8000-000200000003', 'code', 'tool', '10000000-0000-4000-8000-000000000002', NULL, false, false, false, '{}', NULL, 'print(''ü'')
', '', '2025-02-02T10:00:03.000003Z', NULL, '2025-02-02T10:00:03.000003Z', '2025-02-02T10:00:03.000003Z', 'null', 'python', 'python', 0, false, NULL),
    ('20000000-0000-4000-8000-000300000001', 'Ada', 'user_message', '10000000-0000-4000-8000-000000000003', NULL, false, false, false, '{}', NULL, '', 'A thread without a name.', '2025-02-03T10:00:01.000001Z', NULL, '2025-02-03T10:00:01.000001Z', '2025-02-03T10:00:01.000001Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000400000001', 'Guest', 'user_message', '10000000-0000-4000-8000-000000000004', NULL, false, false, false, '{}', NULL, '', 'Nobody is logged in.', '2025-02-04T10:00:01.000001Z', NULL, '2025-02-04T10:00:01.000001Z', '2025-02-04T10:00:01.000001Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000400000002', 'Assistant', 'assistant_message', '10000000-0000-4000-8000-000000000004', NULL, false, false, false, '{}', NULL, '', 'Welcome.', '2025-02-04T10:00:02.000002Z', NULL, '2025-02-04T10:00:02.000002Z', '2025-02-04T10:00:02.000002Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000500000001', 'Ada', 'user_message', '10000000-0000-4000-8000-000000000005', NULL, false, NULL, NULL, NULL, NULL, NULL, 'by another program', '2025-02-05T10:00:01Z', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('20000000-0000-4000-8000-000500000002', 'Ada', 'user_message', '10000000-0000-4000-8000-000000000005', NULL, false, NULL, NULL, NULL, NULL, NULL, 'without a date', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('20000000-0000-4000-8000-000500000003', 'Ada', 'user_message', '10000000-0000-4000-8000-000000000005', NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('20000000-0000-4000-8000-000600000001', '2025-02-06T11:00:00Z', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:00Z', '2025-02-06T10:00:01.000001Z', NULL, '2025-02-06T11:00:00Z', '2025-02-06T11:00:00Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000002', '2025-02-06T11:00:01.5Z', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:01.5Z', '2025-02-06T10:00:02.000002Z', NULL, '2025-02-06T11:00:01.5Z', '2025-02-06T11:00:01.5Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000003', '2025-02-06T11:00:02+00:00', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:02+00:00', '2025-02-06T10:00:03.000003Z', NULL, '2025-02-06T11:00:02+00:00', '2025-02-06T11:00:02+00:00', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000004', '2025-02-06T11:00:03.123456+00:00', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:03.123456+00:00', '2025-02-06T10:00:04.000004Z', NULL, '2025-02-06T11:00:03.123456+00:00', '2025-02-06T11:00:03.123456+00:00', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000005', '2025-02-06T13:00:04.250000+02:00', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T13:00:04.250000+02:00', '2025-02-06T10:00:05.000005Z', NULL, '2025-02-06T13:00:04.250000+02:00', '2025-02-06T13:00:04.250000+02:00', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000006', '2025-02-06T11:00:05+00:00Z', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:05+00:00Z', '2025-02-06T10:00:06.000006Z', NULL, '2025-02-06T11:00:05+00:00Z', '2025-02-06T11:00:05+00:00Z', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000007', '2025-02-06T11:00:06.789', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06T11:00:06.789', '2025-02-06T10:00:07.000007Z', NULL, '2025-02-06T11:00:06.789', '2025-02-06T11:00:06.789', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000008', '2025-02-06 11:00:07', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '2025-02-06 11:00:07', '2025-02-06T10:00:08.000008Z', NULL, '2025-02-06 11:00:07', '2025-02-06 11:00:07', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000009', '1738839608000', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '1738839608000', '2025-02-06T10:00:09.000009Z', NULL, '1738839608000', '1738839608000', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000010', '1738839609', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '1738839609', '2025-02-06T10:00:10.000010Z', NULL, '1738839609', '1738839609', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000011', 'yesterday, about noon', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', 'yesterday, about noon', '2025-02-06T10:00:11.000011Z', NULL, 'yesterday, about noon', 'yesterday, about noon', 'null', 'json', NULL, 0, false, NULL),
    ('20000000-0000-4000-8000-000600000012', '', 'tool', '10000000-0000-4000-8000-000000000006', NULL, false, false, false, '{}', NULL, '', '', '2025-02-06T10:00:12.000012Z', NULL, '', '', 'null', 'json', NULL, 0, false, NULL);

INSERT INTO elements ("id", "threadId", "type", "url", "chainlitKey", "name", "display", "objectKey", "size", "page", "language", "forId", "mime", "props") VALUES
    ('30000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'image', 'https://bucket.example/00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000001/it%27s%20a%20%22picture%22%20%F0%9F%99%82.png?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'it''s a "picture" 🙂.png', 'inline', '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000001/it''s a "picture" 🙂.png', 'large', NULL, NULL, '20000000-0000-4000-8000-000100000001', 'image/png', NULL),
    ('30000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001', 'pdf', 'https://bucket.example/00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000002/report.pdf?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'report.pdf', 'side', '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000002/report.pdf', NULL, 3, NULL, '20000000-0000-4000-8000-000100000006', 'application/pdf', NULL),
    ('30000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001', 'pdf', 'https://bucket.example/00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000002/report.pdf?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'report.pdf', 'side', '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000002/report.pdf', NULL, 3, NULL, '20000000-0000-4000-8000-000100000006', 'application/pdf', NULL),
    ('30000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000001', 'custom', 'https://bucket.example/00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000003/LinearTicket?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'LinearTicket', 'inline', '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000003/LinearTicket', NULL, NULL, NULL, '20000000-0000-4000-8000-000100000006', 'application/json', '{"open": true, "title": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.", "points": [1, 2.5, {"a": []}], "assignee": null}'),
    ('30000000-0000-4000-8000-000000000004', '10000000-0000-4000-8000-000000000001', 'audio', 'https://bucket.example/00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000004/answer.mp3?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'answer.mp3', 'inline', '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000004/answer.mp3', NULL, NULL, NULL, '20000000-0000-4000-8000-000100000007', 'audio/mpeg', NULL),
    ('30000000-0000-4000-8000-000000000005', '10000000-0000-4000-8000-000000000002', 'video', 'https://bucket.example/00000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000005/Z%C5%82oto.mp4?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'Złoto.mp4', 'page', '00000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000005/Złoto.mp4', 'medium', NULL, NULL, '20000000-0000-4000-8000-000200000002', 'video/mp4', NULL),
    ('30000000-0000-4000-8000-000000000006', '10000000-0000-4000-8000-000000000002', 'text', 'https://bucket.example/00000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000006/code.py?X-Amz-Expires=3600&X-Amz-Signature=0', NULL, 'code.py', 'side', '00000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000006/code.py', NULL, NULL, 'python', '20000000-0000-4000-8000-000200000003', 'text/plain', NULL),
    ('30000000-0000-4000-8000-000000000007', '10000000-0000-4000-8000-000000000001', 'tasklist', NULL, 'task-key', 'tasklist', 'inline', '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000007/tasklist', NULL, NULL, NULL, NULL, 'application/json', '{}'),
    ('30000000-0000-4000-8000-000000000008', '10000000-0000-4000-8000-000000000003', 'image', 'https://pictures.example/a%20b.png?c=''d''', NULL, 'elsewhere', 'inline', NULL, 'medium', NULL, NULL, '20000000-0000-4000-8000-000300000001', 'image/png', '{}');

INSERT INTO feedbacks ("id", "forId", "threadId", "value", "comment") VALUES
    ('40000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', '10000000-0000-4000-8000-000000000001', 1, 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.'),
    ('40000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', '10000000-0000-4000-8000-000000000001', 1, 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.'),
    ('40000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000100000007', '10000000-0000-4000-8000-000000000001', 0, NULL),
    ('40000000-0000-4000-8000-000000000003', '20000000-0000-4000-8000-000200000002', '10000000-0000-4000-8000-000000000002', 0, 'zu lang'),
    ('40000000-0000-4000-8000-000000000004', '20000000-0000-4000-8000-000100000006', '10000000-0000-4000-8000-000000000001', 0, 'on second thoughts');
