#!/usr/bin/env bash
# test_prove_minimal_root: tools/prove-minimal-root refuses what can't prove anything, keeps what debootstrap made, runs the two commands
# inside with the host's proxies and nothing else, and fails where one of them does. debootstrap, chroot and mount are stand-ins.
#
# usage: test_prove_minimal_root.sh SOURCE_FOLDER
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
source_folder=$1
checkout=$work/checkout cache=$work/cache/rstream

command -v git >/dev/null || skip "no git, which tools/prove-minimal-root clones with"
mkdir -p "$checkout/tools" "$work/bin"
cp "$source_folder/tools/prove-minimal-root" "$checkout/tools"
stand_in "$work/bin/id" <<'TEXT'
echo "${USER_ID:-0}"
TEXT
stand_in "$work/bin/debootstrap" <<'TEXT'
echo "debootstrap $*" >>"$work/calls"
if [ -n "${DEBOOTSTRAP_FAILS:-}" ]; then
    seq -f 'line %g' 9
    exit 1
fi
mkdir -p "$3/etc/apt/apt.conf.d" "$3/proc" "$3/root"
echo 12.99 >"$3/etc/debian_version"
TEXT
stand_in "$work/bin/mount" <<<'exit 0'
# chroot FOLDER env -i NAME=VALUE... COMMAND...
stand_in "$work/bin/chroot" <<'TEXT'
[ "$2 $3" = "env -i" ] || exit 99
shift 3
while [[ $1 == *=* ]]; do
    variables+=" $1"
    shift
done
echo "$*" >>"$work/calls"
case "$*" in
dpkg-query*) seq "${PACKAGES:-3}" ;;
*quickstart*)
    echo "$variables" >"$work/variables"
    printf 'quickstart: data: some\ndata     folder\ndevice   cpu\nnoise\nEpoch 0. Train Loss: 1\n'
    exit "${QUICKSTART_CODE:-0}"
    ;;
*tools/test*)
    printf 'noise\n7 passed, 0 failed, 1 skipped\n'
    exit "${TEST_CODE:-0}"
    ;;
esac
TEXT
git -C "$checkout" init --quiet
git -C "$checkout" add .
git -C "$checkout" -c user.name=x -c user.email=x commit --quiet -m 'the commit that is proved'

# NAMESPACE: "own" skips the step into a namespace of its own, which needs root.
prove() {
    : >"$work/calls"
    env work="$work" PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" TMPDIR="$work" RSTREAM_PROOF_NAMESPACE=own \
        https_proxy=http://proxy:3128 SECRET=of-the-host "$@"
}
script=$checkout/tools/prove-minimal-root

# ---- refusals ----
gives 2 prove USER_ID=1000 "$script"
says '^prove-minimal-root: chroot needs root; run it through sudo$'
mkdir "$work/full"
touch "$work/full/.hidden"
gives 2 prove "$script" "$work/full"
says "^prove-minimal-root: $work/full isn't empty; name a new folder"
same '' "$(cat "$work/calls")" calls
gives 1 prove DEBOOTSTRAP_FAILS=1 "$script" "$work/failed"
says '^line 5$'
says '^line 9$'
says_not '^line 4$'
[ ! -e "$cache/debian-12-minbase.tar" ] || fail "a failed debootstrap was kept"

# ---- a proof ----
gives 0 prove RSTREAM_PROOF_MIRROR=http://mirror/debian RSTREAM_PROOF_EPOCHS=4 "$script" "$work/root"
same "debootstrap --variant=minbase bookworm $work/root http://mirror/debian" "$(head -n 1 "$work/calls")" "debootstrap's call"
says '^root         Debian 12\.99, debootstrap minbase; 3 packages with git, 3 after both commands$'
says '^commit       [0-9a-f]+ the commit that is proved$'
says '^quickstart   exit code 0, [0-9]+ s$'
says '^  Epoch 0\. Train Loss: 1$'
says '^  quickstart: data: some$'
says_not '^  noise'
says '^test         exit code 0, [0-9]+ s$'
says '^  7 passed, 0 failed, 1 skipped$'
grep -qx 'env --chdir=/root/rstream ./tools/quickstart --epochs 4' "$work/calls" || fail "quickstart wasn't run as it should"
grep -qx 'env --chdir=/root/rstream ./tools/test' "$work/calls" || fail "the tests weren't run"
grep -q ' https_proxy=http://proxy:3128' "$work/variables" || fail "the host's proxy isn't set inside"
if grep -q SECRET "$work/variables"; then fail "the host's environment is visible inside"; fi
[ -x "$work/root/root/rstream/tools/prove-minimal-root" ] || fail "the checkout wasn't cloned"
grep -q 'Epoch 0' "$work/root/root/quickstart.log" || fail "quickstart's output wasn't kept"

# ---- the next one takes what debootstrap made; uncommitted changes are said ----
echo >>"$checkout/stray"
gives 0 prove "$script" "$work/again"
says "^prove-minimal-root: unpacking $cache/debian-12-minbase\.tar$"
says 'note: the checkout has uncommitted changes; the clone holds the last commit$'
if grep -q debootstrap "$work/calls"; then fail "debootstrap ran again"; fi
[ -f "$work/again/etc/debian_version" ] || fail "the root wasn't unpacked"
[ ! -e "$work/again/root/rstream/stray" ] || fail "the clone holds what isn't committed"

# ---- a command that fails ----
gives 1 prove QUICKSTART_CODE=4 "$script" "$work/bad1"
says '^quickstart   exit code 4,'
says '^test         exit code 0,'
gives 1 prove TEST_CODE=5 "$script" "$work/bad2"
says '^quickstart   exit code 0,'
says '^test         exit code 5,'
rm "$work/bin/debootstrap"
if ! PATH=$work/bin:$PATH command -v debootstrap >/dev/null; then
    gives 2 prove "$script"
    says '^prove-minimal-root: no debootstrap here: apt-get install debootstrap$'
fi
echo "prove-minimal-root: all as expected"
