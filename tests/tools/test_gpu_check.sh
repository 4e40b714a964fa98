#!/usr/bin/env bash
# test_gpu_check: tools/gpu-check without a GPU says why and ends with 3; with programs that stand for those on a GPU, its verdicts, its report
# and its exit codes are right.
#
# usage: test_gpu_check.sh TOOLS_FOLDER BUILD_FOLDER
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/../scripts/support.sh"
check=$1/gpu-check build=$2

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
devices)
    if [ -n "${NO_CUDNN:-}" ] && [ "${RSTREAM_CUDNN:-}" != "$NO_CUDNN" ]; then
        printf "cuda  can't be used: cuDNN 9 was not found: install it\nref   any CPU\n"
    else
        printf 'cuda  NVIDIA Test 1000, cuda:0, sm_90\n      library none\nref   any CPU\n'
    fi
    ;;
--version)
    echo "rstream 9.9"
    exit "${BROKEN_START:-0}"
    ;;
synth) mkdir "$2" ;;
bench) # as fast at each batch size as that has images
    while [ "$1" != --batch-size ]; do shift; done
    echo "Step alone: 1.0 ms"
    echo "End to end: 2.5 ms mean of 100 steps, of that 0.25 ms (10.0%) waiting for data, $(($2 * 200)).0 img/s"
    echo "End to end runs at 98.7% of the step alone's rate"
    ;;
train)
    while [ $# -gt 0 ]; do
        if [ "$1" = --trace ]; then echo "[]" >"$2"; fi
        if [ "$1" = --out ]; then out=$2; fi
        shift
    done
    mkdir -p "$out"
    for epoch in 0 1; do
        echo "{\"event\":\"step\",\"epoch\":$epoch,\"step\":9,\"seconds\":0.001000}"
        echo "{\"event\":\"epoch\",\"epoch\":$epoch,\"step\":9,\"seconds\":$((6 - epoch)).125000,\"train_seconds\":4.500000,\"stages\":{}}"
    done >"$out/metrics.jsonl"
    ;;
esac
TEXT
cat >"$fake/tests/cuda/cuda_check" <<'TEXT'
#!/usr/bin/env bash
echo "step, bf16, batch 512          ${SPEED:-100000} img/s, 5.1 ms a step, uploads included"
seq -f 'row %g' 300
echo "a comparison     ok"
if [ "$1" = "${BROKEN:-}" ]; then
    echo "another comparison    FAILED: far away"
    exit 1
fi
TEXT
printf '#!/usr/bin/env bash\nexit 0\n' >"$fake/tests/kernels/step_tool"
chmod +x "$fake/rstream" "$fake/tests/cuda/cuda_check" "$fake/tests/kernels/step_tool"
# target WHAT MEASURED STATE: a row of the report's last table
target() { grep -qE "^\| $1 +\|.*\| $2 +\| $3 +\|\$" "$report" || fail "no target $1, $2, $3 in $(sed -n '/^## targets/,$p' "$report")"; }

# A Python without PyTorch: those steps are skipped, and the others count.
export PYTHON=false
unset RSTREAM_CUDNN
gives 0 "$check" --build "$fake" --out "$work/good" operators pytorch-step bits speed end-to-end epoch pytorch layers trace
says '^\| operators +\| ok +\|.*1 comparisons'
says '^\| pytorch-step +\| skipped \|.*false lacks torch'
says '^\| pytorch +\| skipped \|.*false lacks torch'
says '^\| speed +\| ok +\|.*100000 img/s'
says '^\| end-to-end +\| ok +\|.*batch 64: 12800 img/s \(0.25 ms wait\); batch 512: 102400 img/s .*; batch 1024: 204800'
says '^\| epoch +\| ok +\|.*second epoch 5.12 s, 4.50 s of it training; first 6.12 s'
says 'steps: 9, of these 7 ok, 2 skipped, 0 failed; '
report=$(echo "$work"/good/nvidia-test-1000-*.md)
grep -q '^## bits$' "$report" || fail "the report has no section bits"
grep -q '^steps: 9, of these 7 ok, 2 skipped, 0 failed; ' "$report" || fail "the report has no total"
[ "$(sed -n '/^## layers/,/^## /p' "$report" | grep -c '^row ')" -eq 199 ] || fail "the report doesn't have a log's last 200 lines"
if grep -q "$work" "$report"; then fail "the report has names of folders"; fi
gzip -dc "${report%.md}-trace.json.gz" | grep -q '^\[\]$' || fail "the trace isn't beside the report"
target 'step alone, bf16, batch 512' '100000 img/s' reached
target "step alone over PyTorch's best, batch 512" - 'not measured'
target 'end to end over the step alone, batch 512' '98.7 %' reached
target 'a step waits for data, batch 512' '5.00 %' short
target 'second epoch of 50,000 images, batch 64' '5.12 s' short
grep -A 20 '^## targets' "$report" | tail -n 1 | grep -q '^| second epoch' || fail "the targets aren't the report's end"
gives 0 "$check" --build "$fake" --out "$work/some" bits
report=$(echo "$work"/some/nvidia-test-1000-*.md)
target 'step alone, bf16, batch 512' - 'not measured'
target 'end to end over the step alone, batch 512' - 'not measured'

# A Python that has everything, and is PyTorch's step.
python=$work/python
cat >"$python" <<'TEXT'
#!/usr/bin/env bash
case "$*" in
*nvidia.cudnn*) printf '%s\n' "${CUDNN_FOLDERS:?}" ;;
*gpu-pytorch*) printf 'PyTorch bf16, batch 512: %s img/s, 1 ms a step\n' 90000 99000 80000 ;;
esac
TEXT
chmod +x "$python"
export PYTHON=$python
SPEED=128000 gives 0 "$check" --build "$fake" --out "$work/fast" speed end-to-end pytorch
report=$(echo "$work"/fast/nvidia-test-1000-*.md)
says '^\| pytorch +\| ok +\|.*batch 512: 99000 img/s, rstream 1.29 times that'
target "step alone over PyTorch's best, batch 512" 1.29 short
target 'end to end over the step alone, batch 512' '80.0 %' short # of the faster step

# ---- cuDNN in PyTorch's packages, where the loader doesn't look ----
mkdir -p "$work/empty" "$work/cudnn/lib"
touch "$work/cudnn/lib/libcudnn.so.9"
export NO_CUDNN=$work/cudnn/lib/libcudnn.so.9
export CUDNN_FOLDERS=$work/empty$'\n'$work/cudnn
gives 0 "$check" --build "$fake" --out "$work/borrowed" bits
says "^gpu-check: the loader finds no cuDNN: taking PyTorch's, RSTREAM_CUDNN=$NO_CUDNN\$"
CUDNN_FOLDERS=$work/empty gives 3 "$check" --build "$fake" --out "$work/none" bits
says 'no GPU can be used: cuDNN 9 was not found'
RSTREAM_CUDNN=$work/empty gives 3 "$check" --build "$fake" --out "$work/none" bits # its own word counts
PYTHON=false gives 3 "$check" --build "$fake" --out "$work/none" bits
unset NO_CUDNN
export PYTHON=false

BROKEN=bits gives 1 "$check" --build "$fake" --out "$work/bad" bits stream
says '^\| bits +\| FAILED +\|.*another comparison FAILED: far away'
says '^\| stream +\| ok '
says 'steps: 2, of these 1 ok, 0 skipped, 1 failed; '
BROKEN_START=127 gives 1 "$check" --build "$fake" --out "$work/none" bits
says "$fake/rstream doesn't start"

# ---- hazards count where rstream's kernels are named ----
mkdir -p "$work/sanitizer"
cat >"$work/sanitizer/compute-sanitizer" <<'TEXT'
#!/usr/bin/env bash
for kernel in $HAZARDS; do
    printf '========= Error: Race reported between Write access at %s+0x10\n=========     and Read access at %s+0x20 [64 hazards]\n' $kernel $kernel
done
echo '0 failed'
echo "========= $(tr '[:lower:]' '[:upper:]' <<<"$2") SUMMARY: $(wc -w <<<"$HAZARDS") hazards displayed"
[ -z "$HAZARDS" ] || exit 9
TEXT
chmod +x "$work/sanitizer/compute-sanitizer"
with_sanitizer() { PATH=$work/sanitizer:$PATH gives "$1" "$check" --build "$fake" --out "$work/hazards" "$2"; }
HAZARDS='' with_sanitizer 0 racecheck
says '^\| racecheck +\| ok +\|.*0 hazards displayed'
HAZARDS='xmma_kernel__5x_cudnn' with_sanitizer 0 racecheck
says "^\| racecheck +\| ok +\|.*none in rstream's kernels; within cuDNN's: RACECHECK SUMMARY: 1 hazards"
HAZARDS='xmma_kernel__5x_cudnn apply_kernel' with_sanitizer 1 racecheck
says '^\| racecheck +\| FAILED +\|.*2 hazards displayed'
HAZARDS='xmma_kernel__5x_cudnn' with_sanitizer 1 memcheck
says '^\| memcheck +\| FAILED '
gives 2 "$check" --seconds 0 bits

# ---- a checkout without a build: one is made where nvidia-smi shows a GPU ----
checkout=$work/checkout
mkdir -p "$checkout/tools" "$work/bin"
cp "$check" "$checkout/tools"
cat >"$work/bin/nvidia-smi" <<'TEXT'
#!/usr/bin/env bash
exit "${NO_GPU:-0}"
TEXT
cat >"$work/bin/cmake" <<'TEXT'
#!/usr/bin/env bash
# Configures and builds by copying; $CMAKE_FAILS breaks that.
if [ -n "${CMAKE_FAILS:-}" ]; then
    printf 'CMake Error at CMakeLists.txt:1 (message):\n  no CUDA compiler\n'
    exit 1
fi
if [ "$1" = --build ]; then cp -r "$FAKE/." "$2" && touch "$2/librstream-cuda.so"; else mkdir -p "$4"; fi
TEXT
chmod +x "$work/bin/nvidia-smi" "$work/bin/cmake"
export FAKE=$fake PATH=$work/bin:$PATH
NO_GPU=1 gives 3 "$checkout/tools/gpu-check" --out "$work/none" bits
says 'no GPU can be used: nvidia-smi lists none'
CMAKE_FAILS=1 gives 1 "$checkout/tools/gpu-check" --out "$work/none" bits
says '^  no CUDA compiler$'
says 'the build failed; tools/install-deps'
[ ! -e "$work/none" ] || fail "a report was written without a check"
gives 0 "$checkout/tools/gpu-check" --out "$work/built" bits
says 'building in build/gpu-check'
says '^\| bits +\| ok '
echo "gpu-check: all as expected"
