# Every outside library, found once. docs/ARCHITECTURE.md gives the reason for each.
find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(RocksDB CONFIG REQUIRED)
if(KV_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

find_path(ISAL_INCLUDE_DIR isa-l/crc.h REQUIRED)
find_library(ISAL_LIBRARY isal REQUIRED)
add_library(isal INTERFACE IMPORTED)
set_target_properties(isal PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "${ISAL_INCLUDE_DIR}" INTERFACE_LINK_LIBRARIES "${ISAL_LIBRARY}")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
