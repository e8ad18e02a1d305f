// A disk that fails when it is told to, for a program that knows nothing of it: preloaded, it stands
// before the C library's calls on the files below a directory.
//
//   KVSTORE_FAULTS_DIR  the directory
//   KVSTORE_FAULTS      a file of one byte, which may change at any time:
//     '-' nothing   'r' read-only file system   'f' full disk   'w' writes and syncs fail: EIO
//     's' syncs fail: EIO   'i' reads of segments fail: EIO
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const volatile char* mode_byte;
static const char* directory;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void Begin(void) {
  const char* const control = getenv("KVSTORE_FAULTS");
  directory = getenv("KVSTORE_FAULTS_DIR");
  if (control == NULL || directory == NULL) return;
  const int fd = REAL(open)(control, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* const page = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) mode_byte = page;
}

static char Mode(void) { return mode_byte == NULL ? '-' : *mode_byte; }

static int Below(const char* path) { return strncmp(path, directory, strlen(directory)) == 0; }

static int Ours(int fd, int segments_only) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = '\0';
  return Below(path) && (!segments_only || strstr(path, ".seg") != NULL);
}

// The error of a call that changes a file, or a directory; 0: none.
static int WriteError(void) {
  switch (Mode()) {
    case 'r':
      return EROFS;
    case 'f':
      return ENOSPC;
    case 'w':
      return EIO;
    default:
      return 0;
  }
}

#define FAIL_WRITE(fd)                                    \
  do {                                                    \
    const int error = WriteError();                       \
    if (error != 0 && Ours(fd, 0)) {                      \
      errno = error;                                      \
      return -1;                                          \
    }                                                     \
  } while (0)

#define FAIL_CHANGE(path, full_fails)                                             \
  do {                                                                            \
    const int error = WriteError();                                               \
    if (error != 0 && (full_fails || error != ENOSPC) && Below(path)) {           \
      errno = error;                                                              \
      return -1;                                                                  \
    }                                                                             \
  } while (0)

#define FAIL_SYNC(fd)                                             \
  do {                                                            \
    const char mode = Mode();                                     \
    if ((mode == 's' || mode == 'w') && Ours(fd, 0)) {            \
      errno = EIO;                                                \
      return -1;                                                  \
    }                                                             \
  } while (0)

#define FAIL_READ(fd)                                             \
  do {                                                            \
    if (Mode() == 'i' && Ours(fd, 1)) {                           \
      errno = EIO;                                                \
      return -1;                                                  \
    }                                                             \
  } while (0)

#define OPEN(name)                                                \
  int name(const char* path, int flags, ...) {                    \
    mode_t permissions = 0;                                       \
    if (flags & O_CREAT) {                                        \
      va_list rest;                                               \
      va_start(rest, flags);                                      \
      permissions = va_arg(rest, mode_t);                         \
      va_end(rest);                                               \
    }                                                             \
    if (flags & O_CREAT) FAIL_CHANGE(path, 1);                    \
    if ((flags & O_ACCMODE) != O_RDONLY && Mode() != 'f') FAIL_CHANGE(path, 0); \
    return REAL(name)(path, flags, permissions);                  \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void* data, size_t size) {
  FAIL_WRITE(fd);
  return REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  FAIL_WRITE(fd);
  return REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  FAIL_WRITE(fd);
  return REAL(pwrite64)(fd, data, size, at);
}
ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t at) {
  FAIL_WRITE(fd);
  return REAL(pwritev)(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec* parts, int count, off64_t at) {
  FAIL_WRITE(fd);
  return REAL(pwritev64)(fd, parts, count, at);
}
int fallocate(int fd, int how, off_t at, off_t size) {
  FAIL_WRITE(fd);
  return REAL(fallocate)(fd, how, at, size);
}
int fallocate64(int fd, int how, off64_t at, off64_t size) {
  FAIL_WRITE(fd);
  return REAL(fallocate64)(fd, how, at, size);
}
int ftruncate(int fd, off_t size) {
  FAIL_WRITE(fd);
  return REAL(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
  FAIL_WRITE(fd);
  return REAL(ftruncate64)(fd, size);
}
int fdatasync(int fd) {
  FAIL_SYNC(fd);
  return REAL(fdatasync)(fd);
}
int fsync(int fd) {
  FAIL_SYNC(fd);
  return REAL(fsync)(fd);
}
ssize_t pread(int fd, void* into, size_t size, off_t at) {
  FAIL_READ(fd);
  return REAL(pread)(fd, into, size, at);
}
ssize_t pread64(int fd, void* into, size_t size, off64_t at) {
  FAIL_READ(fd);
  return REAL(pread64)(fd, into, size, at);
}
int rename(const char* from, const char* to) {
  FAIL_CHANGE(to, 0);
  return REAL(rename)(from, to);
}
int unlink(const char* path) {
  FAIL_CHANGE(path, 0);
  return REAL(unlink)(path);
}
int mkdir(const char* path, mode_t permissions) {
  FAIL_CHANGE(path, 1);
  return REAL(mkdir)(path, permissions);
}
