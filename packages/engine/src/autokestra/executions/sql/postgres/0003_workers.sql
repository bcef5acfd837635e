-- Version 3: attempts run by workers of other machines.

-- When somebody asked one attempt to stop; its worker sees it with its heartbeat. Cancels of executions are rows of
-- their own.
ALTER TABLE attempt ADD COLUMN stop_requested BIGINT;
-- What its worker has to say of secrets, as JSON: `used` (name -> source) and `masked` (name -> form -> count). NULL
-- where worker and coordinator are one process.
ALTER TABLE attempt ADD COLUMN account TEXT;
-- By which a coordinator knows that its workers look at the same rows as it does, whatever each of them calls the server.
ALTER TABLE state_version ADD COLUMN identity TEXT NOT NULL DEFAULT CAST(gen_random_uuid() AS TEXT);
