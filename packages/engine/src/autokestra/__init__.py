"""Autokestra: YAML workflows of dependent tasks, run by one command, with secrets that stay secret."""
