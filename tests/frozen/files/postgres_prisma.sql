-- postgres_prisma: made by ChainlitDataLayer of Chainlit 2.12

CREATE TYPE "StepType" AS ENUM ('assistant_message', 'embedding', 'llm', 'retrieval', 'rerank', 'run', 'system_message', 'tool', 'undefined', 'user_message');

CREATE TABLE "User" (
    "id" TEXT PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "metadata" JSONB NOT NULL,
    "identifier" TEXT NOT NULL
);

CREATE TABLE "Thread" (
    "id" TEXT PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deletedAt" TIMESTAMP(3),
    "name" TEXT,
    "metadata" JSONB NOT NULL,
    "userId" TEXT REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE
);

CREATE TABLE "Step" (
    "id" TEXT PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "parentId" TEXT REFERENCES "Step"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    "threadId" TEXT REFERENCES "Thread"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    "input" TEXT,
    "metadata" JSONB NOT NULL,
    "name" TEXT,
    "output" TEXT,
    "type" "StepType" NOT NULL,
    "showInput" TEXT DEFAULT 'json',
    "isError" BOOLEAN DEFAULT false,
    "startTime" TIMESTAMP(3) NOT NULL,
    "endTime" TIMESTAMP(3) NOT NULL
);

CREATE TABLE "Element" (
    "id" TEXT PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "threadId" TEXT REFERENCES "Thread"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    "stepId" TEXT NOT NULL REFERENCES "Step"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    "metadata" JSONB NOT NULL,
    "mime" TEXT,
    "name" TEXT NOT NULL,
    "objectKey" TEXT,
    "url" TEXT,
    "chainlitKey" TEXT,
    "display" TEXT,
    "size" TEXT,
    "language" TEXT,
    "page" INTEGER,
    "props" JSONB
);

CREATE TABLE "Feedback" (
    "id" TEXT PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "stepId" TEXT REFERENCES "Step"("id") ON DELETE SET NULL ON UPDATE CASCADE,
    "name" TEXT NOT NULL,
    "value" DOUBLE PRECISION NOT NULL,
    "comment" TEXT
);

CREATE UNIQUE INDEX "User_identifier_key" ON "User"("identifier");

ALTER TABLE "Thread" ADD COLUMN "tags" TEXT[] DEFAULT ARRAY[]::TEXT[];

INSERT INTO "User" ("id", "createdAt", "updatedAt", "metadata", "identifier") VALUES
    ('00000000-0000-4000-8000-000000000001', '2025-01-01 08:00:00.123000', '2025-01-01 08:00:00', '{"role": "admin", "provider": "credentials"}', 'ada@example.com'),
    ('00000000-0000-4000-8000-000000000002', '2025-01-01 08:00:00.123000', '2025-01-01 08:00:00', '{"image": null, "nested": {"list": [1, 2.5, null, {"ü": "\"''\\"}]}}', 'Żółć 漢字 🙂 O''Brien'),
    ('00000000-0000-4000-8000-000000000003', '2025-01-01 08:00:00.123000', '2025-01-01 08:00:00', '{}', 'quiet');

INSERT INTO "Thread" ("id", "createdAt", "updatedAt", "deletedAt", "name", "metadata", "userId", "tags") VALUES
    ('10000000-0000-4000-8000-000000000001', '2025-02-02 09:59:59', '2025-02-20 08:00:00.500000', NULL, 'It''s a "whole" conversation 🙂', '{"id": "session", "env": "{}", "deep": {"a": [{"b": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}]}, "is_shared": true, "shared_at": "2025-02-02T00:00:00Z", "chat_settings": {"model": null, "temperature": 0.25}}', '00000000-0000-4000-8000-000000000001', ARRAY['plain', 'a, b', 'quo"te', 'it''s {braced}', 'back\slash', '漢字 🙂', 'NULL']),
    ('10000000-0000-4000-8000-000000000002', '2025-02-03 09:59:59', '2025-02-20 08:00:00.500000', NULL, 'Złoto', '{"chat_profile": "ü"}', '00000000-0000-4000-8000-000000000002', '{}'),
    ('10000000-0000-4000-8000-000000000003', '2025-02-04 09:59:59', '2025-02-20 08:00:00.500000', NULL, NULL, 'null', '00000000-0000-4000-8000-000000000001', '{}'),
    ('10000000-0000-4000-8000-000000000004', '2025-02-05 09:59:59', '2025-02-20 08:00:00.500000', NULL, 'Nobody''s', '{}', NULL, ARRAY['anonymous']),
    ('10000000-0000-4000-8000-000000000005', '2025-02-06 09:59:59', '2025-02-20 08:00:00.500000', NULL, 'Without a date', '{}', '00000000-0000-4000-8000-000000000001', '{}'),
    ('10000000-0000-4000-8000-000000000006', '2025-02-07 09:59:59', '2025-02-20 08:00:00.500000', NULL, 'Forms of time', '{"a": 1}', '00000000-0000-4000-8000-000000000002', '{}'),
    ('10000000-0000-4000-8000-000000000007', '2025-02-08 09:59:59', '2025-02-20 08:00:00.500000', NULL, 'Without steps', '{}', '00000000-0000-4000-8000-000000000001', '{}'),
    ('10000000-0000-4000-8000-000000000008', '2025-02-09 09:59:59', '2025-02-20 08:00:00.500000', '2025-02-12 00:00:00', 'deleted', '{}', '00000000-0000-4000-8000-000000000001', '{}');

INSERT INTO "Step" ("id", "createdAt", "updatedAt", "parentId", "threadId", "input", "metadata", "name", "output", "type", "showInput", "isError", "startTime", "endTime") VALUES
    ('20000000-0000-4000-8000-000100000001', '2025-02-01 10:00:01.003000', '2025-02-01 10:01:01', NULL, '10000000-0000-4000-8000-000000000001', '', '{"location": "https://chat.example/?a=''b''"}', 'Ada', 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', 'user_message', 'json', false, '2025-02-01 10:00:01', '2025-02-01 10:00:01'),
    ('20000000-0000-4000-8000-000100000002', '2025-02-01 10:00:02.003000', '2025-02-01 10:01:02', '20000000-0000-4000-8000-000100000001', '10000000-0000-4000-8000-000000000001', 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.', '{}', 'on_message', '', 'run', 'json', false, '2025-02-01 10:00:02', '2025-02-01 10:00:02'),
    ('20000000-0000-4000-8000-000100000003', '2025-02-01 10:00:03.003000', '2025-02-01 10:01:03', '20000000-0000-4000-8000-000100000002', '10000000-0000-4000-8000-000000000001', '{"query": "it''s", "limit": 10, "deep": {"a": [1, null, true]}}', '{"nested": {"big": 9007199254740993, "none": null, "float": 1.5}, "favorite": true}', 'Suche 🙂', '[1, 2]', 'tool', 'json', false, '2025-02-01 10:00:03', '2025-02-01 10:00:03'),
    ('20000000-0000-4000-8000-000100000004', '2025-02-01 10:00:04.003000', '2025-02-01 10:01:04', '20000000-0000-4000-8000-000100000003', '10000000-0000-4000-8000-000000000001', 'prompt', '{}', 'gpt-4', 'answer', 'llm', 'True', false, '2025-02-01 10:00:04', '2025-02-01 10:00:09.500000'),
    ('20000000-0000-4000-8000-000100000005', '2025-02-01 10:00:05.003000', '2025-02-01 10:01:05', '20000000-0000-4000-8000-000100000002', '10000000-0000-4000-8000-000000000001', 'kept though it is not shown', '{}', 'broken', 'ValueError: ''x'' is not \x
  at line 1', 'tool', 'False', true, '2025-02-01 10:00:05', '2025-02-01 10:00:05'),
    ('20000000-0000-4000-8000-000100000006', '2025-02-01 10:00:06.003000', '2025-02-01 10:01:06', '20000000-0000-4000-8000-000100000002', '10000000-0000-4000-8000-000000000001', '', '{}', 'Assistant', 'Done. 🙂', 'assistant_message', 'json', false, '2025-02-01 10:00:06', '2025-02-01 10:00:06'),
    ('20000000-0000-4000-8000-000100000007', '2025-02-01 10:00:07.003000', '2025-02-01 10:01:07', NULL, '10000000-0000-4000-8000-000000000001', '', '{}', 'Assistant', 'Anything else?', 'assistant_message', 'None', false, '2025-02-01 10:00:07', '2025-02-01 10:00:07'),
    ('20000000-0000-4000-8000-000200000001', '2025-02-02 10:00:01.003000', '2025-02-02 10:01:01', NULL, '10000000-0000-4000-8000-000000000002', '', '{}', 'Żółć 漢字 🙂 O''Brien', 'Tell me a long story.', 'user_message', 'json', false, '2025-02-02 10:00:01', '2025-02-02 10:00:01'),
    ('20000000-0000-4000-8000-000200000002', '2025-02-02 10:00:02.003000', '2025-02-02 10:01:02', NULL, '10000000-0000-4000-8000-000000000002', '', '{}', 'Assistant', repeat('A line of a long answer, with a comma; "quoted" and ''so'' – 漢字 🙂.
', 1500), 'assistant_message', 'json', false, '2025-02-02 10:00:02', '2025-02-02 10:00:02'),
    ('20000000-0000-4000-8000-000200000003', '2025-02-02 10:00:03.003000', '2025-02-02 10:01:03', NULL, '10000000-0000-4000-8000-000000000002', 'print(''ü'')
', '{}', 'code', '', 'tool', 'python', false, '2025-02-02 10:00:03', '2025-02-02 10:00:03'),
    ('20000000-0000-4000-8000-000300000001', '2025-02-03 10:00:01.003000', '2025-02-03 10:01:01', NULL, '10000000-0000-4000-8000-000000000003', '', '{}', 'Ada', 'A thread without a name.', 'user_message', 'json', false, '2025-02-03 10:00:01', '2025-02-03 10:00:01'),
    ('20000000-0000-4000-8000-000400000001', '2025-02-04 10:00:01.003000', '2025-02-04 10:01:01', NULL, '10000000-0000-4000-8000-000000000004', '', '{}', 'Guest', 'Nobody is logged in.', 'user_message', 'json', false, '2025-02-04 10:00:01', '2025-02-04 10:00:01'),
    ('20000000-0000-4000-8000-000400000002', '2025-02-04 10:00:02.003000', '2025-02-04 10:01:02', NULL, '10000000-0000-4000-8000-000000000004', '', '{}', 'Assistant', 'Welcome.', 'assistant_message', 'json', false, '2025-02-04 10:00:02', '2025-02-04 10:00:02'),
    ('20000000-0000-4000-8000-000500000001', '2025-02-05 10:00:01.010000', '2025-02-05 10:01:01.007000', NULL, '10000000-0000-4000-8000-000000000005', NULL, 'null', NULL, NULL, 'undefined', 'json', false, '2025-02-05 10:00:01.007000', '2025-02-05 10:00:02'),
    ('20000000-0000-4000-8000-000600000001', '2025-02-06 10:00:01.003000', '2025-02-06 10:01:01', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T11:00:00Z', '2025-02-06T11:00:00Z', 'tool', 'json', false, '2025-02-06 10:00:01', '2025-02-06 10:00:01'),
    ('20000000-0000-4000-8000-000600000002', '2025-02-06 10:00:02.003000', '2025-02-06 10:01:02', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T11:00:01.5Z', '2025-02-06T11:00:01.5Z', 'tool', 'json', false, '2025-02-06 10:00:02', '2025-02-06 10:00:02'),
    ('20000000-0000-4000-8000-000600000003', '2025-02-06 10:00:03.003000', '2025-02-06 10:01:03', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T11:00:02+00:00', '2025-02-06T11:00:02+00:00', 'tool', 'json', false, '2025-02-06 10:00:03', '2025-02-06 10:00:03'),
    ('20000000-0000-4000-8000-000600000004', '2025-02-06 10:00:04.003000', '2025-02-06 10:01:04', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T11:00:03.123456+00:00', '2025-02-06T11:00:03.123456+00:00', 'tool', 'json', false, '2025-02-06 10:00:04', '2025-02-06 10:00:04'),
    ('20000000-0000-4000-8000-000600000005', '2025-02-06 10:00:05.003000', '2025-02-06 10:01:05', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T13:00:04.250000+02:00', '2025-02-06T13:00:04.250000+02:00', 'tool', 'json', false, '2025-02-06 10:00:05', '2025-02-06 10:00:05'),
    ('20000000-0000-4000-8000-000600000006', '2025-02-06 10:00:06.003000', '2025-02-06 10:01:06', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T11:00:05+00:00Z', '2025-02-06T11:00:05+00:00Z', 'tool', 'json', false, '2025-02-06 10:00:06', '2025-02-06 10:00:06'),
    ('20000000-0000-4000-8000-000600000007', '2025-02-06 10:00:07.003000', '2025-02-06 10:01:07', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06T11:00:06.789', '2025-02-06T11:00:06.789', 'tool', 'json', false, '2025-02-06 10:00:07', '2025-02-06 10:00:07'),
    ('20000000-0000-4000-8000-000600000008', '2025-02-06 10:00:08.003000', '2025-02-06 10:01:08', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '2025-02-06 11:00:07', '2025-02-06 11:00:07', 'tool', 'json', false, '2025-02-06 10:00:08', '2025-02-06 10:00:08'),
    ('20000000-0000-4000-8000-000600000009', '2025-02-06 10:00:09.003000', '2025-02-06 10:01:09', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '1738839608000', '1738839608000', 'tool', 'json', false, '2025-02-06 10:00:09', '2025-02-06 10:00:09'),
    ('20000000-0000-4000-8000-000600000010', '2025-02-06 10:00:10.003000', '2025-02-06 10:01:10', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '1738839609', '1738839609', 'tool', 'json', false, '2025-02-06 10:00:10', '2025-02-06 10:00:10'),
    ('20000000-0000-4000-8000-000600000011', '2025-02-06 10:00:11.003000', '2025-02-06 10:01:11', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', 'yesterday, about noon', 'yesterday, about noon', 'tool', 'json', false, '2025-02-06 10:00:11', '2025-02-06 10:00:11'),
    ('20000000-0000-4000-8000-000600000012', '2025-02-06 10:00:12.003000', '2025-02-06 10:01:12', NULL, '10000000-0000-4000-8000-000000000006', '', '{}', '', '', 'tool', 'json', false, '2025-02-06 10:00:12', '2025-02-06 10:00:12'),
    ('20000000-0000-4000-8000-000800000001', '2025-02-08 10:00:01.003000', '2025-02-08 10:01:01', NULL, '10000000-0000-4000-8000-000000000008', NULL, '{}', 'Ada', 'in a deleted thread', 'user_message', 'json', false, '2025-02-08 10:00:01', '2025-02-08 10:00:01'),
    ('20000000-0000-4000-8000-000900000001', '2025-02-09 10:00:01.003000', '2025-02-09 10:01:01', NULL, NULL, NULL, '{}', 'stray', 'in no thread', 'tool', 'json', false, '2025-02-09 10:00:01', '2025-02-09 10:00:01');

INSERT INTO "Element" ("id", "createdAt", "updatedAt", "threadId", "stepId", "metadata", "mime", "name", "objectKey", "url", "chainlitKey", "display", "size", "language", "page", "props") VALUES
    ('30000000-0000-4000-8000-000000000001', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000001', '{"page": null, "size": "large", "type": "image", "display": "inline", "language": null}', 'image/png', 'it''s a "picture" 🙂.png', 'threads/10000000-0000-4000-8000-000000000001/files/30000000-0000-4000-8000-000000000001', NULL, NULL, 'inline', 'large', NULL, NULL, '{}'),
    ('30000000-0000-4000-8000-000000000002', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', '{"page": 3, "size": null, "type": "pdf", "display": "side", "language": null}', 'application/pdf', 'report.pdf', 'threads/10000000-0000-4000-8000-000000000001/files/30000000-0000-4000-8000-000000000002', NULL, NULL, 'side', NULL, NULL, 3, '{}'),
    ('30000000-0000-4000-8000-000000000003', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', '{"page": null, "size": null, "type": "custom", "display": "inline", "language": null}', 'application/json', 'LinearTicket', 'threads/10000000-0000-4000-8000-000000000001/files/30000000-0000-4000-8000-000000000003', NULL, NULL, 'inline', NULL, NULL, NULL, '{"open": true, "title": "It''s \"quoted\" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.", "points": [1, 2.5, {"a": []}], "assignee": null}'),
    ('30000000-0000-4000-8000-000000000004', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000007', '{"page": null, "size": null, "type": "audio", "display": "inline", "language": null}', 'audio/mpeg', 'answer.mp3', 'threads/10000000-0000-4000-8000-000000000001/files/30000000-0000-4000-8000-000000000004', NULL, NULL, 'inline', NULL, NULL, NULL, '{}'),
    ('30000000-0000-4000-8000-000000000005', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000002', '{"page": null, "size": "medium", "type": "video", "display": "page", "language": null}', 'video/mp4', 'Złoto.mp4', 'threads/10000000-0000-4000-8000-000000000002/files/30000000-0000-4000-8000-000000000005', NULL, NULL, 'page', 'medium', NULL, NULL, '{}'),
    ('30000000-0000-4000-8000-000000000006', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000003', '{"page": null, "size": null, "type": "text", "display": "side", "language": "python"}', 'text/plain', 'code.py', 'threads/10000000-0000-4000-8000-000000000002/files/30000000-0000-4000-8000-000000000006', NULL, NULL, 'side', NULL, 'python', NULL, '{}'),
    ('30000000-0000-4000-8000-000000000008', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000003', '20000000-0000-4000-8000-000300000001', '{"page": null, "size": "medium", "type": "image", "display": "inline", "language": null}', 'image/png', 'elsewhere', NULL, 'https://pictures.example/a%20b.png?c=''d''', NULL, 'inline', 'medium', NULL, NULL, '{}'),
    ('30000000-0000-4000-8000-000000000009', '2025-02-10 00:00:00', '2025-02-10 00:00:00', '10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000001', '{}', NULL, 'no type', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('30000000-0000-4000-8000-000000000010', '2025-02-10 00:00:00', '2025-02-10 00:00:00', NULL, '20000000-0000-4000-8000-000100000001', '{"type": "image"}', 'image/png', 'in no thread', NULL, 'https://pictures.example/c.png', NULL, NULL, NULL, NULL, NULL, NULL);

INSERT INTO "Feedback" ("id", "createdAt", "updatedAt", "stepId", "name", "value", "comment") VALUES
    ('40000000-0000-4000-8000-000000000001', '2025-02-11 00:00:01', '2025-02-11 00:00:10', '20000000-0000-4000-8000-000100000006', 'user_feedback', 1.0, 'It''s "quoted" with a back\slash, \n that is none, a real
line, a Windows' || chr(13) || '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.'),
    ('40000000-0000-4000-8000-000000000002', '2025-02-11 00:00:02', '2025-02-11 00:00:10', '20000000-0000-4000-8000-000100000007', 'user_feedback', 0.0, NULL),
    ('40000000-0000-4000-8000-000000000003', '2025-02-11 00:00:03', '2025-02-11 00:00:10', '20000000-0000-4000-8000-000200000002', 'user_feedback', 0.0, 'zu lang'),
    ('40000000-0000-4000-8000-000000000004', '2025-02-11 00:00:04', '2025-02-11 00:00:10', '20000000-0000-4000-8000-000100000006', 'user_feedback', 0.0, 'on second thoughts'),
    ('40000000-0000-4000-8000-000000000005', '2025-02-11 00:00:05', '2025-02-11 00:00:10', NULL, 'user_feedback', 1.0, 'for a step that was deleted');
