# Every outside library, found once. docs/ARCHITECTURE.md gives the reason for each.
find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
if(VCPKG_TOOLCHAIN)
  find_package(Protobuf CONFIG REQUIRED)  # its own file names what newer ones link
else()
  find_package(Protobuf REQUIRED)
endif()
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(RocksDB CONFIG REQUIRED)
find_package(CURL REQUIRED)
find_package(pugixml REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_library(CIVETWEB_LIBRARY civetweb REQUIRED)
if(KV_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

find_path(ISAL_INCLUDE_DIR isa-l/crc.h REQUIRED)
find_library(ISAL_LIBRARY NAMES isal isa-l isa-l_static REQUIRED)
add_library(isal INTERFACE IMPORTED)
set_target_properties(isal PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "${ISAL_INCLUDE_DIR}" INTERFACE_LINK_LIBRARIES "${ISAL_LIBRARY}")

# kv_optional(NAME header library help): NAME_LIBRARY is set where KV_WITH_NAME is on and both are there.
macro(kv_optional name header library help)
  option(KV_WITH_${name} "${help}, where it is installed" ON)
  if(KV_WITH_${name})
    find_path(${name}_INCLUDE_DIR ${header})
    find_library(${name}_LIBRARY ${library})
  endif()
  if(NOT KV_WITH_${name} OR NOT ${name}_INCLUDE_DIR)
    unset(${name}_LIBRARY CACHE)
  endif()
endmacro()
# Linux's asynchronous files; without it reads wait in threads.
kv_optional(URING liburing.h uring "Use io_uring through liburing")
# Memory of a NUMA node; without it --numa-node chooses processors alone.
kv_optional(NUMA numa.h numa "Prefer a NUMA node's memory through libnuma")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
