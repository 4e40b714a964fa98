#!/usr/bin/env bash
# test_test: tools/test adds up what CTest reports: a test that fails, crashes, runs out of time or can't start counts as failed, and only
# exit code 77 as skipped. CTest is the real one, over programs that are made here; installing and building are stand-ins.
#
# usage: test_test.sh SOURCE_FOLDER
set -euo pipefail
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
source_folder=$1
checkout=$work/checkout
export work
unset RS_REQUIRE_ORACLES RS_TEST_SKIP_LABEL # of whoever runs this test

mkdir -p "$checkout/tools" "$work/bin"
cp "$source_folder/tools/test" "$source_folder/tools/sanitizers.sh" "$checkout/tools"
stand_in "$checkout/tools/install-deps" <<'TEXT'
echo "install-deps $*" >>"$work/calls"
exit "${INSTALL_CODE:-0}"
TEXT
stand_in "$work/bin/cmake" <<'TEXT'
echo "cmake $*" >>"$work/calls"
if [ "$1" = --build ]; then exit "${BUILD_CODE:-0}"; fi
TEXT
presets=(release debug asan tsan cuda)
for preset in "${presets[@]}"; do
    configure+=${configure:+,}"{\"name\":\"$preset\",\"generator\":\"Ninja\",\"binaryDir\":\"\${sourceDir}/build/\${presetName}\"}"
    tests+=${tests:+,}"{\"name\":\"$preset\",\"configurePreset\":\"$preset\"}"
done
cat >"$checkout/CMakePresets.json" <<TEXT
{"version": 3, "configurePresets": [$configure], "testPresets": [$tests]}
TEXT

# tests PRESET: the standard input is the preset's list of tests, in which @sh CODE makes a command that ends so.
tests() {
    mkdir -p "$checkout/build/$1"
    sed -E 's/@sh ("[^"]*")/"sh" "-c" \1/' >"$checkout/build/$1/CTestTestfile.cmake"
}

run_test() {
    : >"$work/calls"
    PATH=$work/bin:$PATH "$checkout/tools/test" "$@"
}

last_line() { same "$1" "$(tail -n 1 "$work/output")" "last line"; }

# ---- one of each kind ----
tests release <<'TEXT'
add_test(passes @sh "exit 0")
add_test(passes_in_words @sh "echo '<testcase name=x status=fail>'; echo '<skipped message=SKIP_RETURN_CODE=77>'")
add_test(fails @sh "exit 1")
add_test(another_code @sh "exit 2")
add_test(crashes @sh "kill -SEGV $$")
add_test(takes_too_long @sh "sleep 100")
set_tests_properties(takes_too_long PROPERTIES TIMEOUT 1)
add_test(can_not_start "/nowhere/program")
add_test(skips @sh "exit 77")
add_test(seventy_seven_is_a_failure_here @sh "exit 77")
add_test(switched_off @sh "exit 0")
set_tests_properties(skips fails PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties(switched_off PROPERTIES DISABLED TRUE)
TEXT
gives 1 run_test release
last_line '2 passed, 7 failed, 1 skipped'
same 'install-deps 
cmake --preset release
cmake --build --preset release' "$(cat "$work/calls")" calls

# ---- a good one; two presets are added up; release and debug are the default ----
tests release <<'TEXT'
add_test(one @sh "exit 0")
add_test(two @sh "exit 0")
TEXT
tests debug <<'TEXT'
add_test(one @sh "exit 0")
add_test(skips @sh "exit 77")
set_tests_properties(one skips PROPERTIES SKIP_RETURN_CODE 77 LABELS "golden;slow")
TEXT
gives 0 run_test
last_line '3 passed, 0 failed, 1 skipped'
says '^== release: building$'
says '^== debug: testing$'
grep -qx 'cmake --build --preset debug' "$work/calls" || fail "debug wasn't built"
gives 0 run_test debug
last_line '1 passed, 0 failed, 1 skipped'
tests asan <<<'add_test(fails @sh "exit 1")'
gives 1 run_test release asan
last_line '2 passed, 1 failed, 0 skipped'
gives 1 run_test asan release # a failure in the first doesn't end it
last_line '2 passed, 1 failed, 0 skipped'

# ---- labels and oracles ----
tests debug <<'TEXT'
add_test(one @sh "exit 0")
add_test(golden @sh "exit 1")
set_tests_properties(golden PROPERTIES LABELS golden)
TEXT
RS_TEST_SKIP_LABEL=golden gives 0 run_test debug
last_line '1 passed, 0 failed, 0 skipped'
RS_REQUIRE_ORACLES=1 gives 0 run_test release
grep -qx 'install-deps --oracles' "$work/calls" || fail "the oracles weren't asked for"
tests tsan <<'TEXT'
add_test(sanitizers_are_set @sh "[ \"$TSAN_OPTIONS\" != '' ] && [ \"$ASAN_OPTIONS\" != '' ]")
TEXT
gives 0 run_test tsan
last_line '1 passed, 0 failed, 0 skipped'

# ---- no report, no tests, nothing built ----
tests asan <<<''
gives 1 run_test asan
says "^test: preset asan has no tests$"
says_not '^[0-9]+ passed'
INSTALL_CODE=1 gives 1 run_test release
says_not '== release'
BUILD_CODE=3 gives 3 run_test release
says_not 'testing|passed'
cp "$checkout/build/release/junit.xml" "$work/old.xml"
stand_in "$work/bin/ctest" <<'TEXT'
while [ "$1" != --output-junit ]; do shift; done
if [ -n "${REPORT:-}" ]; then cp "$REPORT" "$2"; fi
exit "${CTEST_CODE:-0}"
TEXT
gives 1 run_test release # the report of an earlier run isn't taken for this one's
says '^test: CTest wrote no report for preset release \(exit code 0\)$'
CTEST_CODE=8 REPORT=$work/old.xml gives 1 run_test release
says '^test: CTest failed with exit code 8 on preset release, but its report names no test$'
says_not '^[0-9]+ passed'
REPORT=$work/old.xml gives 0 run_test release
last_line '2 passed, 0 failed, 0 skipped'
rm "$work/bin/ctest"

# ---- usage ----
gives 2 run_test releese
says "^test: no preset 'releese' \(release, cuda, debug, asan, tsan\)$"
gives 2 run_test release --fast
says "^test: no preset '--fast'"
same '' "$(cat "$work/calls")" calls
gives 0 run_test --help
says '^usage: tools/test \[PRESET\.\.\.\]'
says_not 'set -euo'
echo "test: all as expected"
