# rs_library(name SOURCES ... LINKS ...): a folder's static library with the house's warnings.
# rs_program(name SOURCES ... LINKS ...): a program with the same.
# rs_test(name LABELS ... SOURCES ... LINKS ... [TIMEOUT seconds] [PROCESSORS 1]): a cmocka program, one CTest entry, one process. PROCESSORS 1:
# most of its time it has one thread, so that two such tests run beside each other.
add_library(rs_warnings INTERFACE)
target_compile_options(rs_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
                                             -Wmissing-prototypes -Wvla -Werror)
target_compile_definitions(rs_warnings INTERFACE _GNU_SOURCE)

if(RS_SANITIZE)
  add_compile_options(-fsanitize=${RS_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${RS_SANITIZE})
endif()

# libFuzzer's counters in everything; the programs of tests/fuzz link its main.
if(RS_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

# Counters for tools/coverage in everything that C compiles. Atomic: threads add to the same ones. rs_count_fast: for a folder of one thread
# whose inner loops would take ten times as long.
if(RS_COVERAGE)
  add_compile_options($<$<COMPILE_LANGUAGE:C>:--coverage> $<$<COMPILE_LANGUAGE:C>:-fprofile-update=atomic>)
  add_link_options(--coverage)
endif()
macro(rs_count_fast)
  if(RS_COVERAGE)
    add_compile_options($<$<COMPILE_LANGUAGE:C>:-fprofile-update=single> $<$<COMPILE_LANGUAGE:C>:-O3>)
  endif()
endmacro()

function(rs_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${A_LINKS} Threads::Threads PRIVATE rs_warnings ${A_PRIVATE_LINKS})
endfunction()

function(rs_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  if(RS_SANITIZE STREQUAL "thread")
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/tsan_openmp.c)
    target_link_options(${name} PRIVATE -Wl,--wrap=GOMP_parallel -Wl,--wrap=GOMP_barrier)
  endif()
  target_link_libraries(${name} PRIVATE rs_warnings ${A_LINKS} Threads::Threads m)
endfunction()

function(rs_test name)
  cmake_parse_arguments(A "" "TIMEOUT;PROCESSORS" "LABELS;SOURCES;LINKS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(NOT A_PROCESSORS)
    set(A_PROCESSORS 2) # alone on a small machine: tests of threads want both cores
  endif()
  if(RS_COVERAGE)
    math(EXPR A_TIMEOUT "4 * ${A_TIMEOUT}")
  endif()
  rs_program(${name} SOURCES ${A_SOURCES} LINKS ${A_LINKS} cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} PROCESSORS ${A_PROCESSORS} SKIP_RETURN_CODE 77)
endfunction()
