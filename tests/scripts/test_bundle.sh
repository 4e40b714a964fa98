#!/usr/bin/env bash
# test_bundle: tools/bundle puts every library beside the programs that needs one, refuses a result that would not start elsewhere or is too
# large, and never clears a folder that isn't a bundle. Building is a stand-in that installs small programs compiled here; what the real
# build gives is checked by check_bundle.sh.
#
# usage: test_bundle.sh SOURCE_FOLDER
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
source_folder=$1
checkout=$work/checkout out=$work/out
export work TMPDIR=$work
for program in cc git; do command -v $program >/dev/null || skip "no $program"; done

mkdir -p "$checkout" "$work"/{bin,parts,elsewhere}
(cd "$source_folder" && cp --parents LICENSE README.md tools/{bundle,gpu-check,gpu-pytorch} tests/oracle/{oracle,notebook_model,oracle_gradients}.py "$checkout")
git -C "$checkout" init --quiet
git -C "$checkout" add .
git -C "$checkout" -c user.name=x -c user.email=x commit --quiet -m x

# A program and a plugin that need nothing but libc; a program and a plugin that need libparts.so, which is elsewhere.
echo 'int part(void) { return 4; }' >"$work/part.c"
echo 'int part(void); int main(void) { return part() - 4; }' >"$work/needs.c"
echo 'int main(void) { return 0; }' >"$work/plain.c"
echo 'int part(void); int open_it(void) { return part(); }' >"$work/plugin.c"
cc -shared -fPIC -o "$work/elsewhere/libparts.so" "$work/part.c"
cc -o "$work/parts/plain" "$work/plain.c"
cc -o "$work/parts/needs" "$work/needs.c" -L"$work/elsewhere" -lparts "-Wl,-rpath,\$ORIGIN/../lib/rstream:$work/elsewhere"
cc -shared -fPIC -o "$work/parts/plain.so" "$work/part.c"
cc -shared -fPIC -o "$work/parts/needs.so" "$work/plugin.c" -L"$work/elsewhere" -lparts "-Wl,-rpath,$work/elsewhere"
# cmake: notes its arguments; PROGRAM and PLUGIN are what an installation brings, FILLER how many bytes beside them.
stand_in "$work/bin/cmake" <<'TEXT'
echo "$*" >>"$work/calls"
case $1 in
-S) exit "${CONFIGURE_CODE:-0}" ;;
--build) exit "${BUILD_CODE:-0}" ;;
--install)
    mkdir -p "$4/bin" "$4/lib/rstream"
    if [ "${6:-}" = --component ]; then
        cp "$work/parts/plain" "$4/bin/cuda_check"
    else
        cp "$work/parts/${PROGRAM:-plain}" "$4/bin/rstream"
        cp "$work/parts/${PLUGIN:-plain.so}" "$4/lib/rstream/librstream-cuda.so"
        truncate -s "${FILLER:-0}" "$4/lib/rstream/filler"
    fi
    ;;
esac
TEXT

bundle() {
    : >"$work/calls"
    env PATH="$work/bin:$PATH" "$@"
}
script=$checkout/tools/bundle

# ---- what it builds and what lies in the folder ----
gives 0 bundle "$script" --out "$out"
build=$checkout/build/bundle
same "-S $checkout -B $build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRS_STATIC_LIBS=ON -DRS_CUDA=ON -DRS_CPU=OFF
--build $build --target rstream rstream-cuda cuda_check step_tool
--install $build --prefix $out --strip
--install $build --prefix $out --strip --component gpu_check" "$(cat "$work/calls")" "calls of cmake"
for file in bin/rstream bin/cuda_check lib/rstream/librstream-cuda.so LICENSE README.md tools/gpu-check tools/gpu-pytorch \
    tests/oracle/{oracle,notebook_model,oracle_gradients}.py; do
    [ -s "$out/$file" ] || fail "no $file"
    says " $file$"
done
[ -x "$out/tools/gpu-check" ] || fail "gpu-check can't be run"
same "$(git -C "$checkout" describe --always)" "$(cat "$out/COMMIT")" COMMIT
says "^bundle: $out, [0-9]+\.[0-9] MiB$"
[ ! -e "$out/lib/rstream/libc.so.6" ] || fail "glibc was put into the bundle"

# ---- a library that a program needs comes along; the program then runs without its first place ----
gives 0 bundle PROGRAM=needs "$script" --out "$out"
cmp -s "$work/elsewhere/libparts.so" "$out/lib/rstream/libparts.so" || fail "libparts.so isn't in the bundle"
mv "$work/elsewhere" "$work/gone"
gives 0 "$out/bin/rstream"

# ---- what can't start elsewhere ----
gives 1 bundle PROGRAM=needs "$script" --out "$out" # libparts.so is nowhere
mv "$work/gone" "$work/elsewhere"
gives 1 bundle PLUGIN=needs.so "$script" --out "$out"
says "^bundle: lib/rstream/librstream-cuda\.so needs libparts\.so from $work/elsewhere/libparts\.so$"
gives 0 bundle PROGRAM=needs PLUGIN=needs.so "$script" --out "$out" # beside the plugin, for the program

# ---- sizes: 40 MiB, but for the CPU backend ----
gives 0 bundle FILLER=$((39 << 20)) "$script" --out "$out"
says "^bundle: $out, 39\.[0-9] MiB$"
gives 1 bundle FILLER=$((40 << 20)) "$script" --out "$out"
says '^bundle: more than 40 MiB$'
gives 0 bundle FILLER=$((40 << 20)) "$script" --with-cpu --out "$out"
says_not 'more than'
grep -q -- '-DRS_CPU=ON$' "$work/calls" || fail "the CPU backend wasn't asked for"

# ---- a folder is made anew, and only a bundle or an empty one ----
touch "$out/lib/rstream/stale"
gives 0 bundle "$script" --out "$out"
[ ! -e "$out/lib/rstream/stale" ] || fail "a file of the bundle before is still there"
mkdir "$work/empty" "$work/pictures"
touch "$work/pictures/cat.png"
gives 0 bundle "$script" --out "$work/empty"
gives 2 bundle "$script" --out "$work/pictures"
says "^bundle: $work/pictures is there and no bundle; name another folder$"
same '' "$(cat "$work/calls")" calls
[ -e "$work/pictures/cat.png" ] || fail "a folder that is no bundle was cleared"
gives 0 bundle "$script"
[ -x "$checkout/build/rstream-bundle/bin/rstream" ] || fail "nothing at the default place"

# ---- failures and usage ----
gives 1 bundle CONFIGURE_CODE=1 "$script" --out "$out"
gives 4 bundle BUILD_CODE=4 "$script" --out "$out"
[ -x "$out/bin/rstream" ] || fail "a failed build cleared the bundle before"
gives 2 bundle "$script" --fast
says "^bundle: no option '--fast': see tools/bundle --help$"
gives 2 bundle "$script" --out
says '^bundle: --out takes a folder$'
same '' "$(cat "$work/calls")" calls
gives 0 bundle "$script" --help
says '^usage: tools/bundle \[--out FOLDER\] \[--with-cpu\]$'
echo "bundle: all as expected"
