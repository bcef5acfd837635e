-- Version 4: what an execution goes on with is what it began with.

-- Proves workflow, place and inputs to whoever has the key, sealed like an output; NULL where there was none at the start.
ALTER TABLE execution ADD COLUMN workflow_seal BYTEA;
