#!/usr/bin/env bash
# Builds KVStore for Windows x64 on Debian 12: mingw-w64, then the libraries from Debian's sources
# into a prefix that is kept, then the project itself. What is done is not done again: a part has a
# stamp, and goes on after an interruption where it stopped. About an hour from nothing on 2 cores.
#
#   scripts/init/build_windows_cross.sh [all|deps|PART ...]
#
# KV_WINDOWS_DEPS: the prefix, build/windows-deps by default. JOBS: compilers at once, one a core by
# default. Remove PREFIX/stamps/PART to build a part anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
prefix=$(realpath -m "${KV_WINDOWS_DEPS:-build/windows-deps}")
export KV_WINDOWS_DEPS=$prefix
jobs=${JOBS:-$(nproc)}
host=x86_64-w64-mingw32
stamps=$prefix/stamps
sources=$prefix/src
builds=$prefix/build
export CCACHE_BASEDIR=$prefix CCACHE_NOHASHDIR=1
mkdir -p "$stamps" "$sources/archives" "$builds" "$prefix/lib" "$prefix/include"

say() { echo "[$(date +%T)] $*" >&2; }

install_packages() {
  scripts/init/install_deps.sh g++-mingw-w64-x86-64-posix libz-mingw-w64-dev nasm make perl dpkg-dev \
    python3-absl python3-six unicode-data
}

# fetch PACKAGE: its source, unpacked into $sources/PACKAGE. The machine's own package sources may
# name binaries only, so that a list of ours does it, beside the system's.
fetch() {
  local package=$1 state=$sources/apt
  [ -d "$sources/$package" ] && return
  local apt=(-o "Dir::Etc::sourcelist=$state/list.sources" -o Dir::Etc::sourceparts=-
             -o "Dir::State::lists=$state/lists" -o APT::Get::List-Cleanup=0)
  if [ ! -e "$state/ready" ]; then
    mkdir -p "$state/lists/partial"
    if [ -e /etc/apt/sources.list.d/debian.sources ]; then
      sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$state/list.sources"
    else
      apt[1]="Dir::Etc::sourcelist=$state/list.list"
      sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$state/list.list"
    fi
    apt-get "${apt[@]}" -qq update
    touch "$state/ready"
  elif [ -e "$state/list.list" ]; then
    apt[1]="Dir::Etc::sourcelist=$state/list.list"
  fi
  (
    cd "$sources/archives"
    local unpacked=$sources/$package.partial
    rm -rf "$unpacked"
    if apt-get "${apt[@]}" -qq source --download-only "$package" >"$package.log" 2>&1; then
      local dsc
      dsc=$(ls -t "${package}"_*.dsc | head -1)
      dpkg-source -q --no-check -x "$dsc" "$unpacked" 2>>"$package.log"
    else
      # A security update's Debian part can be missing where upstream's archive, which has the
      # correction, is there.
      say "$package: Debian's changes are not to be had; upstream's archive as it is"
      apt-get "${apt[@]}" -qq source --download-only --tar-only "$package" >>"$package.log" 2>&1 ||
        { cat "$package.log" >&2; exit 1; }
      mkdir "$unpacked"
      tar -xf "$(ls -t "${package}"_*.orig.tar.?z | head -1)" -C "$unpacked" --strip-components=1
    fi
    mv "$unpacked" "$sources/$package"
  )
}

# with_cmake PART SOURCE [option ...]: configures; the caller builds.
with_cmake() {
  local part=$1 source=$2
  shift 2
  cmake -S "$source" -B "$builds/$part" -G Ninja -Wno-dev \
    -DCMAKE_TOOLCHAIN_FILE="$top/cmake/mingw-w64-toolchain.cmake" -DCMAKE_INSTALL_PREFIX="$prefix" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" \
    -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG" -DCMAKE_CXX_STANDARD=17 -DBUILD_SHARED_LIBS=OFF \
    -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DBUILD_TESTING=OFF "$@"
}
built() { cmake --build "$builds/$1" -j "$jobs" "${@:2}"; }
installed() { built "$1" && cmake --install "$builds/$1"; }

build_zlib() {
  # Debian has it for Windows; a copy without the DLL's import library beside it.
  cp /usr/$host/lib/libz.a "$prefix/lib/"
  cp /usr/$host/include/{zlib,zconf}.h "$prefix/include/"
}

build_openssl() {
  fetch openssl
  mkdir -p "$builds/openssl"
  cd "$builds/openssl"
  [ -e Makefile ] || "$sources/openssl/Configure" mingw64 --cross-compile-prefix=$host- \
    CC="ccache $host-gcc-posix" no-shared no-tests no-engine no-legacy --libdir=lib \
    --prefix="$prefix" -D_WIN32_WINNT=0x0A00 "-ffile-prefix-map=$prefix=deps"
  # A CC with the prefix in it is taken as it is where the prefix is empty.
  sed -i 's/^CROSS_COMPILE=.*/CROSS_COMPILE=/; s/^AR=.*/AR='$host-ar'/; s/^RANLIB=.*/RANLIB='$host-ranlib'/; s/^RC=.*/RC='$host-windres'/' Makefile
  # Where it looks for its configuration: a folder that only administrators may write to.
  sed -i 's|^OPENSSLDIR=.*|OPENSSLDIR=C:/Program Files/Common Files/SSL|' Makefile
  make -j "$jobs" build_libs
  make install_dev
}

build_abseil() {
  fetch abseil
  with_cmake abseil "$sources/abseil" -DABSL_PROPAGATE_CXX_STD=ON
  installed abseil
}

build_c-ares() {
  fetch c-ares
  # mingw's headers have the one name, c-ares the other; and it asks for Windows Vista's interface.
  sed -i 's/\([^_]\)INADDRSZ/\1NS_INADDRSZ/g; s/NS_NS_/NS_/g' "$sources/c-ares/src/lib/inet_net_pton.c"
  sed -i 's/-D_WIN32_WINNT=0x0600//' "$sources/c-ares/CMakeLists.txt"
  with_cmake c-ares "$sources/c-ares" -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_BUILD_TOOLS=OFF
  installed c-ares
}

build_re2() {
  fetch re2
  # Debian leaves generated tables out of the source.
  (
    cd "$sources/re2/re2"
    [ -s perl_groups.cc ] || perl make_perl_groups.pl >perl_groups.cc
    for table in casefold groups; do
      [ -s unicode_$table.cc ] || /usr/bin/python3 make_unicode_$table.py >unicode_$table.cc
    done
  )
  with_cmake re2 "$sources/re2" -DRE2_BUILD_TESTING=OFF
  installed re2
}

build_protobuf() {
  fetch protobuf
  # protoc runs here: the machine's own, of the same version.
  with_cmake protobuf "$sources/protobuf" -Dprotobuf_BUILD_TESTS=OFF \
    -Dprotobuf_BUILD_PROTOC_BINARIES=OFF -Dprotobuf_WITH_ZLIB=OFF -Dprotobuf_ABSL_PROVIDER=package
  installed protobuf
}

build_grpc() {
  fetch grpc
  sed -i 's/-D_WIN32_WINNT=0x600/-D_WIN32_WINNT=0x0A00/' "$sources/grpc/CMakeLists.txt"
  with_cmake grpc "$sources/grpc" -DgRPC_INSTALL=ON -DgRPC_BUILD_TESTS=OFF -DgRPC_BUILD_CODEGEN=OFF \
    -DgRPC_BUILD_CSHARP_EXT=OFF -DgRPC_BUILD_GRPC_CPP_PLUGIN=OFF -DgRPC_BUILD_GRPC_CSHARP_PLUGIN=OFF \
    -DgRPC_BUILD_GRPC_NODE_PLUGIN=OFF -DgRPC_BUILD_GRPC_OBJECTIVE_C_PLUGIN=OFF \
    -DgRPC_BUILD_GRPC_PHP_PLUGIN=OFF -DgRPC_BUILD_GRPC_PYTHON_PLUGIN=OFF \
    -DgRPC_BUILD_GRPC_RUBY_PLUGIN=OFF -DgRPC_ABSL_PROVIDER=package -DgRPC_CARES_PROVIDER=package \
    -DgRPC_PROTOBUF_PROVIDER=package -DgRPC_RE2_PROVIDER=package -DgRPC_SSL_PROVIDER=package \
    -DgRPC_ZLIB_PROVIDER=package -DZLIB_LIBRARY="$prefix/lib/libz.a" -DZLIB_INCLUDE_DIR="$prefix/include" \
    -DProtobuf_PROTOC_LIBRARY="$prefix/lib/libprotobuf.a" -DProtobuf_PROTOC_EXECUTABLE=/usr/bin/protoc
  built grpc --target grpc++
  # Installing wants the archives of targets that were not built: empty ones, which nothing links.
  local archive
  for archive in $(cd "$builds/grpc" && sed -n 's/.*file(INSTALL.*TYPE STATIC_LIBRARY.*"\([^"]*\)".*/\1/p' cmake_install.cmake); do
    [ -e "$archive" ] || $host-ar rc "$archive"
  done
  cmake --install "$builds/grpc"
}

build_curl() {
  fetch curl
  # Schannel: Windows' own TLS, which trusts what the machine's administrators trust.
  with_cmake curl "$sources/curl" -DCURL_USE_SCHANNEL=ON -DBUILD_CURL_EXE=OFF -DHTTP_ONLY=ON \
    -DCURL_DISABLE_LDAP=ON -DCURL_USE_LIBSSH2=OFF -DUSE_LIBIDN2=OFF -DCURL_USE_LIBPSL=OFF \
    -DENABLE_ARES=OFF -DENABLE_UNICODE=ON
  installed curl
}

build_fmt() {
  fetch fmtlib
  with_cmake fmt "$sources/fmtlib" -DFMT_TEST=OFF -DFMT_DOC=OFF
  installed fmt
}

build_spdlog() {
  fetch spdlog
  with_cmake spdlog "$sources/spdlog" -DSPDLOG_FMT_EXTERNAL=ON -DSPDLOG_BUILD_EXAMPLE=OFF
  installed spdlog
}

build_json() {
  fetch nlohmann-json3
  with_cmake json "$sources/nlohmann-json3" -DJSON_BuildTests=OFF
  installed json
}

build_cli11() {
  fetch cli11
  with_cmake cli11 "$sources/cli11" -DCLI11_BUILD_TESTS=OFF -DCLI11_BUILD_EXAMPLES=OFF -DCLI11_BUILD_DOCS=OFF
  installed cli11
}

build_pugixml() {
  fetch pugixml
  with_cmake pugixml "$sources/pugixml"
  installed pugixml
}

build_rocksdb() {
  fetch rocksdb
  sed -i '/-D_WIN32_WINNT=_WIN32_WINNT_VISTA/d' "$sources/rocksdb/CMakeLists.txt"
  with_cmake rocksdb "$sources/rocksdb" -DROCKSDB_BUILD_SHARED=OFF -DWITH_GFLAGS=OFF -DWITH_TESTS=OFF \
    -DWITH_TOOLS=OFF -DWITH_CORE_TOOLS=OFF -DWITH_BENCHMARK_TOOLS=OFF -DPORTABLE=ON \
    -DFAIL_ON_WARNINGS=OFF -DROCKSDB_INSTALL_ON_WINDOWS=ON -DROCKSDB_WINDOWS_UTF8_FILENAMES=ON -DUSE_RTTI=ON -DWITH_ALL_TESTS=OFF
  installed rocksdb
}

build_civetweb() {
  fetch civetweb
  with_cmake civetweb "$sources/civetweb" -DCIVETWEB_BUILD_TESTING=OFF -DCIVETWEB_ENABLE_CXX=ON \
    -DCIVETWEB_ENABLE_SSL=OFF -DCIVETWEB_ENABLE_SERVER_EXECUTABLE=OFF -DCIVETWEB_ENABLE_ASAN=OFF \
    -DCIVETWEB_ENABLE_DEBUG_TOOLS=OFF -DCIVETWEB_ENABLE_LTO=OFF -DCIVETWEB_ENABLE_CXX_LTO=OFF
  installed civetweb
}

build_prometheus() {
  fetch prometheus-cpp
  with_cmake prometheus "$sources/prometheus-cpp" -DENABLE_PUSH=OFF -DENABLE_TESTING=OFF \
    -DENABLE_COMPRESSION=OFF -DUSE_THIRDPARTY_LIBRARIES=OFF -DENABLE_PULL=ON
  installed prometheus
}

build_isal() {
  fetch libisal
  mkdir -p "$builds/isal"
  cp -r "$sources/libisal/." "$builds/isal"
  cd "$builds/isal"
  make -f Makefile.unx arch=mingw host_cpu=x86_64 AS=nasm units=crc CC="$host-gcc-posix" AR=$host-ar -j "$jobs" lib
  cp bin/isa-l.a "$prefix/lib/libisal.a"
  mkdir -p "$prefix/include/isa-l"
  cp include/*.h "$prefix/include/isa-l/"
}

build_googletest() {
  fetch googletest
  with_cmake googletest "$sources/googletest" -DINSTALL_GTEST=ON
  installed googletest
}

run_part() {
  local part=$1 log=$prefix/logs/$1.log
  [ -e "$stamps/$part" ] && return
  mkdir -p "$prefix/logs"
  say "$part: building (log in $log)"
  SECONDS=0
  local status=0
  set +e  # in an if's condition, the part's own -e would do nothing
  (set -e && "build_$part") >"$log" 2>&1
  status=$?
  set -e
  if [ "$status" -ne 0 ]; then
    grep -nE 'error|Error|FAILED' "$log" | head -20 >&2 || true
    tail -20 "$log" >&2
    say "$part: failed after $SECONDS s"
    return 1
  fi
  echo "$SECONDS" >"$stamps/$part"
  say "$part: $SECONDS s"
}

parts=(zlib openssl abseil c-ares re2 protobuf grpc curl fmt spdlog json cli11 pugixml civetweb
       prometheus isal googletest rocksdb)

[ $# -gt 0 ] || set -- all
case $1 in
  all | deps) wanted=("${parts[@]}") ;;
  *) wanted=("$@") ;;
esac
# Two at once would only meet the same files.
exec 9>"$prefix/lock"
flock -n 9 || { say "another one is building in $prefix"; exit 1; }
install_packages
for part in "${wanted[@]}"; do
  run_part "$part"
done
if [ "$1" = all ]; then
  SECONDS=0
  export CCACHE_BASEDIR=$top
  cmake --preset windows-cross
  cmake --build --preset windows-cross -j "$jobs" --target KVStoreServer KVPlayground kvctl KVClient
  # Unit tests that make POSIX's own calls do not build, and are left out.
  cmake --build --preset windows-cross -j "$jobs" -- -k 0 >"$prefix/logs/tests.log" 2>&1 || true
  say "KVStore: $SECONDS s; the programs are in build/windows-cross/bin"
fi
