"""Schema of the journal, and its migrations."""

from __future__ import annotations

from ideogram_async._store.connection import Schema
from ideogram_async.errors import JournalError

HIDDEN = ".ideogram"
"""The folder of the journal, in the folder of the batch."""

APPLICATION_ID = 0x1DE06A55

MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE job (
        key TEXT PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,
        id TEXT UNIQUE,
        operation TEXT NOT NULL,
        request TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        weight INTEGER NOT NULL,
        usd TEXT,
        state TEXT NOT NULL,
        status INTEGER,
        raw BLOB,
        headers TEXT,
        error TEXT,
        resends INTEGER NOT NULL DEFAULT 0,
        updated_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX job_by_state ON job (state, number);
    CREATE TABLE image (
        key TEXT NOT NULL REFERENCES job (key),
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        url TEXT,
        seed INTEGER,
        prompt TEXT,
        resolution TEXT,
        path TEXT,
        sha256 TEXT,
        size INTEGER,
        PRIMARY KEY (key, number)
    ) STRICT, WITHOUT ROWID;
    """,
    # Only an expired image is final: the states that a failed download led to are problems of a linked image.
    """
    ALTER TABLE job ADD COLUMN answered_at TEXT;
    ALTER TABLE job ADD COLUMN carried TEXT;
    ALTER TABLE image ADD COLUMN problem TEXT;
    ALTER TABLE image ADD COLUMN tried_at TEXT;
    ALTER TABLE image ADD COLUMN max_bytes INTEGER;
    INSERT INTO meta (name, value)
        SELECT 'sends', count(*) FROM job WHERE state <> 'pending' OR resends > 0;
    UPDATE job SET answered_at = updated_at WHERE state IN ('answered', 'done', 'partial');
    UPDATE image SET state = 'linked', problem = CASE state
        WHEN 'conflict' THEN 'name_taken'
        WHEN 'corrupt' THEN 'not_an_image'
        WHEN 'lost' THEN 'gone'
        ELSE state
    END WHERE state IN ('conflict', 'refused', 'too_large', 'corrupt') OR (state = 'lost' AND url IS NOT NULL);
    UPDATE job SET state = 'answered' WHERE state IN ('done', 'partial') AND key IN (
        SELECT key FROM image WHERE state = 'linked'
    );
    """,
    # `path` is then the name in the sink.
    "ALTER TABLE image ADD COLUMN uri TEXT;",
    # `raw` of an accepted job is its acknowledgement.
    """
    ALTER TABLE job ADD COLUMN generation_id TEXT;
    ALTER TABLE job ADD COLUMN poll TEXT;
    ALTER TABLE job ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
    """,
)


COUNTED_VERSION = 2
"""The first version with a counter of sends."""
SCHEMA = Schema(APPLICATION_ID, MIGRATIONS, JournalError)
