// local_blob_store_benchmark [directory [rounds [reads]]]: MB/s and CPU seconds a GB of the local
// store, blobs of 1,258,291 bytes, 8 at a time, beside plain loops over a file. All in turn, round
// by round, since disks and neighbours change; medians are printed. `replace` writes into a full
// store, where each put comes with the deletion of the oldest blob.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <thread>

#include "KVCommon/tune_process.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

constexpr int kBlobs = 400;
constexpr size_t kInFlight = 8;
constexpr size_t kSize = 1258291;
constexpr size_t kRecord = (kSize + 4095) / 4096 * 4096;

double CpuSeconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return t.tv_sec + t.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Sample {
  double rate, cpu;
};

class Benchmark {
 public:
  explicit Benchmark(std::string directory) : directory_(std::move(directory)) {}

  void Round(std::string_view only) {
    FileLoops();
    if (only == "reads") {
      Writes("none 4 threads", Durability::kNone, 4);
      return Reads();
    }
    for (size_t threads : {2, 4, 8}) {
      const std::string with = " " + std::to_string(threads) + " threads";
      Writes("none" + with, Durability::kNone, threads);
      Writes("batch" + with, Durability::kBatch, threads);
    }
    Writes("each 4 threads", Durability::kEach, 4);
    Reads();
  }

  void Print() const {
    for (const auto& [name, samples] : samples_) {
      std::printf("%-40s %6.0f MB/s  %.2f CPU s/GB\n", name.c_str(), Median(samples, &Sample::rate),
                  Median(samples, &Sample::cpu));
    }
  }

 private:
  static double Median(std::vector<Sample> samples, double Sample::*what) {
    const auto middle = samples.begin() + samples.size() / 2;
    std::nth_element(samples.begin(), middle, samples.end(),
                     [=](const Sample& a, const Sample& b) { return a.*what < b.*what; });
    return (*middle).*what;
  }

  template <typename Work>
  void Measure(const std::string& name, Work work) {
    const auto begin = std::chrono::steady_clock::now();
    const double cpu = CpuSeconds();
    if (!work()) std::printf("FAILED: %s\n", name.c_str());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    constexpr double kGigabytes = kBlobs * (kSize / 1e9);
    samples_[name].push_back({kGigabytes * 1e3 / took.count(), (CpuSeconds() - cpu) / kGigabytes});
  }

  // All of start(0) to start(kBlobs - 1), which give futures.
  template <typename Start>
  static bool Pipeline(Start start) {
    std::deque<decltype(start(0))> running;
    bool ok = true;
    for (int i = 0; i < kBlobs; ++i) {
      if (running.size() == kInFlight) {
        ok &= running.front().get().ok();
        running.pop_front();
      }
      running.push_back(start(i));
    }
    for (auto& one : running) ok &= one.get().ok();
    return ok;
  }

  void FileLoops() {
    const std::string path = directory_ + "/loop";
    Buffer buffer = Buffer::AllocateForDirectIo(kRecord);
    std::fill(buffer.bytes().begin(), buffer.bytes().end(), std::byte{7});
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
    bool ok = ::fallocate(file, 0, 0, kBlobs * kRecord) == 0;
    const auto write = [&](int sync_every) {
      for (int i = 0; i < kBlobs; ++i) {
        ok &= ::pwrite(file, buffer.data(), kRecord, i * kRecord) == ssize_t{kRecord};
        if (i % sync_every == sync_every - 1) ok &= ::fdatasync(file) == 0;
      }
      return ok;
    };
    Measure("file loop: write, fdatasync every 8", [&] { return write(8); });
    Measure("file loop: write again, the same", [&] { return write(8); });
    Measure("file loop: write again, no sync", [&] { return write(INT32_MAX); });
    ::close(file);
    const int direct = ::open(path.c_str(), O_RDONLY | O_DIRECT);
    Measure("file loop: read, O_DIRECT, 8 threads", [&] {
      std::vector<std::thread> threads;
      for (size_t t = 0; t < kInFlight; ++t) {
        threads.emplace_back([=] {
          Buffer into = Buffer::AllocateForDirectIo(kRecord);
          for (size_t i = t; i < kBlobs; i += kInFlight) {
            if (::pread(direct, into.data(), kRecord, i * kRecord) < 0) std::abort();
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      return true;
    });
    ::close(direct);
    ::unlink(path.c_str());
  }

  // A put that comes with the deletion of the oldest, as in a store that is at its capacity.
  static std::future<absl::Status> Replace(LocalBlobStore& store, int i, const Blob& blob) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    store.Delete(Id(std::to_string(i)), [&store, i, blob, promise](absl::Status deleted) {
      if (!deleted.ok()) return promise->set_value(std::move(deleted));
      store.Put(Id(std::to_string(i + kBlobs)), blob, absl::InfiniteFuture(),
                [promise](absl::Status put) { promise->set_value(std::move(put)); });
    });
    return promise->get_future();
  }

  LocalOptions Options(Durability durability) const {
    LocalOptions options = TestOptions(directory_ + "/store", durability);
    options.segment_bytes = 0;
    return options;
  }

  void Writes(const std::string& name, Durability durability, size_t threads) {
    std::filesystem::remove_all(directory_ + "/store");
    LocalOptions options = Options(durability);
    options.write_threads = threads;
    auto store = OpenStore(options);
    Measure(name + ": write", [&] {
      return Pipeline([&](int i) { return PutAsync(*store, Id(std::to_string(i)), blob_); });
    });
    Measure(name + ": replace",
            [&] { return Pipeline([&](int i) { return Replace(*store, i, blob_); }); });
  }

  void DropPageCache() const {
    for (const std::string& path : SegmentFiles(directory_ + "/store")) {
      const int file = ::open(path.c_str(), O_RDONLY);
      ::fdatasync(file);
      ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      ::close(file);
    }
  }

  // Of what the last Writes left.
  void Reads() {
    for (AsyncIo io : {AsyncIo::kThreads, AsyncIo::kUring}) {
      for (size_t threads : {2, 8}) {
        for (DiskReads reads : {DiskReads::kAuto, DiskReads::kPageCache}) {
          LocalOptions options = Options(Durability::kNone);
          options.io = io;
          options.reads = reads;
          options.read_threads = threads;
          auto store = OpenStore(options);
          if (store == nullptr) continue;
          const std::string name = std::string(io == AsyncIo::kUring ? "uring, " : "threads, ") +
                                   std::to_string(threads) +
                                   (reads == DiskReads::kAuto ? ", auto" : ", page cache");
          const auto read = [&] {
            return Pipeline([&](int i) {
              return GetAsync(*store, Id(std::to_string(kBlobs + i * 7919 % kBlobs)));
            });
          };
          DropPageCache();
          Measure(name + ": read cold", read);
          if (reads == DiskReads::kAuto) continue;
          Measure(name + ": read hot", read);
        }
      }
    }
  }

  const std::string directory_;
  const Blob blob_ = MakeBlob(kSize, 1);
  std::map<std::string, std::vector<Sample>> samples_;
};

}  // namespace
}  // namespace kvstore::testing

int main(int argc, char** argv) {
  kvstore::TuneProcess();
  const kvstore::testing::TempDir temporary;
  kvstore::testing::Benchmark benchmark(argc > 1 ? argv[1] : temporary.path());
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  for (int i = 0; i < rounds; ++i) benchmark.Round(argc > 3 ? argv[3] : "");
  benchmark.Print();
}
