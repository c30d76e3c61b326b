# Tests by convention of place and name, so that a new one needs no line here:
#   test/unit/**/test_*.c   one cmocka executable each, with test/unit/support/*.c
#   test/sim/test_*.c       the same, with test/sim/support/*.c
#   test/fuzz/fuzz_*.c      libFuzzer in preset fuzz, elsewhere a run over test/fuzz/corpus/<name>/
# All carry the ctest label `unit`; those of test/sim also `sim`.
enable_testing()
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

set(san ${CMAKE_SOURCE_DIR}/test/sanitizers)
set(WEIR_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0"
    "LSAN_OPTIONS=suppressions=${san}/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=suppressions=${san}/tsan.supp:halt_on_error=1:second_deadlock_stack=1")

# clang 14's thread sanitizer does not know the wide address randomisation of newer kernels.
set(WEIR_TEST_LAUNCHER "")
if(WEIR_SANITIZE MATCHES "thread")
  find_program(SETARCH setarch REQUIRED)
  set(WEIR_TEST_LAUNCHER ${SETARCH} -R)
endif()

function(weir_register_test target labels)
  add_test(NAME ${target} COMMAND ${WEIR_TEST_LAUNCHER} $<TARGET_FILE:${target}> ${ARGN}
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${target} PROPERTIES LABELS "${labels}" TIMEOUT 120 ENVIRONMENT "${WEIR_TEST_ENVIRONMENT}")
endfunction()

# weir_add_tests(PREFIX DIRECTORY LABELS): unit/base/test_arena.c of prefix `unit` becomes executable unit-base-arena.
function(weir_add_tests prefix directory labels)
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${directory}/test_*.c)
  file(GLOB_RECURSE support CONFIGURE_DEPENDS ${directory}/support/*.c)
  if(NOT tests)
    return()
  endif()
  if(NOT CMOCKA_FOUND)
    message(STATUS "cmocka not found: no tests from ${directory} (deploy/install-packages test)")
    return()
  endif()
  set(libraries weir_core PkgConfig::CMOCKA)
  if(TARGET weir_control_plane)
    list(PREPEND libraries weir_control_plane)
  endif()
  if(TARGET unit-support)
    list(PREPEND libraries unit-support)
  endif()
  if(support)
    add_library(${prefix}-support STATIC ${support})
    target_link_libraries(${prefix}-support PUBLIC ${libraries})
    list(PREPEND libraries ${prefix}-support)
  endif()
  foreach(test ${tests})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/${directory} ${test})
    string(REGEX REPLACE "(^|/)test_([^/]*)\\.c$" "\\1\\2" name ${name})
    string(REPLACE "/" "-" name ${prefix}-${name})
    add_executable(${name} ${test})
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(${name} PRIVATE ${libraries})
    weir_register_test(${name} "${labels}")
  endforeach()
endfunction()

function(weir_add_fuzz_targets)
  file(GLOB targets CONFIGURE_DEPENDS test/fuzz/fuzz_*.c)
  foreach(source ${targets})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" corpus ${name})
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:C>:-Wno-missing-prototypes>)
    target_link_libraries(${name} PRIVATE weir_core)
    if(WEIR_FUZZ)
      target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(${name} PRIVATE test/fuzz/support/run_corpus.c)
      set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
      weir_register_test(${name} unit ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${corpus})
    endif()
  endforeach()
endfunction()

if(NOT WEIR_FUZZ)
  weir_add_tests(unit test/unit unit)
  weir_add_tests(sim test/sim "unit;sim")
endif()
weir_add_fuzz_targets()
