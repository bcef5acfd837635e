"""What a task does: the built-in actions, plugins, and the child processes in which other people's code runs.

`protocol` is the seam to the executor, `registry` and `plugin` know the actions by name, `process`, `spawner`, `keeper`
and `isolation` start, kill and hide children. Nothing here knows rows, retries or stores: inputs arrive resolved, and
what comes out is masked and kept by others.
"""
