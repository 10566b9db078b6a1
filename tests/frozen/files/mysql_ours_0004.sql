-- mysql_ours_0004: made by our migrations

CREATE TABLE chainlit_sqla_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT chainlit_sqla_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE users (
    id VARCHAR(255) NOT NULL,
    identifier VARCHAR(512) NOT NULL,
    `displayName` LONGTEXT,
    metadata JSON NOT NULL,
    `createdAt` DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT uq_users_identifier UNIQUE (identifier)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE threads (
    id VARCHAR(255) NOT NULL,
    `createdAt` DATETIME(6) NOT NULL,
    `updatedAt` DATETIME(6) NOT NULL,
    name LONGTEXT,
    `userId` VARCHAR(255),
    `userIdentifier` LONGTEXT,
    tags JSON,
    metadata JSON NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT `fk_threads_userId_users` FOREIGN KEY(`userId`) REFERENCES users (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE INDEX `ix_threads_userId_updatedAt_id` ON threads (`userId`, `updatedAt`, id);

CREATE TABLE steps (
    `threadId` VARCHAR(255) NOT NULL,
    id VARCHAR(255) NOT NULL,
    name LONGTEXT NOT NULL,
    type LONGTEXT NOT NULL,
    `parentId` LONGTEXT,
    command LONGTEXT,
    modes JSON,
    streaming BOOL NOT NULL DEFAULT false,
    `waitForAnswer` BOOL,
    `isError` BOOL,
    metadata JSON NOT NULL,
    tags JSON,
    input LONGTEXT,
    output LONGTEXT,
    `createdAt` DATETIME(6) NOT NULL,
    start DATETIME(6),
    end DATETIME(6),
    generation JSON,
    `showInput` JSON,
    `defaultOpen` BOOL,
    `autoCollapse` BOOL,
    language LONGTEXT,
    extra JSON,
    ordinal BIGINT NOT NULL,
    PRIMARY KEY (`threadId`, id),
    CONSTRAINT `fk_steps_threadId_threads` FOREIGN KEY(`threadId`) REFERENCES threads (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE INDEX ix_steps_id ON steps (id);

CREATE TABLE elements (
    `threadId` VARCHAR(255) NOT NULL,
    id VARCHAR(255) NOT NULL,
    type LONGTEXT NOT NULL,
    `chainlitKey` LONGTEXT,
    url LONGTEXT,
    `objectKey` LONGTEXT,
    name LONGTEXT NOT NULL,
    display LONGTEXT,
    size LONGTEXT,
    `byteSize` BIGINT,
    language LONGTEXT,
    page INTEGER,
    props JSON,
    `autoPlay` BOOL,
    `playerConfig` JSON,
    `forId` LONGTEXT,
    mime LONGTEXT,
    extra JSON,
    `createdAt` DATETIME(6) NOT NULL,
    ordinal BIGINT NOT NULL,
    PRIMARY KEY (`threadId`, id),
    CONSTRAINT `fk_elements_threadId_threads` FOREIGN KEY(`threadId`) REFERENCES threads (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE INDEX ix_elements_id ON elements (id);

CREATE TABLE feedbacks (
    `threadId` VARCHAR(255) NOT NULL,
    `forId` VARCHAR(255) NOT NULL,
    id VARCHAR(255) NOT NULL,
    value INTEGER NOT NULL,
    comment LONGTEXT,
    `createdAt` DATETIME(6) NOT NULL,
    PRIMARY KEY (`threadId`, `forId`),
    CONSTRAINT `fk_feedbacks_threadId_threads` FOREIGN KEY(`threadId`) REFERENCES threads (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE INDEX ix_feedbacks_id ON feedbacks (id);

CREATE TABLE chainlit_sqla_tombstones (
    `threadId` VARCHAR(255) NOT NULL,
    id VARCHAR(263) NOT NULL,
    `deletedAt` DATETIME(6) NOT NULL,
    PRIMARY KEY (`threadId`, id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE chainlit_sqla_blob_deletions (
    `objectKey` VARBINARY(1100) NOT NULL,
    `createdAt` DATETIME(6) NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (`objectKey`)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

INSERT INTO chainlit_sqla_version (version_num) VALUES ('0001');

-- Running upgrade 0001 -> 0002

CREATE TABLE chainlit_sqla_signatures (
    `threadId` VARCHAR(255) NOT NULL,
    `userId` VARCHAR(255) NOT NULL,
    `updatedAt` DATETIME(6) NOT NULL,
    claim LONGTEXT NOT NULL,
    signature BLOB,
    PRIMARY KEY (`threadId`),
    CONSTRAINT `fk_chainlit_sqla_signatures_threadId_threads` FOREIGN KEY(`threadId`) REFERENCES threads (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE INDEX `ix_chainlit_sqla_signatures_userId` ON chainlit_sqla_signatures (`userId`);

CREATE TRIGGER chainlit_sqla_forget_insert AFTER INSERT ON steps FOR EACH ROW
BEGIN
  IF NEW.type LIKE '%%message%%' THEN
    DELETE FROM chainlit_sqla_signatures WHERE `threadId` = NEW.`threadId`;
  END IF;
END;

CREATE TRIGGER chainlit_sqla_forget_update AFTER UPDATE ON steps FOR EACH ROW
BEGIN
  DECLARE locked TEXT;
  IF NEW.type LIKE '%%message%%' AND (NOT OLD.output <=> NEW.output
    OR OLD.type NOT LIKE '%%message%%' OR OLD.`threadId` <> NEW.`threadId`) THEN
    SELECT id INTO locked FROM threads WHERE id = NEW.`threadId` LOCK IN SHARE MODE;
    DELETE FROM chainlit_sqla_signatures WHERE `threadId` = NEW.`threadId`;
  END IF;
END;

CREATE TRIGGER chainlit_sqla_forget_name AFTER UPDATE ON threads FOR EACH ROW
BEGIN
  IF NOT OLD.name <=> NEW.name THEN
    DELETE FROM chainlit_sqla_signatures WHERE `threadId` = NEW.id;
  END IF;
END;

UPDATE chainlit_sqla_version SET version_num='0002' WHERE chainlit_sqla_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

CREATE TABLE IF NOT EXISTS chainlit_sqla_quarantine (
    id VARCHAR(255) NOT NULL,
    source LONGTEXT NOT NULL,
    origin LONGTEXT NOT NULL,
    reason LONGTEXT NOT NULL,
    `row` JSON NOT NULL,
    `createdAt` DATETIME(6) NOT NULL,
    PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS chainlit_sqla_imports (
    id VARCHAR(255) NOT NULL,
    source LONGTEXT NOT NULL,
    position LONGTEXT,
    details JSON NOT NULL,
    `startedAt` DATETIME(6) NOT NULL,
    `finishedAt` DATETIME(6),
    PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_0900_bin;

UPDATE chainlit_sqla_version SET version_num='0003' WHERE chainlit_sqla_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

DROP TRIGGER IF EXISTS chainlit_sqla_forget_insert;

DROP TRIGGER IF EXISTS chainlit_sqla_forget_update;

DROP TRIGGER IF EXISTS chainlit_sqla_forget_name;

DROP TABLE chainlit_sqla_signatures;

UPDATE chainlit_sqla_version SET version_num='0004' WHERE chainlit_sqla_version.version_num = '0003';

INSERT INTO users (`id`, `identifier`, `displayName`, `metadata`, `createdAt`) VALUES
    ('00000000-0000-4000-8000-000000000001', 'ada@example.com', 'ada@example.com 🙂', '{"role": "admin", "provider": "credentials"}', '2025-01-01 08:00:00.123456'),
    ('00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', 'Żółć 漢字 🙂 O''Brien 🙂', '{"image": null, "nested": {"list": [1, 2.5, null, {"ü": "\\"''\\\\"}]}}', '2025-01-02 08:00:00'),
    ('00000000-0000-4000-8000-000000000003', 'quiet', NULL, '{}', '2025-01-03 08:00:00');

INSERT INTO threads (`id`, `createdAt`, `updatedAt`, `name`, `userId`, `userIdentifier`, `tags`, `metadata`) VALUES
    ('10000000-0000-4000-8000-000000000001', '2025-02-01 09:59:59.000001', '2025-02-01 23:59:59.000001', 'It''s a "whole" conversation 🙂', '00000000-0000-4000-8000-000000000001', 'ada@example.com', '["plain", "a, b", "quo\\"te", "it''s {braced}", "back\\\\slash", "漢字 🙂", "NULL"]', '{"id": "session", "env": "{}", "deep": {"a": [{"b": "It''s \\"quoted\\" with a back\\\\slash, \\\\n that is none, a real\\nline, a Windows\\r\\nline, a\\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}]}, "is_shared": true, "shared_at": "2025-02-02T00:00:00Z", "chat_settings": {"model": null, "temperature": 0.25}}'),
    ('10000000-0000-4000-8000-000000000002', '2025-02-02 09:59:59.000001', '2025-02-02 23:59:59.000001', 'Złoto', '00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', '[]', '{"chat_profile": "ü"}'),
    ('10000000-0000-4000-8000-000000000003', '2025-02-03 09:59:59.000001', '2025-02-03 23:59:59.000001', NULL, '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}'),
    ('10000000-0000-4000-8000-000000000004', '2025-02-04 09:59:59.000001', '2025-02-04 23:59:59.000001', 'Nobody''s', NULL, NULL, '["anonymous"]', '{}'),
    ('10000000-0000-4000-8000-000000000005', '2025-02-05 09:59:59.000001', '2025-02-05 23:59:59.000001', 'Without a date', '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}'),
    ('10000000-0000-4000-8000-000000000006', '2025-02-06 09:59:59.000001', '2025-02-06 23:59:59.000001', 'Forms of time', '00000000-0000-4000-8000-000000000002', 'Żółć 漢字 🙂 O''Brien', NULL, '{"a": 1}'),
    ('10000000-0000-4000-8000-000000000007', '2025-02-07 09:59:59.000001', '2025-02-07 23:59:59.000001', 'Without steps', '00000000-0000-4000-8000-000000000001', 'ada@example.com', NULL, '{}');

INSERT INTO steps (`threadId`, `id`, `name`, `type`, `parentId`, `command`, `modes`, `streaming`, `waitForAnswer`, `isError`, `metadata`, `tags`, `input`, `output`, `createdAt`, `start`, `end`, `generation`, `showInput`, `defaultOpen`, `autoCollapse`, `language`, `extra`, `ordinal`) VALUES
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000001', 'Ada', 'user_message', NULL, 'Search', '{"ü": ["🙂"], "model": "large"}', 0, 1, 0, '{"location": "https://chat.example/?a=''b''"}', NULL, '', CONCAT('It''s "quoted" with a back\\slash, \\n that is none, a real
line, a Windows', CHAR(13 USING utf8mb4), '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.'), '2025-02-01 10:00:01.000001', '2025-02-01 10:00:01.000001', '2025-02-01 10:00:01.000001', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000000),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000002', 'on_message', 'run', '20000000-0000-4000-8000-000100000001', NULL, NULL, 0, 0, 0, '{}', NULL, CONCAT('It''s "quoted" with a back\\slash, \\n that is none, a real
line, a Windows', CHAR(13 USING utf8mb4), '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.'), '', '2025-02-01 10:00:02.000002', '2025-02-01 10:00:02.000002', '2025-02-01 10:00:02.000002', NULL, '"json"', 1, 0, NULL, NULL, 1738000000000001),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000003', 'Suche 🙂', 'tool', '20000000-0000-4000-8000-000100000002', NULL, NULL, 0, 0, 0, '{"nested": {"big": 9007199254740993, "none": null, "float": 1.5}, "favorite": true}', '["tool", "a, b", "q\\"q"]', '{"query": "it''s", "limit": 10, "deep": {"a": [1, null, true]}}', '[1, 2]', '2025-02-01 10:00:03.000003', '2025-02-01 10:00:03.000003', '2025-02-01 10:00:03.000003', NULL, '"json"', 0, 1, 'json', NULL, 1738000000000002),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000004', 'gpt-4', 'llm', '20000000-0000-4000-8000-000100000003', NULL, NULL, 0, 0, 0, '{}', NULL, 'prompt', 'answer', '2025-02-01 10:00:04.000004', '2025-02-01 10:00:04.000004', '2025-02-01 10:00:09.500000', '{"model": "gpt-4", "messages": [{"role": "user", "content": "It''s \\"quoted\\" with a back\\\\slash, \\\\n that is none, a real\\nline, a Windows\\r\\nline, a\\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."}], "provider": "openai", "settings": {"stop": ["\\n", "🙂"], "temperature": 0.5}, "promptTokens": 12, "outputTokenCount": null}', 'true', 0, 0, NULL, NULL, 1738000000000003),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000005', 'broken', 'tool', '20000000-0000-4000-8000-000100000002', NULL, NULL, 0, 0, 1, '{}', NULL, 'kept though it is not shown', 'ValueError: ''x'' is not \\x
  at line 1', '2025-02-01 10:00:05.000005', '2025-02-01 10:00:05.000005', '2025-02-01 10:00:05.000005', NULL, 'false', 0, 0, NULL, NULL, 1738000000000004),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', 'Assistant', 'assistant_message', '20000000-0000-4000-8000-000100000002', NULL, NULL, 0, 0, 0, '{}', NULL, '', 'Done. 🙂', '2025-02-01 10:00:06.000006', '2025-02-01 10:00:06.000006', '2025-02-01 10:00:06.000006', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000005),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000007', 'Assistant', 'assistant_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'Anything else?', '2025-02-01 10:00:07.000007', '2025-02-01 10:00:07.000007', '2025-02-01 10:00:07.000007', NULL, NULL, 0, 0, NULL, NULL, 1738000000000006),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000001', 'Żółć 漢字 🙂 O''Brien', 'user_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'Tell me a long story.', '2025-02-02 10:00:01.000001', '2025-02-02 10:00:01.000001', '2025-02-02 10:00:01.000001', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000007),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000002', 'Assistant', 'assistant_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', REPEAT('A line of a long answer, with a comma; "quoted" and ''so'' – 漢字 🙂.
', 1500), '2025-02-02 10:00:02.000002', '2025-02-02 10:00:02.000002', '2025-02-02 10:00:02.000002', NULL, '"json"', 0, 0, 'markdown', NULL, 1738000000000008),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000003', 'code', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, 'print(''ü'')
', '', '2025-02-02 10:00:03.000003', '2025-02-02 10:00:03.000003', '2025-02-02 10:00:03.000003', NULL, '"python"', 0, 0, 'python', NULL, 1738000000000009),
    ('10000000-0000-4000-8000-000000000003', '20000000-0000-4000-8000-000300000001', 'Ada', 'user_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'A thread without a name.', '2025-02-03 10:00:01.000001', '2025-02-03 10:00:01.000001', '2025-02-03 10:00:01.000001', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000010),
    ('10000000-0000-4000-8000-000000000003', '20000000-0000-4000-8000-000400000001', 'Ada', 'assistant_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'a twin', '2025-02-03 10:00:02.000002', '2025-02-03 10:00:02.000002', '2025-02-03 10:00:02.000002', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000028),
    ('10000000-0000-4000-8000-000000000004', '20000000-0000-4000-8000-000400000001', 'Guest', 'user_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'Nobody is logged in.', '2025-02-04 10:00:01.000001', '2025-02-04 10:00:01.000001', '2025-02-04 10:00:01.000001', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000011),
    ('10000000-0000-4000-8000-000000000004', '20000000-0000-4000-8000-000400000002', 'Assistant', 'assistant_message', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'Welcome.', '2025-02-04 10:00:02.000002', '2025-02-04 10:00:02.000002', '2025-02-04 10:00:02.000002', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000012),
    ('10000000-0000-4000-8000-000000000005', '20000000-0000-4000-8000-000500000001', 'Ada', 'user_message', NULL, NULL, NULL, 0, NULL, NULL, '{}', NULL, NULL, 'by another program', '2025-02-05 10:00:01', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1738000000000025),
    ('10000000-0000-4000-8000-000000000005', '20000000-0000-4000-8000-000500000002', 'Ada', 'user_message', NULL, NULL, NULL, 0, NULL, NULL, '{}', NULL, NULL, 'without a date', '2025-03-01 00:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1738000000000026),
    ('10000000-0000-4000-8000-000000000005', '20000000-0000-4000-8000-000500000003', 'Ada', 'user_message', NULL, NULL, NULL, 0, NULL, NULL, '{}', NULL, NULL, NULL, '2025-03-01 00:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1738000000000027),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000001', '2025-02-06T11:00:00Z', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T11:00:00Z', '2025-02-06 10:00:01.000001', '2025-02-06 11:00:00', '2025-02-06 11:00:00', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000013),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000002', '2025-02-06T11:00:01.5Z', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T11:00:01.5Z', '2025-02-06 10:00:02.000002', '2025-02-06 11:00:01.500000', '2025-02-06 11:00:01.500000', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000014),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000003', '2025-02-06T11:00:02+00:00', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T11:00:02+00:00', '2025-02-06 10:00:03.000003', '2025-02-06 11:00:02', '2025-02-06 11:00:02', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000015),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000004', '2025-02-06T11:00:03.123456+00:00', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T11:00:03.123456+00:00', '2025-02-06 10:00:04.000004', '2025-02-06 11:00:03.123456', '2025-02-06 11:00:03.123456', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000016),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000005', '2025-02-06T13:00:04.250000+02:00', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T13:00:04.250000+02:00', '2025-02-06 10:00:05.000005', '2025-02-06 11:00:04.250000', '2025-02-06 11:00:04.250000', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000017),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000006', '2025-02-06T11:00:05+00:00Z', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T11:00:05+00:00Z', '2025-02-06 10:00:06.000006', '2025-02-06 11:00:05', '2025-02-06 11:00:05', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000018),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000007', '2025-02-06T11:00:06.789', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06T11:00:06.789', '2025-02-06 10:00:07.000007', '2025-02-06 11:00:06.789000', '2025-02-06 11:00:06.789000', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000019),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000008', '2025-02-06 11:00:07', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '2025-02-06 11:00:07', '2025-02-06 10:00:08.000008', '2025-02-06 11:00:07', '2025-02-06 11:00:07', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000020),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000009', '1738839608000', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '1738839608000', '2025-02-06 10:00:09.000009', '2025-02-06 11:00:08', '2025-02-06 11:00:08', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000021),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000010', '1738839609', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '1738839609', '2025-02-06 10:00:10.000010', '2025-02-06 11:00:09', '2025-02-06 11:00:09', NULL, '"json"', 0, 0, NULL, NULL, 1738000000000022),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000011', 'yesterday, about noon', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', 'yesterday, about noon', '2025-02-06 10:00:11.000011', NULL, NULL, NULL, '"json"', 0, 0, NULL, '{"end": "yesterday, about noon", "icon": "search", "later": {"a": [1]}, "start": "yesterday, about noon"}', 1738000000000023),
    ('10000000-0000-4000-8000-000000000006', '20000000-0000-4000-8000-000600000012', '', 'tool', NULL, NULL, NULL, 0, 0, 0, '{}', NULL, '', '', '2025-02-06 10:00:12.000012', NULL, NULL, NULL, '"json"', 0, 0, NULL, NULL, 1738000000000024);

INSERT INTO elements (`threadId`, `id`, `type`, `chainlitKey`, `url`, `objectKey`, `name`, `display`, `size`, `byteSize`, `language`, `page`, `props`, `autoPlay`, `playerConfig`, `forId`, `mime`, `extra`, `createdAt`, `ordinal`) VALUES
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000001', 'image', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000001', 'it''s a "picture" 🙂.png', 'inline', 'large', 16, NULL, NULL, NULL, NULL, NULL, '20000000-0000-4000-8000-000100000001', 'image/png', NULL, '2025-03-01 00:00:00', 1738000000000000),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000002', 'pdf', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000002', 'report.pdf', 'side', NULL, 15, NULL, 3, NULL, NULL, NULL, '20000000-0000-4000-8000-000100000006', 'application/pdf', NULL, '2025-03-01 00:00:00', 1738000000000001),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000003', 'custom', NULL, NULL, NULL, 'LinearTicket', 'inline', NULL, NULL, NULL, NULL, '{"open": true, "title": "It''s \\"quoted\\" with a back\\\\slash, \\\\n that is none, a real\\nline, a Windows\\r\\nline, a\\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.", "points": [1, 2.5, {"a": []}], "assignee": null}', NULL, NULL, '20000000-0000-4000-8000-000100000006', 'application/json', '{"lostObjectKey": "threads/lost"}', '2025-03-01 00:00:00', 1738000000000002),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000004', 'audio', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000004', 'answer.mp3', 'inline', NULL, 9, NULL, NULL, NULL, 1, NULL, '20000000-0000-4000-8000-000100000007', 'audio/mpeg', NULL, '2025-03-01 00:00:00', 1738000000000003),
    ('10000000-0000-4000-8000-000000000001', '30000000-0000-4000-8000-000000000007', 'tasklist', 'task-key', NULL, '00000000-0000-4000-8000-000000000001/30000000-0000-4000-8000-000000000007/tasklist', 'tasklist', 'inline', NULL, NULL, NULL, NULL, '{}', NULL, NULL, '', 'application/json', NULL, '2025-03-01 00:00:00', 1738000000000006),
    ('10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000005', 'video', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000005', 'Złoto.mp4', 'page', 'medium', 5, NULL, NULL, NULL, NULL, '{"youtube": {"label": "ü", "start": 5}}', '20000000-0000-4000-8000-000200000002', 'video/mp4', NULL, '2025-03-01 00:00:00', 1738000000000004),
    ('10000000-0000-4000-8000-000000000002', '30000000-0000-4000-8000-000000000006', 'text', NULL, NULL, 'threads/10000000-0000-4000-8000-000000000002/30000000-0000-4000-8000-000000000006', 'code.py', 'side', NULL, 12, 'python', NULL, NULL, NULL, NULL, '20000000-0000-4000-8000-000200000003', 'text/plain', NULL, '2025-03-01 00:00:00', 1738000000000005),
    ('10000000-0000-4000-8000-000000000003', '30000000-0000-4000-8000-000000000008', 'image', NULL, 'https://pictures.example/a%20b.png?c=''d''', NULL, 'elsewhere', 'inline', 'medium', NULL, NULL, NULL, '{}', NULL, NULL, '20000000-0000-4000-8000-000300000001', 'image/png', NULL, '2025-03-01 00:00:00', 1738000000000007);

INSERT INTO feedbacks (`threadId`, `forId`, `id`, `value`, `comment`, `createdAt`) VALUES
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000006', '40000000-0000-4000-8000-000000000001', 1, CONCAT('It''s "quoted" with a back\\slash, \\n that is none, a real
line, a Windows', CHAR(13 USING utf8mb4), '
line, a	tab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.'), '2025-03-01 00:00:00'),
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000007', '40000000-0000-4000-8000-000000000002', 0, NULL, '2025-03-01 00:00:00'),
    ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000200000002', '40000000-0000-4000-8000-000000000003', 0, 'zu lang', '2025-03-01 00:00:00');

INSERT INTO chainlit_sqla_tombstones (`threadId`, `id`, `deletedAt`) VALUES
    ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000100000090', '2025-03-01 00:00:00'),
    ('10000000-0000-4000-8000-000000000001', 'element 30000000-0000-4000-8000-000000000090', '2025-03-01 00:00:00'),
    ('10000000-0000-4000-8000-000000000090', '', '2025-03-01 00:00:00');

INSERT INTO chainlit_sqla_blob_deletions (`objectKey`, `createdAt`, `attempts`) VALUES
    (X'746872656164732f676f6e652fc3bc20f09f99822e706e67', '2025-03-01 00:00:00', 3);

INSERT INTO chainlit_sqla_quarantine (`id`, `source`, `origin`, `reason`, `row`, `createdAt`) VALUES
    ('an orphan', 'postgresql://old/chats', 'steps', 'its thread is gone', '{"id": "20000000-0000-4000-8000-009900000001", "output": "It''s \\"quoted\\" with a back\\\\slash, \\\\n that is none, a real\\nline, a Windows\\r\\nline, a\\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧.", "threadId": null}', '2025-03-01 00:00:00');

INSERT INTO chainlit_sqla_imports (`id`, `source`, `position`, `details`, `startedAt`, `finishedAt`) VALUES
    ('an import', 'postgresql://old/chats', '10000000-0000-4000-8000-000000000003', '{"rows": {"threads": 3}}', '2025-03-01 00:00:00', '2025-03-01 00:00:00');
