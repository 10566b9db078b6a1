-- sqlite_foreign_users

CREATE TABLE users (
    "id" INTEGER PRIMARY KEY,
    "email" VARCHAR(255) NOT NULL UNIQUE,
    "password_hash" VARCHAR(100) NOT NULL,
    "created_at" TIMESTAMP NOT NULL
);

CREATE TABLE orders (
    "id" INTEGER PRIMARY KEY,
    "user_id" INTEGER NOT NULL REFERENCES users("id"),
    "metadata" TEXT
);

INSERT INTO users ("id", "email", "password_hash", "created_at") VALUES
    (1, 'ada@example.com', 'none', '2024-01-01 00:00:00'),
    (2, 'zolc@example.com', 'none', '2024-01-02 00:00:00');

INSERT INTO orders ("id", "user_id", "metadata") VALUES
    (10, 1, '{"total": 12.5}'),
    (11, 2, NULL);
