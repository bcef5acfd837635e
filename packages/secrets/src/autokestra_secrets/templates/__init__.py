"""The only place that knows template syntax: `{{ secrets.NAME }}` and its kin, inside otherwise untouched text.

The rooms behind this door, each used by those before it: `resolution` walks values and resolves them, `text` finds
the expressions in a string, `syntax` reads a plain name as one of `paths`; anything else is parsed by Jinja2 and
translated (`translation`) into `nodes` and `operators`, which evaluate themselves with the functions of `filters` over
the plain data of `values`. What has no translation is refused; there are no calls and no generated code. Nothing here
reads files, variables or stores.
"""

from autokestra_secrets.templates.resolution import Reference, check_template, find_references, resolve_templates
from autokestra_secrets.templates.text import ROOTS

__all__ = ["ROOTS", "Reference", "check_template", "find_references", "resolve_templates"]
