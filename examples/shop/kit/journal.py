"""One line per thing worth knowing, on standard output, as fields."""
import sys


def log(level, msg, **fields):
    pairs = " ".join(f"{key}={_quote(value)}" for key, value in fields.items())
    sys.stdout.write(f"level={level} msg={_quote(msg)} {pairs}".rstrip() + "\n")
    sys.stdout.flush()


def _quote(value):
    text = str(value)
    if text and all(c.isalnum() or c in "-_./:%?&=" for c in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', "'").replace("\n", " ") + '"'
