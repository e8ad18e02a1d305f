# Windows x64 from Linux, by mingw-w64 with POSIX threads (std::thread, std::mutex). The libraries
# are those that scripts/init/build_windows_cross.sh builds into KV_WINDOWS_DEPS.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_AR x86_64-w64-mingw32-gcc-ar-posix CACHE FILEPATH "")
set(CMAKE_RANLIB x86_64-w64-mingw32-gcc-ranlib-posix CACHE FILEPATH "")

if(NOT KV_WINDOWS_DEPS)
  set(KV_WINDOWS_DEPS "$ENV{KV_WINDOWS_DEPS}")
endif()
if(NOT KV_WINDOWS_DEPS)
  set(KV_WINDOWS_DEPS ${CMAKE_CURRENT_LIST_DIR}/../build/windows-deps)
endif()
get_filename_component(KV_WINDOWS_DEPS ${KV_WINDOWS_DEPS} ABSOLUTE)
set(KV_WINDOWS_DEPS ${KV_WINDOWS_DEPS} CACHE PATH "Prefix of the libraries built for Windows")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES KV_WINDOWS_DEPS)

# Ours before the toolchain's, whose zlib is a DLL's import library first.
set(CMAKE_FIND_ROOT_PATH ${KV_WINDOWS_DEPS} /usr/x86_64-w64-mingw32)
set(CMAKE_PREFIX_PATH /)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(OPENSSL_USE_STATIC_LIBS ON)
# pkg-config would answer for Linux.
set(PKG_CONFIG_EXECUTABLE "" CACHE FILEPATH "")

# Windows 10 and Server 2016 and later. NOMINMAX and the like: the headers' macros are in nobody's way.
set(kv_windows_flags "-D_WIN32_WINNT=0x0A00 -DWINVER=0x0A00 -DNOMINMAX -DWIN32_LEAN_AND_MEAN -D__USE_MINGW_ANSI_STDIO=1")
# Debug information and assertions name no folder of the machine that built.
get_filename_component(kv_windows_top ${CMAKE_SOURCE_DIR} ABSOLUTE)
set(kv_windows_flags "${kv_windows_flags} -ffile-prefix-map=${kv_windows_top}=. -ffile-prefix-map=${KV_WINDOWS_DEPS}=deps")
# COMDAT sections of a big object outnumber what COFF's first form can count.
set(kv_windows_flags "${kv_windows_flags} -Wa,-mbig-obj")
set(CMAKE_C_FLAGS_INIT "${kv_windows_flags}")
set(CMAKE_CXX_FLAGS_INIT "${kv_windows_flags}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
