# shellcheck shell=bash
# support.sh: what the tests of scripts share; sourced. A temporary folder, $work, that goes with the test; commands with an expected exit
# code; programs that stand for real ones.
work=$(mktemp -d "${TMPDIR:-/tmp}/rstream-scripts.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $1" >&2
    if [ -f "$work/output" ]; then cat "$work/output" >&2; fi
    exit 1
}

skip() {
    echo "skipped: $1"
    exit 77
}

# gives CODE COMMAND...: the command ends with this code; its output in $work/output.
gives() {
    local expected=$1 code=0
    shift
    "$@" >"$work/output" 2>&1 || code=$?
    [ $code -eq "$expected" ] || fail "exit code $code, not $expected: $*"
}

# says REGEX: a line of the last command's output matches; says_not: none does.
says() { grep -qE -- "$1" "$work/output" || fail "no '$1'"; }
says_not() { if grep -qE -- "$1" "$work/output"; then fail "there is '$1'"; fi; }

# stand_in FILE: makes the standard input a program of that name, for the bash that is here.
stand_in() {
    { echo "#!$(command -v bash)" && cat; } >"$1"
    chmod +x "$1"
}

# same EXPECTED GOT WHAT
same() { [ "$1" = "$2" ] || fail "$3: expected '$1', got '$2'"; }
