"""A form as it is looked for: its bytes, how they may be broken, and whose it is."""

Owner = tuple[str, str]  # name of a secret, and what the form is to it: "plain", "base64", ...


class Needle:
    """What an index finds. `owners` only ever grows, also while a scan is under way; needles may share it."""

    __slots__ = ("data", "exact", "lead", "owners")

    def __init__(self, data: bytes, *, lead: int = 0, exact: bool = False, owners: list[Owner] | None = None) -> None:
        self.data = data
        self.lead = lead
        self.exact = exact
        self.owners: list[Owner] = [] if owners is None else owners

    def add_owner(self, name: str, kind: str) -> None:
        """Let the secret `name` own this too; it is not counted twice for one of its forms."""
        if all(name != other for other, _ in self.owners):
            self.owners.append((name, kind))
