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

-- name: select_now()^
-- The time that leases compare: of the server, since machines do not agree.
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now;
