-- What only SQLite understands, or does faster in a way of its own. The rest is in common/.

-- name: insert_log_line*!
-- Numbered parameters: binding a hundred thousand lines a second by name would take a third of the time.
INSERT INTO log_line (execution_id, task_id, attempt, sequence, time, stream, level, message)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: select_these_attempts(execution_id, keys)
-- CROSS keeps the order: for each key one row by its primary key, and not all rows of the execution for a few keys.
SELECT execution_id, task_id, number, state, reason, message, exit_code, owner, lease_until, created_at, claimed_at,
       finished_at, shown_sealed, shown_clear
  FROM json_each(:keys) AS key CROSS JOIN attempt
    ON execution_id = :execution_id
   AND task_id = json_extract(key.value, '$[0]') AND number = json_extract(key.value, '$[1]');
