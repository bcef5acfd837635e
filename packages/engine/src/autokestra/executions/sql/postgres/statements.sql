-- What PostgreSQL needs in a form of its own, since several writers are at work at once. The rest is in common/.

-- name: is_coordinator(id, owner)^
-- Held to the end of the transaction, so that nobody takes over between the look and the write. It is no key that is
-- changed: rows that refer to this one may be written meanwhile.
SELECT 1 FROM execution WHERE id = :id AND COALESCE(lease_owner, '') = :owner FOR NO KEY UPDATE;

-- name: lock_workflow(workflow_id)
-- Of the executions of one workflow that ask at once whether they may run, one is answered at a time.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || :workflow_id, 1));

-- name: select_identity()^
SELECT identity FROM state_version WHERE id = 1;

-- name: insert_log_lines(executions, tasks, attempts, sequences, times, streams, levels, messages)!
-- A few lines in one round trip; many go by COPY. Written again after a lost connection, they are there once.
INSERT INTO log_line (execution_id, task_id, attempt, sequence, time, stream, level, message)
SELECT * FROM unnest(CAST(:executions AS TEXT[]), CAST(:tasks AS TEXT[]), CAST(:attempts AS BIGINT[]),
                     CAST(:sequences AS BIGINT[]), CAST(:times AS BIGINT[]), CAST(:streams AS TEXT[]),
                     CAST(:levels AS TEXT[]), CAST(:messages AS TEXT[]))
ON CONFLICT DO NOTHING;

-- name: select_now()^
-- The time that leases compare: of the server, since machines do not agree.
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now;

-- name: select_these_attempts(execution_id, keys)
-- LIMIT keeps it a look by primary key for each key, where the planner would read all rows of the execution.
SELECT found.* FROM jsonb_array_elements(CAST(:keys AS JSONB)) AS key, LATERAL (
    SELECT execution_id, task_id, number, state, reason, message, exit_code, owner, lease_until, created_at, claimed_at,
           finished_at, shown_sealed, shown_clear
      FROM attempt
     WHERE execution_id = :execution_id AND task_id = key->>0 AND number = CAST(key->>1 AS BIGINT)
     LIMIT 1) AS found;
