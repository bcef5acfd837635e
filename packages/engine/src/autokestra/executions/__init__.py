"""What happened: executions, task runs, attempts and log lines, as rows that outlive the process.

`records` are the words, `plan` decides what comes next (pure), `store` keeps the rows in SQLite or PostgreSQL, with
`taskruns`, `attempts` and `lines` as its parts, and `logs` writes lines in batches. Nothing here runs a task, resolves
a template or knows a secret: what arrives is masked or sealed.
"""
