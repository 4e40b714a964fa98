# The CPU backend against the reference one, and its speed.
if(TARGET rs_cpu)
  rs_program(bench_cpu_step SOURCES bench_cpu_step.c LINKS rs_cpu)
  rs_test(test_cpu_ops LABELS unit SOURCES test_cpu_ops.c cpu_compare.c LINKS rs_cpu rs_backends TIMEOUT 600 PROCESSORS 1)
  rs_test(test_cpu_backend LABELS unit SOURCES test_cpu_backend.c cpu_compare.c LINKS rs_cpu rs_backends TIMEOUT 900 PROCESSORS 1)
  rs_test(test_cpu_kernels LABELS unit SOURCES test_cpu_kernels.c LINKS rs_cpu)
  target_include_directories(test_cpu_kernels PRIVATE ${CMAKE_SOURCE_DIR}/kernels/cpu/simd)
  # The same on machines with less: oneDNN's own cap also selects the kernels.
  foreach(isa AVX2 SSE41)
    add_test(NAME test_cpu_ops_${isa} COMMAND test_cpu_ops)
    set_tests_properties(test_cpu_ops_${isa} PROPERTIES LABELS unit TIMEOUT 600 ENVIRONMENT DNNL_MAX_CPU_ISA=${isa})
  endforeach()
endif()
