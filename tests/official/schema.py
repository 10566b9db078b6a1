"""The tables that Chainlit's own layers expect; Chainlit makes none of them itself.

The first is the schema that Chainlit's documentation gave in spring 2026 for the
SQLAlchemy layer, with the three columns that Chainlit 2.12 writes and the documentation
leaves out. The second has the shape of the Prisma schema of the asyncpg layer.
"""

from __future__ import annotations

_SA_COLUMNS = {
    "users": """
        "id" {uuid} PRIMARY KEY, "identifier" TEXT NOT NULL UNIQUE,
        "metadata" {json} NOT NULL, "createdAt" TEXT""",
    "threads": """
        "id" {uuid} PRIMARY KEY, "createdAt" TEXT, "name" TEXT,
        "userId" {uuid} REFERENCES users("id") ON DELETE CASCADE, "userIdentifier" TEXT,
        "tags" {texts}, "metadata" {json}""",
    "steps": """
        "id" {uuid} PRIMARY KEY, "name" TEXT NOT NULL, "type" TEXT NOT NULL,
        "threadId" {uuid} NOT NULL REFERENCES threads("id") ON DELETE CASCADE,
        "parentId" {uuid}, "streaming" BOOLEAN NOT NULL, "waitForAnswer" BOOLEAN,
        "isError" BOOLEAN, "metadata" {json}, "tags" {texts}, "input" TEXT, "output" TEXT,
        "createdAt" TEXT, "command" TEXT, "modes" {json}, "start" TEXT, "end" TEXT,
        "generation" {json}, "showInput" TEXT, "language" TEXT, "indent" INT,
        "defaultOpen" BOOLEAN, "autoCollapse" BOOLEAN""",
    "elements": """
        "id" {uuid} PRIMARY KEY,
        "threadId" {uuid} REFERENCES threads("id") ON DELETE CASCADE,
        "type" TEXT, "url" TEXT, "chainlitKey" TEXT, "name" TEXT NOT NULL, "display" TEXT,
        "objectKey" TEXT, "size" TEXT, "page" INT, "language" TEXT, "forId" {uuid},
        "mime" TEXT, "props" {json}, "autoPlay" BOOLEAN, "playerConfig" {json}""",
    "feedbacks": """
        "id" {uuid} PRIMARY KEY, "forId" {uuid} NOT NULL,
        "threadId" {uuid} NOT NULL REFERENCES threads("id") ON DELETE CASCADE,
        "value" INT NOT NULL, "comment" TEXT""",
}


def sqlalchemy_tables(*, sqlite: bool) -> list[str]:
    """Give the statements for ``SQLAlchemyDataLayer``."""
    kinds = {"uuid": "UUID", "json": "JSONB", "texts": "TEXT[]"}
    if sqlite:
        kinds = dict.fromkeys(kinds, "TEXT")
    return [
        f"CREATE TABLE {name} ({columns.format(**kinds)})" for name, columns in _SA_COLUMNS.items()
    ]


_TIMES = """
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP"""

_STEP_TYPES = (
    "assistant_message",
    "embedding",
    "llm",
    "retrieval",
    "rerank",
    "run",
    "system_message",
    "tool",
    "undefined",
    "user_message",
)


def prisma_tables() -> list[str]:
    """Give the statements for ``ChainlitDataLayer``."""
    types = ", ".join(f"'{one}'" for one in _STEP_TYPES)
    return [
        f'CREATE TYPE "StepType" AS ENUM ({types})',
        f"""CREATE TABLE "User" (
            id TEXT PRIMARY KEY, {_TIMES}, metadata JSONB NOT NULL,
            identifier TEXT NOT NULL UNIQUE)""",
        f"""CREATE TABLE "Thread" (
            id TEXT PRIMARY KEY, {_TIMES}, "deletedAt" TIMESTAMP(3), name TEXT,
            metadata JSONB NOT NULL, tags TEXT[] NOT NULL DEFAULT '{{}}',
            "userId" TEXT REFERENCES "User" ON DELETE SET NULL)""",
        f"""CREATE TABLE "Step" (
            id TEXT PRIMARY KEY, {_TIMES}, "parentId" TEXT REFERENCES "Step" ON DELETE CASCADE,
            "threadId" TEXT REFERENCES "Thread" ON DELETE CASCADE, input TEXT,
            metadata JSONB NOT NULL, name TEXT, output TEXT, type "StepType" NOT NULL,
            "showInput" TEXT DEFAULT 'json', "isError" BOOLEAN DEFAULT false,
            "startTime" TIMESTAMP(3) NOT NULL, "endTime" TIMESTAMP(3) NOT NULL)""",
        f"""CREATE TABLE "Element" (
            id TEXT PRIMARY KEY, {_TIMES},
            "threadId" TEXT REFERENCES "Thread" ON DELETE CASCADE,
            "stepId" TEXT NOT NULL REFERENCES "Step" ON DELETE CASCADE,
            metadata JSONB NOT NULL, mime TEXT, name TEXT NOT NULL, "objectKey" TEXT, url TEXT,
            "chainlitKey" TEXT, display TEXT, size TEXT, language TEXT, page INTEGER, props JSONB)
        """,
        f"""CREATE TABLE "Feedback" (
            id TEXT PRIMARY KEY, {_TIMES},
            "stepId" TEXT REFERENCES "Step" ON DELETE SET NULL,
            name TEXT NOT NULL, value DOUBLE PRECISION NOT NULL, comment TEXT)""",
    ]
