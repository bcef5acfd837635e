-- Statements that SQLite and PostgreSQL both understand. Parameters are named; each has a typed caller in store.py.

-- name: insert_execution(id, workflow_id, workflow, workflow_path, workflow_sha256, inputs, created_at, lease_owner, lease_until)!
INSERT INTO execution (id, workflow_id, workflow, workflow_path, workflow_sha256, inputs, state, created_at, lease_owner, lease_until)
VALUES (:id, :workflow_id, :workflow, :workflow_path, :workflow_sha256, :inputs, 'PENDING', :created_at, :lease_owner, :lease_until);

-- name: insert_task_run(execution_id, task_id, position)*!
INSERT INTO task_run (execution_id, task_id, position, state, reason)
VALUES (:execution_id, :task_id, :position, 'WAITING', 'dependency');

-- name: start_execution(id, now)!
UPDATE execution SET state = 'RUNNING', reason = NULL, message = NULL, finished_at = NULL,
       started_at = COALESCE(started_at, :now)
 WHERE id = :id;

-- name: end_execution(id, state, reason, message, now, secrets_used, masked)!
UPDATE execution SET state = :state, reason = :reason, message = :message, finished_at = :now,
       secrets_used = :secrets_used, masked = :masked, lease_owner = NULL, lease_until = NULL
 WHERE id = :id AND state IN ('PENDING', 'RUNNING');

-- name: renew_lease(id, owner, until)!
-- Says by its row count whether the lease is still ours.
UPDATE execution SET lease_until = :until WHERE id = :id AND lease_owner = :owner;

-- name: take_lease(id, old_owner, old_until, owner, until)!
-- Compare and set: of two that saw the same dead lease one wins.
UPDATE execution SET lease_owner = :owner, lease_until = :until
 WHERE id = :id AND COALESCE(lease_owner, '') = :old_owner AND COALESCE(lease_until, 0) = :old_until;

-- name: select_execution(id)^
SELECT * FROM execution WHERE id = :id;

-- name: select_executions(most)
SELECT * FROM execution ORDER BY created_at DESC, id DESC LIMIT :most;

-- name: change_task_run(execution_id, task_id, state, reason, not_before, started_at, finished_at)*!
UPDATE task_run SET state = :state, reason = :reason, not_before = :not_before,
       started_at = COALESCE(started_at, :started_at), finished_at = :finished_at
 WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: start_task_run(execution_id, task_id, attempts, started_at)*!
UPDATE task_run SET state = 'RUNNING', reason = NULL, not_before = NULL, attempts = :attempts,
       started_at = COALESCE(started_at, :started_at), finished_at = NULL
 WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: select_task_runs(execution_id)
SELECT * FROM task_run WHERE execution_id = :execution_id ORDER BY position;

-- name: insert_attempt(execution_id, task_id, number, created_at)*!
INSERT INTO attempt (execution_id, task_id, number, state, created_at)
VALUES (:execution_id, :task_id, :number, 'PENDING', :created_at);

-- name: claim_attempt(execution_id, task_id, number, owner, now)!
-- Compare and set: an attempt is claimed once, whatever delivers it twice.
UPDATE attempt SET state = 'RUNNING', owner = :owner, claimed_at = :now
 WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number AND state = 'PENDING';

-- name: end_attempt(execution_id, task_id, number, owner, state, reason, message, exit_code, now, sealed, clear, shown_sealed, shown_clear)!
-- Only by the worker that claimed it, and once.
UPDATE attempt SET state = :state, reason = :reason, message = :message, exit_code = :exit_code, finished_at = :now,
       output_sealed = :sealed, output_clear = :clear, shown_sealed = :shown_sealed, shown_clear = :shown_clear
 WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number AND owner = :owner AND state = 'RUNNING';

-- name: lose_attempts(execution_id, now)!
UPDATE attempt SET state = 'LOST', reason = 'lost', finished_at = :now
 WHERE execution_id = :execution_id AND state IN ('PENDING', 'RUNNING');

-- name: select_attempt(execution_id, task_id, number)^
SELECT execution_id, task_id, number, state, reason, message, exit_code, owner, created_at, claimed_at, finished_at,
       shown_sealed, shown_clear
  FROM attempt WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number;

-- name: select_attempts(execution_id)
SELECT execution_id, task_id, number, state, reason, message, exit_code, owner, created_at, claimed_at, finished_at,
       shown_sealed, shown_clear
  FROM attempt WHERE execution_id = :execution_id ORDER BY task_id, number;

-- name: select_output(execution_id, task_id)^
-- The output of the last attempt that ended well; a task that did not has none.
SELECT output_sealed AS sealed, output_clear AS clear, number
  FROM attempt WHERE execution_id = :execution_id AND task_id = :task_id AND state = 'SUCCESS'
 ORDER BY number DESC LIMIT 1;

-- name: insert_log_line(execution_id, task_id, attempt, sequence, time, stream, level, message)*!
INSERT INTO log_line (execution_id, task_id, attempt, sequence, time, stream, level, message)
VALUES (:execution_id, :task_id, :attempt, :sequence, :time, :stream, :level, :message);

-- name: select_log_lines(execution_id, task_id)
-- All lines in the order in which they were written; `task_id` NULL means every task.
SELECT * FROM log_line
 WHERE execution_id = :execution_id AND (:task_id IS NULL OR task_id = :task_id)
 ORDER BY time, task_id, attempt, sequence;
