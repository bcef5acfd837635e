-- Version 2: an execution may be a part of a task of another one.

-- Which task began it; both NULL where a person did. Another attempt of the task finds by it what was begun.
ALTER TABLE execution ADD COLUMN caller_execution TEXT COLLATE "C";
ALTER TABLE execution ADD COLUMN caller_task TEXT COLLATE "C";
CREATE INDEX execution_by_caller ON execution (caller_execution, caller_task) WHERE caller_execution IS NOT NULL;
