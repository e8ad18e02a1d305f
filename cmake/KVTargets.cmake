# kv_library, kv_program, kv_test: one way to declare a target, with the project's flags.
add_library(kv_flags INTERFACE)
if(MSVC)
  # Warnings are no errors there: nobody has seen them yet. bigobj: many COMDAT sections.
  target_compile_options(kv_flags INTERFACE /W3 /utf-8 /bigobj /EHsc /permissive- /Zc:__cplusplus)
  target_compile_definitions(kv_flags INTERFACE _WIN32_WINNT=0x0A00 WINVER=0x0A00 NOMINMAX
    WIN32_LEAN_AND_MEAN _CRT_SECURE_NO_WARNINGS)
else()
  target_compile_options(kv_flags INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers)
endif()
target_include_directories(kv_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(kv_flags INTERFACE -Wthread-safety -Werror=thread-safety)
endif()
if(KV_SANITIZE)
  # Debian's libraries are not instrumented; what is ours is.
  add_compile_options(-fsanitize=${KV_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KV_SANITIZE})
endif()
if(KV_SANITIZE MATCHES "thread")
  # Our calls of absl::Mutex go through tsan_mutex.cc (which says why), in every program.
  add_library(kv_tsan_mutex OBJECT ${CMAKE_SOURCE_DIR}/cmake/tsan_mutex.cc)
  target_link_libraries(kv_tsan_mutex PUBLIC absl::synchronization)
  foreach(symbol N4absl7debian35Mutex4LockEv N4absl7debian35Mutex6UnlockEv
          N4absl7debian35Mutex10ReaderLockEv N4absl7debian35Mutex12ReaderUnlockEv
          N4absl7debian35MutexD1Ev N4absl7debian35Mutex5AwaitERKNS0_9ConditionE
          N4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE
          N4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE
          N4absl7debian312Notification6NotifyEv NK4absl7debian312Notification19WaitForNotificationEv
          NK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE
          N4absl7debian315BlockingCounter14DecrementCountEv
          N4absl7debian315BlockingCounter4WaitEv)
    add_link_options(LINKER:--wrap=_Z${symbol})
  endforeach()
  link_libraries($<BUILD_INTERFACE:kv_tsan_mutex>)
endif()

# What most files include, read once: it was a third of a build. For the sanitizers' builds alone, so
# that the others tell of an include that is missing.
if(KV_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # The warnings: GCC 12 is wrong about std::string (its bug 105651), which it keeps to itself only
  # where it knows that the header is the system's.
  target_compile_options(kv_flags INTERFACE -pthread -fpch-preprocess -Wno-restrict -Wno-array-bounds
    -Wno-stringop-overflow)
  target_compile_definitions(kv_flags INTERFACE FMT_SHARED)
  set(headers <algorithm> <chrono> <functional> <map> <memory> <random> <string> <thread> <vector>
    <fmt/format.h> <absl/container/flat_hash_map.h> <absl/functional/any_invocable.h>
    <absl/status/statusor.h> <absl/synchronization/mutex.h> <absl/time/clock.h>)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/headers.cc CONTENT "")
  add_library(kv_headers OBJECT ${CMAKE_BINARY_DIR}/headers.cc)
  target_link_libraries(kv_headers PRIVATE kv_flags absl::statusor absl::synchronization)
  target_precompile_headers(kv_headers PRIVATE ${headers})
  add_library(kv_test_headers OBJECT ${CMAKE_BINARY_DIR}/headers.cc)
  target_link_libraries(kv_test_headers PRIVATE kv_flags absl::statusor absl::synchronization GTest::gmock)
  target_precompile_headers(kv_test_headers PRIVATE ${headers} <gmock/gmock.h> <gtest/gtest.h>)
endif()

# kv_library(NAME SOURCES a.cc … DEPS target … [HEADERS <h> …]): a module. Its header and source files
# are listed; HEADERS are those of a library that cost seconds a file, read once.
function(kv_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;HEADERS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_HEADERS)
    target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
  elseif(TARGET kv_headers)
    target_precompile_headers(${name} REUSE_FROM kv_headers)
  endif()
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE $<BUILD_INTERFACE:kv_flags>)
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
endfunction()

function(kv_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(TARGET kv_headers)
    target_precompile_headers(${name} REUSE_FROM kv_headers)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} kv_flags)
endfunction()

# kv_test(NAME SOURCES a_test.cc … DEPS target … [TIMEOUT seconds] [ARGS …]): one GoogleTest program, one ctest.
function(kv_test name)
  if(NOT KV_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;ENV" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(TARGET kv_test_headers)
    target_precompile_headers(${name} REUSE_FROM kv_test_headers)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main kv_flags)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:halt_on_error=1:history_size=7;${ARG_ENV}")
endfunction()
