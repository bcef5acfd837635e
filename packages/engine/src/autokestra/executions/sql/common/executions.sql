-- Statements that SQLite and PostgreSQL both understand. Parameters are named; each has a typed caller in the store.

-- name: insert_execution(id, workflow_id, workflow, workflow_path, workflow_sha256, inputs, created_at, lease_owner, lease_until, caller_execution, caller_task, workflow_seal)!
INSERT INTO execution (id, workflow_id, workflow, workflow_path, workflow_sha256, inputs, state, created_at, lease_owner, lease_until,
                       caller_execution, caller_task, workflow_seal)
VALUES (:id, :workflow_id, :workflow, :workflow_path, :workflow_sha256, :inputs, 'PENDING', :created_at, :lease_owner, :lease_until,
        :caller_execution, :caller_task, :workflow_seal);

-- name: insert_task_run(execution_id, task_id, position)*!
INSERT INTO task_run (execution_id, task_id, position, state, reason)
VALUES (:execution_id, :task_id, :position, 'WAITING', 'dependency');

-- name: start_execution(id, now)!
UPDATE execution SET state = 'RUNNING', reason = NULL, message = NULL, finished_at = NULL,
       started_at = COALESCE(started_at, :now)
 WHERE id = :id;

-- name: hold_execution(id)!
-- It waits for others of the same workflow, and so do its tasks.
UPDATE execution SET state = 'PENDING', reason = 'concurrency', message = NULL, finished_at = NULL WHERE id = :id;

-- name: hold_task_runs(id)!
UPDATE task_run SET state = 'WAITING', reason = 'concurrency', finished_at = NULL
 WHERE execution_id = :id AND state NOT IN ('SUCCESS', 'FAILED') AND parent IS NULL;

-- name: select_under_way(workflow_id, id)
-- Those of a workflow that have not ended, besides one, the oldest first.
SELECT id, state, created_at, lease_owner, lease_until
  FROM execution
 WHERE workflow_id = :workflow_id AND id <> :id AND state IN ('PENDING', 'RUNNING')
 ORDER BY created_at, id;

-- name: end_execution(id, owner, state, reason, message, now, secrets_used, masked)!
-- Only by who coordinates it: one that was not heard of for a while and was replaced ends nothing.
UPDATE execution SET state = :state, reason = :reason, message = :message, finished_at = :now,
       secrets_used = :secrets_used, masked = :masked, lease_owner = NULL, lease_until = NULL
 WHERE id = :id AND state IN ('PENDING', 'RUNNING') AND COALESCE(lease_owner, '') = :owner;

-- name: close_items(id, now)!
-- Of items that an earlier coordinator had begun and the last one never came to.
UPDATE task_run SET state = 'CANCELLED', reason = 'upstream', finished_at = :now
 WHERE execution_id = :id AND parent IS NOT NULL AND state IN ('WAITING', 'PENDING', 'RUNNING');

-- name: is_coordinator(id, owner)^
SELECT 1 FROM execution WHERE id = :id AND COALESCE(lease_owner, '') = :owner;

-- name: insert_cancel(id, now)!
INSERT INTO cancel (execution_id, requested_at)
SELECT id, :now FROM execution WHERE id = :id AND state IN ('PENDING', 'RUNNING')
ON CONFLICT (execution_id) DO NOTHING;

-- name: delete_cancel(id)!
DELETE FROM cancel WHERE execution_id = :id;

-- name: select_cancel(id)^
SELECT requested_at FROM cancel WHERE execution_id = :id;

-- name: select_cancelled_of_owner(owner)
-- The attempts of a worker whose execution is to stop.
SELECT a.execution_id, a.task_id, a.number
  FROM attempt AS a LEFT JOIN cancel AS c ON c.execution_id = a.execution_id
 WHERE a.owner = :owner AND a.state = 'RUNNING' AND (c.execution_id IS NOT NULL OR a.stop_requested IS NOT NULL);

-- name: stop_attempt(execution_id, task_id, number, now)!
-- One that nobody has claimed is over; of one that runs, its worker will see the wish.
UPDATE attempt
   SET stop_requested = :now,
       finished_at = CASE state WHEN 'PENDING' THEN :now ELSE finished_at END,
       reason = CASE state WHEN 'PENDING' THEN 'cancelled' ELSE reason END,
       state = CASE state WHEN 'PENDING' THEN 'CANCELLED' ELSE state END
 WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number AND state IN ('PENDING', 'RUNNING');

-- name: select_accounts(execution_id)
-- What workers have said of secrets; an item counts for its task.
SELECT COALESCE(r.parent, r.task_id) AS task_id, a.account
  FROM attempt AS a JOIN task_run AS r ON r.execution_id = a.execution_id AND r.task_id = a.task_id
 WHERE a.execution_id = :execution_id AND a.account IS NOT NULL ORDER BY r.position, a.task_id, a.number;

-- name: renew_lease(id, owner, until)!
-- Says by its row count whether the lease is still ours.
UPDATE execution SET lease_until = :until WHERE id = :id AND lease_owner = :owner;

-- name: take_lease(id, old_owner, old_until, owner, until)!
-- Compare and set: of two that saw the same dead lease one wins.
UPDATE execution SET lease_owner = :owner, lease_until = :until
 WHERE id = :id AND COALESCE(lease_owner, '') = :old_owner AND COALESCE(lease_until, 0) = :old_until;

-- name: select_execution(id)^
SELECT * FROM execution WHERE id = :id;

-- name: select_latest()^
-- Of those that a person has started: sub-workflows belong to them.
SELECT * FROM execution WHERE caller_execution IS NULL ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: select_latest_of_task(caller_execution, caller_task)^
-- What a task began last.
SELECT * FROM execution WHERE caller_execution = :caller_execution AND caller_task = :caller_task
 ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: select_executions(most)
SELECT * FROM execution ORDER BY created_at DESC, id DESC LIMIT :most;

-- name: change_task_run(execution_id, task_id, state, reason, message, not_before, started_at, finished_at)*!
UPDATE task_run SET state = :state, reason = :reason, message = :message, not_before = :not_before,
       started_at = COALESCE(started_at, :started_at), finished_at = :finished_at
 WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: start_task_run(execution_id, task_id, attempts, started_at)*!
UPDATE task_run SET state = 'RUNNING', reason = NULL, not_before = NULL, attempts = :attempts,
       started_at = COALESCE(started_at, :started_at), finished_at = NULL
 WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: select_task_runs(execution_id)
SELECT execution_id, task_id, position, state, reason, attempts, not_before, started_at, finished_at, parent, item, items,
       message
  FROM task_run WHERE execution_id = :execution_id ORDER BY position, item;

-- name: insert_attempt(execution_id, task_id, number, created_at)*!
INSERT INTO attempt (execution_id, task_id, number, state, created_at)
VALUES (:execution_id, :task_id, :number, 'PENDING', :created_at);

-- name: claim_attempt(execution_id, task_id, number, owner, until, now)!
-- Compare and set: an attempt is claimed once, whatever delivers it twice.
UPDATE attempt SET state = 'RUNNING', owner = :owner, lease_until = :until, claimed_at = :now
 WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number AND state = 'PENDING';

-- name: end_attempt(execution_id, task_id, number, owner, state, reason, message, exit_code, now, sealed, clear, shown_sealed, shown_clear, account)!
-- Only by the worker that claimed it, and once.
UPDATE attempt SET state = :state, reason = :reason, message = :message, exit_code = :exit_code, finished_at = :now,
       output_sealed = :sealed, output_clear = :clear, shown_sealed = :shown_sealed, shown_clear = :shown_clear,
       account = :account
 WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number AND owner = :owner AND state = 'RUNNING';

-- name: renew_attempts(owner, until)!
-- The heartbeat of a worker: one statement for all that it runs.
UPDATE attempt SET lease_until = :until WHERE owner = :owner AND state = 'RUNNING';

-- name: select_attempts_of_owner(owner)
SELECT execution_id, task_id, number FROM attempt WHERE owner = :owner AND state = 'RUNNING';

-- name: lose_attempt(execution_id, task_id, number, owner, until, now)!
-- Compare and set: a worker that was heard of in the meantime keeps its attempt.
UPDATE attempt SET state = 'LOST', reason = 'lost', message = 'its worker is gone', finished_at = :now
 WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number
   AND state = 'RUNNING' AND owner = :owner AND lease_until = :until;

-- name: settle_task_runs(execution_id)!
-- A task whose attempt ended well has succeeded, even if its coordinator died before it could write that down.
UPDATE task_run
   SET state = 'SUCCESS', reason = NULL,
       finished_at = (SELECT a.finished_at FROM attempt AS a
                       WHERE a.execution_id = task_run.execution_id AND a.task_id = task_run.task_id
                         AND a.number = task_run.attempts)
 WHERE execution_id = :execution_id AND state = 'RUNNING'
   AND EXISTS (SELECT 1 FROM attempt AS a
                WHERE a.execution_id = task_run.execution_id AND a.task_id = task_run.task_id
                  AND a.number = task_run.attempts AND a.state = 'SUCCESS');

-- name: lose_waiting_attempts(execution_id, now)!
-- Those that nobody has claimed, when their coordinator is replaced.
UPDATE attempt SET state = 'LOST', reason = 'lost', finished_at = :now
 WHERE execution_id = :execution_id AND state = 'PENDING';

-- name: select_running_attempts(execution_id)
SELECT task_id, number, owner, lease_until FROM attempt WHERE execution_id = :execution_id AND state = 'RUNNING';

-- name: select_attempt(execution_id, task_id, number)^
SELECT execution_id, task_id, number, state, reason, message, exit_code, owner, lease_until, created_at, claimed_at,
       finished_at, shown_sealed, shown_clear
  FROM attempt WHERE execution_id = :execution_id AND task_id = :task_id AND number = :number;

-- name: select_attempts(execution_id)
SELECT execution_id, task_id, number, state, reason, message, exit_code, owner, lease_until, created_at, claimed_at,
       finished_at, shown_sealed, shown_clear
  FROM attempt WHERE execution_id = :execution_id ORDER BY task_id, number;

-- name: select_output(execution_id, task_id)^
-- The output of the last attempt, if that ended well. An older one does not count: it was made to run again.
SELECT a.output_sealed AS sealed, a.output_clear AS clear, a.number
  FROM task_run AS r
  JOIN attempt AS a ON a.execution_id = r.execution_id AND a.task_id = r.task_id AND a.number = r.attempts
 WHERE r.execution_id = :execution_id AND r.task_id = :task_id AND a.state = 'SUCCESS';

-- name: select_item_outputs(execution_id, parent)
-- One row for each item, in order; `number` is NULL where there is no output.
SELECT r.task_id, r.item, a.output_sealed AS sealed, a.output_clear AS clear, a.number
  FROM task_run AS p
  JOIN task_run AS r ON r.execution_id = p.execution_id AND r.parent = p.task_id AND r.item < p.items
  LEFT JOIN attempt AS a
    ON a.execution_id = r.execution_id AND a.task_id = r.task_id AND a.number = r.attempts AND a.state = 'SUCCESS'
 WHERE p.execution_id = :execution_id AND p.task_id = :parent
 ORDER BY r.item;

-- name: select_item_list(execution_id, task_id)^
SELECT items, items_sealed AS sealed, items_clear AS clear
  FROM task_run WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: update_item_list(execution_id, task_id, items, sealed, clear)!
UPDATE task_run SET items = :items, items_sealed = :sealed, items_clear = :clear
 WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: upsert_item_run(execution_id, task_id, parent, item, state, reason)*!
-- An item gets the position of its task. One that is there already starts over; its attempts stay.
INSERT INTO task_run (execution_id, task_id, position, state, reason, parent, item)
SELECT execution_id, :task_id, position, :state, :reason, task_id, :item
  FROM task_run WHERE execution_id = :execution_id AND task_id = :parent
ON CONFLICT (execution_id, task_id)
DO UPDATE SET state = excluded.state, reason = excluded.reason, not_before = NULL, finished_at = NULL;

-- name: reset_item_list(execution_id, task_id)!
UPDATE task_run SET items = NULL, items_sealed = NULL, items_clear = NULL
 WHERE execution_id = :execution_id AND task_id = :task_id;

-- name: reset_items(execution_id, parent)!
UPDATE task_run SET state = 'WAITING', reason = 'dependency', not_before = NULL, finished_at = NULL
 WHERE execution_id = :execution_id AND parent = :parent;

-- name: select_log_lines(execution_id, task_id)
-- All lines in the order in which they were written; `task_id` NULL means every task, a task means its items too.
SELECT * FROM log_line
 WHERE execution_id = :execution_id
   AND (CAST(:task_id AS TEXT) IS NULL OR task_id = :task_id
        OR task_id IN (SELECT r.task_id FROM task_run AS r WHERE r.execution_id = :execution_id AND r.parent = :task_id))
 ORDER BY time, task_id, attempt, sequence;

-- name: select_log_ends(execution_id, first, last)
-- The first and the last lines of each task's log, those of its items taken together, so that a log of any length can be
-- looked at in bounded memory: only keys are numbered. Messages come whole; SQLite's `substr` would end at a NUL.
SELECT m.execution_id, m.task_id, m.attempt, m.sequence, m.time, m.stream, m.level, m.message, k.task, k.place, k.total
  FROM (SELECT l.task_id, l.attempt, l.sequence, COALESCE(r.parent, l.task_id) AS task,
               row_number() OVER (PARTITION BY COALESCE(r.parent, l.task_id)
                                      ORDER BY l.time, l.task_id, l.attempt, l.sequence) AS place,
               count(*) OVER (PARTITION BY COALESCE(r.parent, l.task_id)) AS total
          FROM log_line AS l
          LEFT JOIN task_run AS r ON r.execution_id = l.execution_id AND r.task_id = l.task_id
         WHERE l.execution_id = :execution_id) AS k
  JOIN log_line AS m ON m.execution_id = :execution_id AND m.task_id = k.task_id AND m.attempt = k.attempt
                    AND m.sequence = k.sequence
 WHERE k.place <= :first OR k.place > k.total - :last
 ORDER BY m.time, m.task_id, m.attempt, m.sequence;

-- name: select_attempt_states(execution_id)
-- For who follows a log: which attempts there are, and which of them have said all.
SELECT task_id, number, state FROM attempt WHERE execution_id = :execution_id ORDER BY task_id, number;

-- name: select_lines_after(execution_id, task_id, attempt, sequence)
-- The lines of one attempt have one writer, so none appears later before one that is there.
SELECT * FROM log_line
 WHERE execution_id = :execution_id AND task_id = :task_id AND attempt = :attempt AND sequence > :sequence
 ORDER BY sequence;
