#!/usr/bin/env python3
"""Is each of the 75 items of the list of attacks on the way out tested by its number? A test names its items where it says what it shows: "item 7: …",
"items 10, 11: …", "items 12-19: …" in scripts and tables of scripts, item_7_… and items_1_2_10_to_16_… as names of functions; comments do not
count. items.py [--table] TESTS-FOLDER"""
import os, re, sys

ITEMS = 75
NO_TEST = {}  # item: the reason why it cannot be reached on this design; an item that is here and tested is a fault, too
SCRIPT = re.compile(r"""(?:["']|\s)[Ii]tems? (\d+(?:(?:, | and |-| to )\d+)*)[:,]""")
FUNCTION = re.compile(r"^static void items?((?:_(?:\d+|to|and))+)_\w*\(", re.M)
ROW = re.compile(r"^\t\t?\{(\d\d), \"", re.M)  # of the scanner's table of disguises


def numbers(text):
    found, last, ranged = set(), None, False
    for word in re.findall(r"\d+|to|-", text):
        if not word.isdigit():
            ranged = True
            continue
        number = int(word)
        found |= set(range(last, number + 1)) if ranged else {number}
        last, ranged = number, False
    return found


def items_of(path):
    text = open(path, encoding="utf-8", errors="replace").read()
    found = set()
    if path.endswith(".c"):
        rows = {int(row) for row in ROW.findall(text)}
        for match in FUNCTION.findall(text):
            named = numbers(match.replace("_", " "))
            if rows and "to" in match:  # a table's rows say which they are: what the name promises must be there
                named &= rows
            found |= named
        text = "\n".join(re.findall(r"\{\"item \d+: .*", text))
    else:
        text = "\n".join(re.sub(r"(^|\s)# .*", "", line) for line in text.split("\n") if not line.lstrip().startswith('"""'))
    for match in SCRIPT.findall(text):
        found |= numbers(match)
    return found


def main():
    where = {item: set() for item in range(1, ITEMS + 1)}
    for folder, _, names in os.walk(sys.argv[-1]):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith((".c", ".py", ".t")) and name != "items.py":
                for item in items_of(path) & set(where):
                    where[item].add(os.path.relpath(path, sys.argv[-1]))
    if "--table" in sys.argv:
        for item, paths in where.items():
            print(f"{item:3} {', '.join(sorted(paths)) or NO_TEST.get(item, '-')}")
    missing = [item for item, paths in where.items() if not paths and item not in NO_TEST]
    stale = [item for item in NO_TEST if where[item]]
    tested = sum(1 for paths in where.values() if paths)
    for item in missing:
        print(f"# item {item}: no test names it")
    for item in stale:
        print(f"# item {item}: is said to be out of reach, and is tested")
    print(f"{'not ok' if missing or stale else 'ok'} 1 - {tested} of {ITEMS} attack items are tested by number, {len(NO_TEST)} are out of reach with a reason\n1..1")
    return bool(missing or stale)


sys.exit(main())
