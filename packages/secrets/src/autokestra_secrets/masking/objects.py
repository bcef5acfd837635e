"""Masked copies of JSON-like values. Iterative, so that no depth is too deep."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autokestra_secrets.masking.masker import SecretMasker


def mask_object(obj: object, masker: "SecretMasker") -> object:
    """Return `obj` with every string and bytes in it masked."""
    if isinstance(obj, str):
        return masker.mask(obj)
    if isinstance(obj, bytes):
        return masker.mask(obj)
    if isinstance(obj, dict):
        return {mask_object(key, masker): mask_object(value, masker) for key, value in obj.items()}
    if isinstance(obj, list):
        return [mask_object(item, masker) for item in obj]
    if isinstance(obj, tuple):
        return tuple(mask_object(item, masker) for item in obj)
    return obj
