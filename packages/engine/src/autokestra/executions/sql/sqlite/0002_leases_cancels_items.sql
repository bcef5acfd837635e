-- Version 2: workers prove that they are alive, a cancel is a row, and a task may run once for each item of a list.

-- Until when the worker that claimed an attempt is taken to be alive: CLOCK_BOOTTIME of its boot, microseconds.
ALTER TABLE attempt ADD COLUMN lease_until INTEGER;
CREATE INDEX attempt_by_owner ON attempt (owner) WHERE state = 'RUNNING';

-- Somebody wants the execution to stop. Polled by its coordinator and by the workers of its attempts.
CREATE TABLE cancel (
  execution_id TEXT PRIMARY KEY REFERENCES execution (id) ON DELETE CASCADE,
  requested_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Why a task run ended badly without an attempt that could say so: a wrong condition or list, items that failed.
ALTER TABLE task_run ADD COLUMN message TEXT;

-- Each item of a `forEach` is a task run of its own, `task[3]`, with attempts, log and output like any other, so that
-- nothing else needs to know about items. The task run of the task itself has no attempt: it says how many items
-- there are, holds the list (at rest as outputs are: sealed, in clear, or neither), and ends when they have ended.
ALTER TABLE task_run ADD COLUMN parent TEXT;
ALTER TABLE task_run ADD COLUMN item INTEGER;            -- from 0; NULL for a task of the document
ALTER TABLE task_run ADD COLUMN items INTEGER;           -- how many, once the list is known
ALTER TABLE task_run ADD COLUMN items_sealed BLOB;
ALTER TABLE task_run ADD COLUMN items_clear TEXT;
CREATE INDEX task_run_by_item ON task_run (execution_id, parent, item) WHERE parent IS NOT NULL;

-- Executions under way, by workflow: who waits for whom where a workflow limits how many run at once.
CREATE INDEX execution_under_way ON execution (workflow_id, created_at) WHERE state IN ('PENDING', 'RUNNING');
