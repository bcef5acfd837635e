-- The state of executions in PostgreSQL, version 1: the tables of SQLite, versions 1 and 2. Times are microseconds UTC,
-- leases microseconds of this server's clock; JSON is text; no column holds a secret in clear: what tasks print and
-- what messages say is masked before it comes here, outputs are sealed or free of secrets.

CREATE TABLE state_version (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL);
INSERT INTO state_version VALUES (1, 0);

-- One run of a workflow. `workflow` and `inputs` are copies: a later edit of the file changes no execution.
CREATE TABLE execution (
  id              TEXT COLLATE "C" PRIMARY KEY,
  workflow_id     TEXT NOT NULL,
  workflow        TEXT NOT NULL,
  workflow_path   TEXT NOT NULL,
  workflow_sha256 TEXT NOT NULL,
  inputs          TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED')),
  reason          TEXT,
  message         TEXT,
  created_at      BIGINT NOT NULL,
  started_at      BIGINT,
  finished_at     BIGINT,
  lease_owner     TEXT,
  lease_until     BIGINT,
  secrets_used    TEXT NOT NULL DEFAULT '{}',
  masked          TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX execution_by_time ON execution (created_at, id);
CREATE INDEX execution_under_way ON execution (workflow_id, created_at) WHERE state IN ('PENDING', 'RUNNING');

-- One task of an execution, or one item of a task with forEach: then `parent` is the task and `item` counts from 0.
-- Rows are replaced often: room beside them spares the indexes.
CREATE TABLE task_run (
  execution_id TEXT COLLATE "C" NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
  task_id      TEXT COLLATE "C" NOT NULL,
  position     BIGINT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('WAITING', 'PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED')),
  reason       TEXT,
  attempts     BIGINT NOT NULL DEFAULT 0,
  not_before   BIGINT,
  started_at   BIGINT,
  finished_at  BIGINT,
  message      TEXT,
  parent       TEXT COLLATE "C",
  item         BIGINT,
  items        BIGINT,
  items_sealed BYTEA,
  items_clear  TEXT,
  PRIMARY KEY (execution_id, task_id)
) WITH (fillfactor = 70);
CREATE INDEX task_run_by_item ON task_run (execution_id, parent, item) WHERE parent IS NOT NULL;

-- One try of a task: committed before it is submitted, claimed by one worker, ended by that worker.
CREATE TABLE attempt (
  execution_id  TEXT COLLATE "C" NOT NULL,
  task_id       TEXT COLLATE "C" NOT NULL,
  number        BIGINT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED', 'LOST')),
  reason        TEXT,
  message       TEXT,
  exit_code     BIGINT,
  owner         TEXT,
  lease_until   BIGINT,
  created_at    BIGINT NOT NULL,
  claimed_at    BIGINT,
  finished_at   BIGINT,
  output_sealed BYTEA,
  output_clear  TEXT,
  shown_sealed  BYTEA,
  shown_clear   TEXT,
  PRIMARY KEY (execution_id, task_id, number),
  FOREIGN KEY (execution_id, task_id) REFERENCES task_run (execution_id, task_id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX attempt_by_owner ON attempt (owner) WHERE state = 'RUNNING';

-- Somebody wants the execution to stop. Polled by its coordinator and by the workers of its attempts.
CREATE TABLE cancel (
  execution_id TEXT COLLATE "C" PRIMARY KEY REFERENCES execution (id) ON DELETE CASCADE,
  requested_at BIGINT NOT NULL
);

-- One masked line of a log. No foreign key: it would be looked up for every line, which halves the lines a second. The
-- trigger below removes the lines of an execution that is removed.
CREATE TABLE log_line (
  execution_id TEXT COLLATE "C" NOT NULL,
  task_id      TEXT COLLATE "C" NOT NULL,
  attempt      BIGINT NOT NULL,
  sequence     BIGINT NOT NULL,
  time         BIGINT NOT NULL,
  stream       TEXT NOT NULL,
  level        TEXT NOT NULL,
  message      TEXT NOT NULL,
  PRIMARY KEY (execution_id, task_id, attempt, sequence)
);
CREATE FUNCTION remove_log_lines() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM log_line WHERE execution_id IN (SELECT id FROM gone);
  RETURN NULL;
END $$;
CREATE TRIGGER execution_removed AFTER DELETE ON execution REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION remove_log_lines();
