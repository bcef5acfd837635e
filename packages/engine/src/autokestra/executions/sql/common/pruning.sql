-- What housekeeping asks and does. Deleting is cut into small transactions, so that runs never wait long for the lock.

-- name: select_prunable(before, keep_last)
-- Old ones, the newest of each workflow left out; whether one may go is decided by its state and its lease.
SELECT id, workflow_id, state, lease_owner, lease_until, COALESCE(finished_at, started_at, created_at) AS touched_at
  FROM (SELECT id, workflow_id, state, lease_owner, lease_until, finished_at, started_at, created_at,
               ROW_NUMBER() OVER (PARTITION BY workflow_id ORDER BY created_at DESC, id DESC) AS place
          FROM execution) AS ranked
 WHERE place > :keep_last AND COALESCE(finished_at, started_at, created_at) < :before
 ORDER BY created_at, id;

-- name: select_for_removal(id)^
SELECT id, workflow_id, state, lease_owner, lease_until, COALESCE(finished_at, started_at, created_at) AS touched_at
  FROM execution WHERE id = :id;

-- name: claim_for_removal(id, state, old_owner, old_until, owner, until)!
-- Compare and set: one that was resumed or taken by another prune in the meantime is left alone.
UPDATE execution SET lease_owner = :owner, lease_until = :until
 WHERE id = :id AND state = :state
   AND COALESCE(lease_owner, '') = :old_owner AND COALESCE(lease_until, 0) = :old_until;

-- name: delete_log_lines(id, most)!
DELETE FROM log_line
 WHERE execution_id = :id
   AND (task_id, attempt, sequence) IN
       (SELECT task_id, attempt, sequence FROM log_line WHERE execution_id = :id LIMIT :most);

-- name: delete_attempts(id, most)!
DELETE FROM attempt
 WHERE execution_id = :id
   AND (task_id, number) IN (SELECT task_id, number FROM attempt WHERE execution_id = :id LIMIT :most);

-- name: delete_task_runs(id, most)!
DELETE FROM task_run
 WHERE execution_id = :id AND task_id IN (SELECT task_id FROM task_run WHERE execution_id = :id LIMIT :most);

-- name: delete_execution(id, owner)!
DELETE FROM execution WHERE id = :id AND lease_owner = :owner;

-- name: select_leases()
-- Of executions that are under way, as far as their rows say.
SELECT lease_owner, lease_until FROM execution WHERE state IN ('PENDING', 'RUNNING') AND lease_owner IS NOT NULL;
