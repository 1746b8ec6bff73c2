"""Words for people."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 clip`, `2 clips`; `many` where an s does not make the plural."""
    return f"{count} {one if count == 1 else many or one + 's'}"
