"""Reading a secret loads what it needs and nothing more: start-up is a feature."""

import subprocess
import sys

from autokestra_secrets import SecretStore

READ = """
import sys
from autokestra_secrets import SecretStore
with SecretStore.open() as store:
    value = store.get("A").reveal()
print(value, *sorted(name for name in sys.modules if "." not in name))
"""

NEEDLESS = {
    *("jinja2", "hyperscan", "pydantic", "rich", "aiosql", "click"),  # other rooms' and other programs' libraries
    *("asyncio", "dataclasses", "decimal", "email", "inspect", "json", "logging", "pathlib", "random"),
    *("secrets", "shlex", "socket", "ssl", "subprocess", "tempfile", "urllib", "uuid"),
}


def test_get_loads_no_library_that_it_does_not_need(environ):
    with SecretStore.open(environ=environ) as store:
        store.set("A", "value")
    done = subprocess.run(
        [sys.executable, "-S", "-c", READ],
        env={**environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    value, *modules = done.stdout.split()
    assert "value" == value
    assert set() == NEEDLESS & set(modules)
