#!/usr/bin/env bash
# test_gpu_check: tools/gpu-check without a GPU says why and ends with 3; with programs that stand for those on a GPU, its verdicts, its report
# and its exit codes are right.
#
# usage: test_gpu_check.sh TOOLS_FOLDER BUILD_FOLDER
set -euo pipefail

check=$1/gpu-check build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $1" >&2
    cat "$work/output" >&2
    exit 1
}

# gives CODE COMMAND...: the command ends with this code; its output in $work/output.
gives() {
    local expected=$1 code=0
    shift
    "$@" >"$work/output" 2>&1 || code=$?
    [ $code -eq "$expected" ] || fail "exit code $code, not $expected: $*"
}

says() { grep -qE "$1" "$work/output" || fail "no '$1'"; }

# ---- the real programs ----
if [ -x "$build/tests/cuda/cuda_check" ]; then
    if "$build/rstream" devices | grep '^cuda' | grep -qv "can't be used"; then
        echo "a GPU is here: its absence isn't tested"
    else
        reason=$("$build/rstream" devices | sed -n "s/^cuda[^ ]*  *can't be used: //p" | cut -c 1-60)
        gives 3 "$check" --build "$build" --out "$work/none"
        says "no GPU can be used: $reason"
        [ ! -e "$work/none" ] || fail "a report was written without a GPU"
    fi
fi
gives 2 "$check" nonsense
says "there is no step 'nonsense'"
gives 1 "$check" --build "$work/nothing"
says "there is no .*rstream: build it"

# ---- programs that stand for them ----
fake=$work/fake
mkdir -p "$fake/tests/cuda" "$fake/tests/kernels"
cat >"$fake/rstream" <<'TEXT'
#!/usr/bin/env bash
case $1 in
devices) printf 'cuda  NVIDIA Test 1000, cuda:0, sm_90\n      library none\nref   any CPU\n' ;;
--version) echo "rstream 9.9" ;;
synth) mkdir "$2" ;;
bench) printf 'Step alone: 1.0 ms\nEnd to end: 2.5 ms mean of 100 steps, of that 0.25 ms waiting for data, 25600.0 img/s\n' ;;
train) while [ $# -gt 0 ]; do if [ "$1" = --trace ]; then echo "[]" >"$2"; fi; shift; done ;;
esac
TEXT
cat >"$fake/tests/cuda/cuda_check" <<'TEXT'
#!/usr/bin/env bash
echo "step, bf16, batch 512          100000 img/s, 5.1 ms a step, uploads included"
echo "a comparison     ok"
if [ "$1" = "${BROKEN:-}" ]; then
    echo "another comparison    FAILED: far away"
    exit 1
fi
TEXT
printf '#!/usr/bin/env bash\nexit 0\n' >"$fake/tests/kernels/step_tool"
chmod +x "$fake/rstream" "$fake/tests/cuda/cuda_check" "$fake/tests/kernels/step_tool"
# A Python without PyTorch: those steps are skipped, and the others count.
export PYTHON=false
gives 0 "$check" --build "$fake" --out "$work/good" operators pytorch-step bits speed end-to-end pytorch layers trace
says '^\| operators +\| ok +\|.*1 comparisons'
says '^\| pytorch-step +\| skipped \|.*false lacks torch'
says '^\| pytorch +\| skipped \|.*false lacks torch'
says '^\| speed +\| ok +\|.*100000 img/s'
says '^\| end-to-end +\| ok +\|.*25600 img/s \(0.25 ms wait\); 25600'
says ' 0 failed; '
report=$(echo "$work"/good/nvidia-test-1000-*.md)
grep -q '^## bits$' "$report" || fail "the report has no section bits"
gzip -dc "${report%.md}-trace.json.gz" | grep -q '^\[\]$' || fail "the trace isn't beside the report"
BROKEN=bits gives 1 "$check" --build "$fake" --out "$work/bad" bits stream
says '^\| bits +\| FAILED +\|.*another comparison FAILED: far away'
says '^\| stream +\| ok '
says ' 1 failed; '
echo "gpu-check: all as expected"
