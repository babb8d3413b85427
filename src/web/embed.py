"""Turns the files of web/ into one C file: python3 embed.py OUTPUT ROOT FILE…"""

import hashlib
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def array(name, data):
    rows = (", ".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32))
    return f"static const unsigned char {name}[] = {{\n\t" + ",\n\t".join(rows) + ",\n};\n"


def main(output, root, files):
    parts, table = ['#include "web/web_priv.h"\n'], []
    for number, file in enumerate(sorted(files)):
        path = pathlib.Path(file).resolve()
        data = path.read_bytes()
        name = f"page_{number}"
        parts.append(array(name, data))
        address = "/" + path.relative_to(pathlib.Path(root).resolve()).as_posix()
        table.append(f'\t{{"{address}", "{TYPES[path.suffix]}", "\\"{hashlib.sha256(data).hexdigest()[:24]}\\"", {name}, {len(data)}}},\n')
    parts.append("const struct page pages[] = {\n" + "".join(table) + "};\n")
    parts.append(f"const size_t page_count = {len(table)};\n")
    pathlib.Path(output).write_text("\n".join(parts))


main(sys.argv[1], sys.argv[2], sys.argv[3:])
