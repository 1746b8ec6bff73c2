"""The one exception that is shown to a user without a traceback, and the words its sentences are made with."""


class FommError(Exception):
    """Something a user can understand and act on.

    what   one sentence: what is wrong, naming the file, key or value
    hint   one sentence: what to do about it (may be empty)
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what if not hint else f"{what}\n{hint}")
        self.what = what
        self.hint = hint


def nearest(word: str, known: "list[str]") -> str:
    """The sentence that ends an unknown-name error: the closest known name, or all of them."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 clip`, `2 clips`; `many` where an s does not make the plural."""
    return f"{count} {one if count == 1 else many or one + 's'}"
