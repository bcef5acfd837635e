-- What only SQLite understands, or does faster in a way of its own. The rest is in common/.

-- name: insert_log_line*!
-- Numbered parameters: binding a hundred thousand lines a second by name would take a third of the time.
INSERT INTO log_line (execution_id, task_id, attempt, sequence, time, stream, level, message)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);
