#!/usr/bin/env bash
# check_bundle: a folder that tools/bundle made works where nothing is installed: its programs start without PATH, need nothing but glibc and
# the compiler's runtime, and compute.
#
# usage: check_bundle.sh FOLDER
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
folder=$(realpath "$1")

# Moved: what a program finds beside itself must not depend on where the bundle was made.
cp -r "$folder" "$work/moved"
moved=$work/moved
bare() { env -i "$@"; }

gives 0 bare "$moved/bin/rstream" --version
same "rstream $(sed -n 's/^project(rstream VERSION \([0-9.]*\).*/\1/p' "$(dirname "$0")/../../CMakeLists.txt")" "$(cat "$work/output")" version
gives 0 bare "$moved/bin/rstream" devices
says '^cuda'
says_not 'no plugin|librstream-cuda\.so'
says '^ref .*'
for file in "$moved"/bin/* "$moved"/lib/rstream/*; do
    ldd "$file" >"$work/output"
    says 'libc\.so\.6'
    says_not 'not found|libuv|libpng|libjpeg|libz\.'
done
bytes=$(du -sb "$moved" | cut -f 1)
[ "$bytes" -le $((52 << 20)) ] || fail "$bytes bytes are more than 52 MiB"
if [ "$bytes" -gt $((40 << 20)) ]; then
    bare "$moved/bin/rstream" devices | grep -q 'oneDNN' || fail "more than 40 MiB without the CPU backend"
fi
gives 0 bare "$moved/bin/rstream" synth "$work/data" --train 10 --test 10
gives 0 bare "$moved/bin/rstream" train --data "$work/data" --out "$work/run" --device ref --image-size 75 --batch-size 2 --max-steps 1
says '^Epoch 0\. Train Loss: '
gives 2 bare "$moved/bin/step_tool"
says '^usage: step_tool '
gives 0 env PATH="$PATH" "$moved/tools/gpu-check" --help
echo "check_bundle: all as expected"
