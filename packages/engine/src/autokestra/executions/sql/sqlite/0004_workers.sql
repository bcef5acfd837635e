-- Version 4: attempts run by workers of other processes.

-- When somebody asked one attempt to stop; its worker sees it with its heartbeat. Cancels of executions are rows of
-- their own.
ALTER TABLE attempt ADD COLUMN stop_requested INTEGER;
-- What its worker has to say of secrets, as JSON: `used` (name -> source) and `masked` (name -> form -> count). NULL
-- where worker and coordinator are one process.
ALTER TABLE attempt ADD COLUMN account TEXT;
