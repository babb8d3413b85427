#!/bin/bash
# The image's packages are what the binary wants: each library that it is linked with or opens by name comes with a package of
# deploy/Containerfile, and no library is brought that it does not want. usage: image.sh ASSAY ROOT
set -u
export LC_ALL=C
command -v dpkg-query >/dev/null || { echo 'no dpkg here: skipped'; exit 77; }
# shellcheck source=/dev/null
[ "$(. /etc/os-release; echo "${VERSION_CODENAME:-}")" = bookworm ] || { echo 'not Debian 12, whose packages have these names: skipped'; exit 77; }

linked=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
opened=$(sed -n 's/^#define LIBRARY "\([^/]*\)"$/\1/p' "$2"/src/*/*.c)
if [ -z "$linked" ] || [ -z "$opened" ]; then echo 'the binary or its sources say of no library'; exit 1; fi

# The C library is in every base, and what a sanitizer needs in none.
wanted=$(for library in $linked $opened; do
	package=$(dpkg-query -S "*-linux-gnu*/$library" 2>/dev/null | sed -n 's/^\([^:,]*\):.*/\1/p' | sed q)
	echo "${package:-no-package-has-$library}"
done | grep -Evx 'libc6(-.*)?|libgcc-s1|lib(asan|tsan|ubsan)[0-9]+' | sort -u)
brought=$(sed -n '/^FROM \${BASE}$/,$p' "$2/deploy/Containerfile" | sed -n '/apt-get install/,/rm -rf/p' | grep -oE '[a-z0-9.+-]+' | grep -E '^(lib[a-z]|zlib)' | sort -u)
if ! difference=$(diff <(echo "$wanted") <(echo "$brought")); then
	echo "deploy/Containerfile brings other packages (>) than the binary wants (<):"
	echo "$difference"
	exit 1
fi
