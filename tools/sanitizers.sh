# shellcheck shell=bash
# sanitizers.sh: how sanitized programs are run; sourced by tools/test and .ci/run.
# Nothing is suppressed. tests/tsan_openmp.c tells ThreadSanitizer what OpenMP synchronizes.

# detect_stack_use_after_return stays off: GCC before 12.4 lays a fake frame's AVX-512 variables out on 32 bytes and then reaches them with
# instructions that need 64, so correct code crashes.
export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
# ignore_noninstrumented_modules: libgomp, oneDNN, libuv, libpng and libjpeg are the distribution's and not instrumented. TSan sees
# their memory accesses only where an interceptor (memcpy, …) is called, without the synchronization inside them that makes those safe.
# Mutexes and threads that they use are still followed.
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:second_deadlock_stack=1:history_size=4${TSAN_OPTIONS:+:$TSAN_OPTIONS}"

# ThreadSanitizer of GCC 12 refuses to start where the kernel places mappings with more than 28 random bits (vm.mmap_rnd_bits, 32 on
# newer kernels). Without address space randomization it starts everywhere; a container may forbid that change, then it is left as is.
no_aslr=()
if setarch "$(uname -m)" -R true 2>/dev/null; then
    # shellcheck disable=SC2034 # used by the scripts that source this
    no_aslr=(setarch "$(uname -m)" -R)
fi
