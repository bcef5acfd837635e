"""What happened: executions, task runs, attempts and log lines, as rows that outlive the process.

`records` are the words, `plan` decides what comes next (pure), `store` keeps the rows in SQLite, `logs` writes
lines in batches. Nothing here runs a task, resolves a template or knows a secret: what arrives is masked or sealed.
"""
