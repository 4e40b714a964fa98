#!/usr/bin/env bash
# test_install_deps: tools/install-deps asks apt-get for exactly what is missing, once, and its failures say what to do. apt-get, sudo and
# what looks for packages are stand-ins; nothing is installed.
#
# usage: test_install_deps.sh SOURCE_FOLDER
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
source_folder=$1

# A system of its own: $work/bin is the whole PATH, and $work/system stands for / where the script looks for files.
bin=$work/bin system=$work/system
export work system TMPDIR=$work/tmp
mkdir -p "$bin" "$work/tmp" "$work/keep"
for name in bash env cat mktemp tail grep rm touch mkdir ln dirname; do ln -s "$(command -v $name)" "$bin/$name"; done
sed -E "s,(file|[^/]) (/usr/|/etc/),\\1 $system\\2,g" "$source_folder/tools/install-deps" >"$work/install-deps"
sed -i -E "s, (/usr/(local/)?include/(oneapi/dnnl/)?dnnl\.h), $system\\1,g" "$work/install-deps"
chmod +x "$work/install-deps"
same 0 "$(grep -cE '^[a-z].* /(usr|etc)/' "$work/install-deps")" "paths outside the test's system"

# brings PACKAGE: what the package adds to the system, by which it is recognized. An own list: it must agree with the script's.
cat >"$work/brings" <<'TEXT'
program() { ln -sf "$work/keep/tool" "$work/bin/$1"; }
file() { mkdir -p "$system$(dirname "$1")" && touch "$system$1"; }
module() { touch "$system/module.$1"; }
brings() {
    case $1 in
    gcc) program cc ;;
    libc6-dev) file /usr/include/stdio.h ;;
    cmake | git | curl | clang-format | clang-tidy | shellcheck | clang) program "$1" ;;
    ninja-build) program ninja ;;
    pkg-config) ln -sf "$work/keep/pkg-config" "$work/bin/pkg-config" ;;
    ca-certificates) file /etc/ssl/certs/ca-certificates.crt ;;
    libuv1-dev) module libuv ;;
    libpng-dev) module libpng ;;
    libjpeg-dev) module libjpeg ;;
    libcjson-dev) module libcjson ;;
    libcmocka-dev) module cmocka ;;
    libck-dev) module ck ;;
    libdnnl-dev) file "${DNNL_AT:-/usr/include/dnnl.h}" ;;
    libclang-rt-dev) file "${FUZZER_AT:-/usr/lib/llvm-14}/lib/clang/14/lib/linux/libclang_rt.fuzzer-x86_64.a" ;;
    python3-torch | python3-pil | python3-numpy | libopenblas0-pthread) echo installed >"$system/package.$1" ;;
    *) echo "no such package: $1" >&2 && exit 1 ;;
    esac
}
TEXT
# shellcheck source=/dev/null
. "$work/brings"
base=(gcc libc6-dev cmake ninja-build pkg-config git curl ca-certificates libuv1-dev libpng-dev libjpeg-dev libcjson-dev libcmocka-dev
    libck-dev libdnnl-dev)
oracles=(python3-torch python3-pil python3-numpy libopenblas0-pthread)
dev=(clang-format clang-tidy shellcheck clang libclang-rt-dev)

stand_in "$work/keep/tool" <<<'exit 99'
stand_in "$work/keep/pkg-config" <<'TEXT'
[ "$1" = --exists ] && [ $# -eq 2 ] && [ -e "$system/module.$2" ]
TEXT
stand_in "$bin/dpkg-query" <<'TEXT'
[ "$1 $2" = '-W -f=${db:Status-Status}' ] && [ -e "$system/package.$3" ] && cat "$system/package.$3"
TEXT
stand_in "$bin/id" <<'TEXT'
[ "$*" = -u ] && echo "${USER_ID:-0}"
TEXT
stand_in "$work/keep/sudo" <<'TEXT'
echo sudo >>"$work/calls"
exec "$@"
TEXT
# Logs the call; UPDATE is update's exit code; INSTALL says how an installation ends.
stand_in "$work/keep/apt-get" <<'TEXT'
echo "${DEBIAN_FRONTEND:-}: $*" >>"$work/calls"
while [ "$1" = -o ]; do shift 2; done
if [ "$1" = update ]; then
    echo "E: update's own trouble" >&2
    exit "${UPDATE:-0}"
fi
case ${INSTALL:-good} in
good)
    . "$work/brings"
    for package in "${@:4}"; do brings "$package" || exit 1; done
    ;;
nothing) ;;
*)
    echo "E: $INSTALL" >&2
    exit 100
    ;;
esac
TEXT

# clean PACKAGE...: a system with exactly these, apt-get and sudo.
clean() {
    local package
    rm -rf "$system" "$work/calls" "$bin"/{cc,cmake,ninja,pkg-config,git,curl,clang-format,clang-tidy,shellcheck,clang}
    mkdir -p "$system"
    : >"$work/calls"
    ln -sf "$work/keep/apt-get" "$bin/apt-get"
    ln -sf "$work/keep/sudo" "$bin/sudo"
    for package in "$@"; do brings "$package"; done
}

install_deps() { PATH=$bin "$work/install-deps" "$@"; }

# asked PACKAGE...: apt-get was called twice: update, then these packages in this order.
options='-o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 -o Acquire::Retries=2 -o DPkg::Lock::Timeout=300'
asked() {
    same "noninteractive: $options update
noninteractive: $options install -y --no-install-recommends $*" "$(cat "$work/calls")" "calls of apt-get"
}

# without NAME LIST...: the list without the name.
without() {
    local name=$1 other
    shift
    for other in "$@"; do [ "$other" = "$name" ] || echo "$other"; done
}

# ---- nothing is missing: nothing is run ----
clean "${base[@]}"
gives 0 install_deps
same 'install-deps: nothing is missing' "$(cat "$work/output")" output
same '' "$(cat "$work/calls")" calls
for place in /usr/include/oneapi/dnnl/dnnl.h /usr/local/include/dnnl.h; do
    mapfile -t rest < <(without libdnnl-dev "${base[@]}")
    clean "${rest[@]}"
    DNNL_AT=$place brings libdnnl-dev
    gives 0 install_deps
    says 'nothing is missing'
done

mapfile -t rest < <(without libclang-rt-dev "${base[@]}" "${dev[@]}")
clean "${rest[@]}"
FUZZER_AT=/usr brings libclang-rt-dev
gives 0 install_deps --dev
says 'nothing is missing'

# ---- everything is missing: all in one call, and then it is there ----
clean
gives 0 install_deps
same "install-deps: installing ${base[*]}
install-deps: done" "$(cat "$work/output")" output
asked "${base[@]}"
gives 0 install_deps
says '^install-deps: nothing is missing$'
same '' "$(ls "$work/tmp")" "files left in TMPDIR"

# ---- each one alone ----
for package in "${base[@]}" "${oracles[@]}" "${dev[@]}"; do
    mapfile -t rest < <(without "$package" "${base[@]}" "${oracles[@]}" "${dev[@]}")
    clean "${rest[@]}"
    gives 0 install_deps --oracles --dev
    if [ "$package" = pkg-config ]; then # without it no module can be found
        asked pkg-config libuv1-dev libpng-dev libjpeg-dev libcjson-dev libcmocka-dev libck-dev
    else
        asked "$package"
    fi
done

# ---- options ----
clean "${base[@]}"
gives 0 install_deps --oracles
asked "${oracles[@]}"
clean "${base[@]}"
gives 0 install_deps --dev
asked "${dev[@]}"
clean "${base[@]}" "${oracles[@]}"
echo config-files >"$system/package.python3-pil" # removed, its configuration is still there
gives 0 install_deps --oracles
asked python3-pil
clean
gives 2 install_deps --oracle
says "^install-deps: unknown option '--oracle'$"
says '^usage: '
gives 0 install_deps --help
says '^usage: tools/install-deps \[--oracles\] \[--dev\]$'
same '' "$(cat "$work/calls")" calls

# ---- who installs ----
clean "${dev[@]}"
USER_ID=1000 gives 0 install_deps
same "sudo sudo" "$(grep -x sudo "$work/calls" | tr '\n' ' ' | sed 's/ $//')" "apt-get through sudo"
mapfile -t rest < <(without curl "${base[@]}")
clean "${rest[@]}"
rm "$bin/sudo"
USER_ID=1000 gives 1 install_deps
says '^install-deps: not root and no sudo\. As root, run: apt-get install --no-install-recommends curl$'
same '' "$(cat "$work/calls")" calls
rm "$bin/apt-get"
gives 1 install_deps
says "^install-deps: no apt-get here\. Install the equivalents of: curl$"

# ---- failures ----
clean "${rest[@]}"
UPDATE=100 gives 0 install_deps # the lists on the disk may do
asked curl
says '^install-deps: done$'
says_not "update's own trouble"
failure() { # INSTALL REGEX
    clean "${rest[@]}"
    INSTALL=$1 gives 1 install_deps
    says "^E: $1"
    says "$2"
    log=$(sed -n "s/^install-deps: apt-get's whole output is in //p" "$work/output")
    grep -q "^E: $1" "$log" || fail "the log, '$log', doesn't hold apt-get's output"
    rm "$log"
}
for words in "Could not resolve 'deb.debian.org'" 'Could not connect to deb.debian.org:80' 'Failed to fetch http://x/y.deb' \
    'Temporary failure resolving x' 'Network is unreachable'; do
    failure "$words" "the package archive can't be reached\. Connect to a network, or install by hand: curl$"
    says_not 'universe|apt-get failed'
done
failure 'Unable to locate package curl' "not in this system's sources\. On Ubuntu enable 'universe'"
failure "Package 'curl' has no installation candidate" "not in this system's sources"
failure 'dpkg was interrupted' '^install-deps: apt-get failed$'
clean "${rest[@]}"
INSTALL=nothing gives 1 install_deps
says 'apt-get reported success, but these are still not usable: curl$'
says_not 'done'

# ---- the names are the distribution's ----
if command -v apt-cache >/dev/null && grep -qE '^(VERSION_CODENAME=(bookworm|noble))$' /etc/os-release &&
    apt-cache policy libc6-dev | grep 'Candidate: [0-9]' >/dev/null; then
    for package in "${base[@]}" "${oracles[@]}" "${dev[@]}"; do
        apt-cache policy "$package" >"$work/output"
        says '^  Candidate: [0-9]'
    done
else
    echo "whether apt knows the packages isn't tested: no package lists of Debian 12 or Ubuntu 24.04 here"
fi
echo "install-deps: all as expected"
