#!/usr/bin/env bash
# test_check_style: tools/check-style finds a file that is laid out differently, a script that shellcheck refuses and a unit that clang-tidy
# refuses, in a checkout that is made here; it reads what git knows or would add, and changes nothing.
#
# usage: test_check_style.sh SOURCE_FOLDER
# shellcheck disable=SC2016 # scripts are written here, their variables are theirs
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
source_folder=$1
checkout=$work/checkout

for program in git clang-format shellcheck; do
    command -v $program >/dev/null || skip "no $program; tools/install-deps --dev installs it"
done

mkdir -p "$checkout"/{tools,tests,build/release} "$work/bin"
cp "$source_folder/tools/check-style" "$checkout/tools"
cp "$source_folder"/.clang-{format,tidy} "$checkout"
printf 'int one(void);\nint one(void)\n{\n    return 1;\n}\n' >"$checkout/good.c"
printf '#!/usr/bin/env bash\necho "$1"\n' >"$checkout/tests/good.sh"
printf '/build/\n' >"$checkout/.gitignore"
git -C "$checkout" init --quiet
git -C "$checkout" add .

check_style() { "$checkout/tools/check-style" "$@"; }

gives 0 check_style --format-only
says '^check-style: clang-format, 1 files$'
says '^check-style: shellcheck, 2 files$'
says '^check-style: clean$'

# ---- layout ----
printf 'int  two( void ) { return 2;}\n' >"$checkout/broken.h" # not added yet
printf 'int  three( void ) { return 3;}\n' >"$checkout/build/ignored.c"
before=$(cat "$checkout/broken.h")
gives 1 check_style --format-only
says '^check-style: clang-format, 2 files$'
says '^broken\.h:1:[0-9]+: error'
says "^check-style: 1 files are laid out differently; 'clang-format -i FILE' mends one$"
says '^check-style: not clean$'
says_not 'good\.c|ignored\.c'
same "$before" "$(cat "$checkout/broken.h")" "the file after the check"
clang-format -i "$checkout/broken.h"
gives 0 check_style --format-only
git -C "$checkout" add broken.h
rm "$checkout/broken.h" # known to git, not on the disk
gives 0 check_style --format-only
says '^check-style: clang-format, 1 files$'

# ---- scripts: by their first line, whatever their names ----
printf '#!/usr/bin/env bash\necho $1\n' >"$checkout/tools/no-suffix"
gives 1 check_style --format-only
says 'In tools/no-suffix line 2'
says '^check-style: not clean$'
printf '# shellcheck shell=sh\necho $1\n' >"$checkout/tools/no-suffix"
gives 1 check_style --format-only
says 'In tools/no-suffix line 2'
rm "$checkout/tools/no-suffix"

# ---- clang-tidy: the units of the compile database ----
if command -v clang-tidy >/dev/null; then
    stand_in "$work/bin/cmake" <<<'exit 0'
    printf 'int one(void);\nint one(void)\n{\n    int x = 1;\n    if (x = 2)\n        return 1;\n    return 0;\n}\n' >"$checkout/good.c"
    cat >"$checkout/build/release/compile_commands.json" <<TEXT
[{"directory": "$checkout", "command": "cc -c good.c", "file": "$checkout/good.c"},
 {"directory": "$checkout", "command": "nvcc -c other.cu", "file": "$checkout/other.cu"}]
TEXT
    gives 0 check_style --format-only
    PATH=$work/bin:$PATH gives 1 check_style
    says '^check-style: clang-tidy, 1 files$'
    says 'good\.c:5:'
    says '^check-style: not clean$'
    printf 'int one(void);\nint one(void)\n{\n    return 1;\n}\n' >"$checkout/good.c"
    PATH=$work/bin:$PATH gives 0 check_style
    says '^check-style: clean$'
fi

gives 2 check_style --fast
says '^usage: tools/check-style \[--format-only\]$'
echo "check-style: all as expected"
