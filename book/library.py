"""The front door of the library, by subject: the site puts signatures and docstrings there (mkdocstrings)."""

from typing import Final

import autokestra_secrets

OPENING: Final = """# The library, name by name

What `from autokestra_secrets import …` gives: signatures and promises as they stand in the code. For a way in, read
[the library's own page](../../packages/secrets/README.md). [Errors](errors.md) have a page of their own, with what each
of them says.

Names that are not here are no promise, and may change in any version.
"""
SUBJECTS: Final = {
    "The store": ("SecretStore", "SecretMetadata", "Report", "Problem", "KeySlots", "KeySlot", "OutputCipher"),
    "Names and values": ("SecretValue", "SecretName", "secret_name"),
    "Scopes": ("SecretResolver", "SecretScope"),
    "Templates": ("resolve_templates", "find_references", "check_template", "Reference"),
    "Masking": (
        "SecretMasker",
        "StreamMasker",
        "install_log_masking",
        "masked_stdio",
        "maskability",
        "placeholder_from",
    ),
    "Keys": ("MasterKeyProvider", "MasterKey", "KeyDescription", "home_directory", "make_home"),
    "Encryption": ("SecretEncryption", "Sealed", "derive_key"),
}
BESIDE: Final = {
    "Masking in structlog": "autokestra_secrets.masking.structlog",
    "Masking in pytest": "autokestra_secrets.masking.pytest_plugin",
    "For your tests": "autokestra_secrets.testing",
}
WITHOUT_HEADING: Final = "    options: {show_root_heading: false, show_root_toc_entry: false}\n"


def page() -> str:
    """Return the page."""
    listed = {name for names in SUBJECTS.values() for name in names}
    others = [name for name in autokestra_secrets.__all__ if name not in listed and not name.endswith("Error")]
    parts = [OPENING]
    for title, names in [*SUBJECTS.items(), ("More", tuple(others))]:
        if names:
            parts.append(f"\n## {title}\n")
            parts += [f"\n::: autokestra_secrets.{name}\n" for name in names]
    for title, module in BESIDE.items():
        parts.append(f"\n## {title}\n\n::: {module}\n{WITHOUT_HEADING}")
    return "".join(parts)
