// What the disk gives a plain loop: records of a block each in one preallocated file, written in
// order by one thread with an fdatasync every few, or read past the page cache at some depth.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "benchmarks/dataplane/blocking.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"

namespace kvstore::bench {
namespace {

constexpr size_t kPage = 4096;

absl::Status Failed(const std::string& what) {
  return absl::UnavailableError(what + ": " + std::strerror(errno));
}

class File {
 public:
  File(const std::string& path, int flags) : file_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (file_ >= 0) close(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return file_; }

 private:
  int file_;
};

// Shared by the threads; each has memory of its own.
class FileConnection final : public Connection {
 public:
  FileConnection(const Options& options, int file, size_t record)
      : options_(options), file_(file), record_(record), memory_(1, record) {}

  bool Send(uint64_t number) override {
    number_ = number;
    return true;
  }

  std::optional<size_t> Receive() override {
    const auto at = static_cast<off_t>(number_ % options_.blocks * record_);
    const auto size = static_cast<ssize_t>(record_);
    if (options_.op == Op::kRead) {
      if (pread(file_, data(), record_, at) != size) return std::nullopt;
      return options_.bytes;
    }
    if (pwrite(file_, data(), record_, at) != size) return std::nullopt;
    const auto every = static_cast<uint64_t>(options_.sync_every);
    if (every != 0 && number_ % every == every - 1 && fdatasync(file_) != 0) return std::nullopt;
    return options_.bytes;
  }

 private:
  std::byte* data() { return memory_.slot(0).data(); }

  const Options& options_;
  const int file_;
  const size_t record_;
  Memory memory_;
  uint64_t number_ = 0;
};

class FileLoop final : public Contender {
 public:
  explicit FileLoop(const Options& options)
      : options_(options),
        record_((options.bytes + kPage - 1) / kPage * kPage),
        path_(options.target + "/file-loop") {}

  absl::Status Prepare() override {
    const File file(path_ + "-read", O_RDWR | O_CREAT | O_TRUNC);
    if (file.get() < 0) return Failed(path_);
    Memory memory(1, record_);
    for (size_t i = 0; i < options_.blocks; ++i) {
      const auto at = static_cast<off_t>(i * record_);
      if (pwrite(file.get(), memory.slot(0).data(), record_, at) < 0) return Failed(path_);
    }
    if (fsync(file.get()) != 0) return Failed(path_);
    return absl::OkStatus();
  }

  absl::Status Run(Meter& meter) override {
    const bool reads = options_.op == Op::kRead;
    const std::string path = path_ + (reads ? "-read" : "-write");
    if (!reads) unlink(path.c_str());  // writing over old bytes would be cheaper
    const File file(path, reads ? O_RDONLY | O_DIRECT : O_RDWR | O_CREAT);
    if (file.get() < 0) return Failed(path);
    const auto size = static_cast<off_t>(options_.blocks * record_);
    if (!reads && fallocate(file.get(), 0, 0, size) != 0) return Failed(path);
    const int threads = reads ? options_.in_flight : 1;
    return RunBlocking(meter, threads, threads, [&](int) {
      return std::make_unique<FileConnection>(options_, file.get(), record_);
    });
  }

 private:
  const Options options_;
  const size_t record_;
  const std::string path_;
};

}  // namespace

MadeContender MakeFileLoop(const Options& options) { return std::make_unique<FileLoop>(options); }

}  // namespace kvstore::bench
