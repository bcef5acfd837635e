-- The state of executions, version 1. Times are microseconds UTC; JSON is text; no column holds a secret in clear:
-- what tasks print and what messages say is masked before it comes here, outputs are sealed or free of secrets.

-- One run of a workflow. `workflow` and `inputs` are copies: a later edit of the file changes no execution.
CREATE TABLE execution (
  id              TEXT PRIMARY KEY,
  workflow_id     TEXT NOT NULL,
  workflow        TEXT NOT NULL,
  workflow_path   TEXT NOT NULL,
  workflow_sha256 TEXT NOT NULL,
  inputs          TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED')),
  reason          TEXT,
  message         TEXT,
  created_at      INTEGER NOT NULL,
  started_at      INTEGER,
  finished_at     INTEGER,
  lease_owner     TEXT,
  lease_until     INTEGER,                -- CLOCK_BOOTTIME of the owner's boot
  secrets_used    TEXT NOT NULL DEFAULT '{}',
  masked          TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX execution_by_time ON execution (created_at);

-- One task of an execution.
CREATE TABLE task_run (
  execution_id TEXT NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
  task_id      TEXT NOT NULL,
  position     INTEGER NOT NULL,          -- order in the document
  state        TEXT NOT NULL CHECK (state IN ('WAITING', 'PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED')),
  reason       TEXT,
  attempts     INTEGER NOT NULL DEFAULT 0,
  not_before   INTEGER,
  started_at   INTEGER,
  finished_at  INTEGER,
  PRIMARY KEY (execution_id, task_id)
) STRICT, WITHOUT ROWID;

-- One try of a task: committed before it is submitted, claimed by one worker, ended by that worker.
CREATE TABLE attempt (
  execution_id  TEXT NOT NULL,
  task_id       TEXT NOT NULL,
  number        INTEGER NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED', 'LOST')),
  reason        TEXT,
  message       TEXT,
  exit_code     INTEGER,
  owner         TEXT,
  created_at    INTEGER NOT NULL,
  claimed_at    INTEGER,
  finished_at   INTEGER,
  output_sealed BLOB,
  output_clear  TEXT,
  shown_sealed  BLOB,                    -- the output masked, for people; it may hold what a task minted itself
  shown_clear   TEXT,
  PRIMARY KEY (execution_id, task_id, number),
  FOREIGN KEY (execution_id, task_id) REFERENCES task_run (execution_id, task_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One masked line of a log.
CREATE TABLE log_line (
  execution_id TEXT NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
  task_id      TEXT NOT NULL,
  attempt      INTEGER NOT NULL,
  sequence     INTEGER NOT NULL,
  time         INTEGER NOT NULL,
  stream       TEXT NOT NULL,
  level        TEXT NOT NULL,
  message      TEXT NOT NULL,
  PRIMARY KEY (execution_id, task_id, attempt, sequence)
) STRICT, WITHOUT ROWID;
