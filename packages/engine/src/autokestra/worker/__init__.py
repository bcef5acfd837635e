"""Where an attempt runs: the envelope is opened, secrets are resolved, the action runs, the output is kept.

`executor` is the whole way of one attempt, `pools` say where it runs, `tasklog` is the only way of a task's words
to a sink, `outputs` keeps results. Nothing here decides what runs next.
"""
