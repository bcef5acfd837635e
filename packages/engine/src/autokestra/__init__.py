"""Autokestra: YAML workflows of dependent tasks, run by one command, with secrets that stay secret.

The way in is the command `workflow` (`cli`); for authors of plugins it is `autokestra.plugins`. The rest is no promise
and may change in any version. How secrets are stored, scoped and masked is not here but in `autokestra_secrets`.
"""
