"""The one exception that is shown to a user without a traceback, and the words its sentences are made with."""


class FommError(Exception):
    """Something a user can understand and act on.

    what   one sentence: what is wrong, naming the file, key or value
    hint   one sentence: what to do about it (may be empty)
    """

    def __init__(self, what: str, hint: str = "") -> None:
        what, hint = printable(what), printable(hint)
        super().__init__(what if not hint else f"{what}\n{hint}")
        self.what = what
        self.hint = hint


class UsageError(FommError):
    """The command line itself is wrong (exit 2), whatever the files hold."""


def printable(text: str) -> str:
    """Text that comes from a file or a name, safe for a terminal: control characters as escapes, \\x1b for one.

    Line ends and tabs stay; so does all that is written from right to left, but not the marks that turn a line around.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" or char == "\u3000" else char.encode("unicode_escape").decode()
        for char in text
    )


def nearest(word: str, known: "list[str]") -> str:
    """The sentence that ends an unknown-name error: the closest known name, or all of them."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    more = f" and {len(known) - 40} more" if len(known) > 40 else ""
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known[:40])}{more}."


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 clip`, `2 clips`; `many` where an s does not make the plural."""
    return f"{count} {one if count == 1 else many or one + 's'}"
