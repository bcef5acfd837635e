"""The command `workflow`: from what is typed to what is shown, and an exit code.

`main` has the groups, whose commands have a file each and are imported when they run; `console` is the only way to the
terminal, `codes` the table of exit codes. Nothing here decides what runs, and nothing builds the objects it uses: `app`
and `cluster` do.
"""
