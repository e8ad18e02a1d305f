// local_blob_store_benchmark [directory]: MB/s and CPU seconds a GB of the local store, blobs of
// 1,258,291 bytes, for every durability: written into an empty store and into a full one, where each
// takes the place of an older one; read from the page cache and from the disk, both ways of waiting.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <deque>

#include "KVCommon/tune_process.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

constexpr int kBlobs = 800;
constexpr size_t kInFlight = 8;
constexpr size_t kSize = 1258291;

double CpuSeconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return t.tv_sec + t.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Prints the rate of `start(0)` to `start(kBlobs - 1)`, `kInFlight` at a time.
template <typename Start>
void Measure(const char* name, Start start) {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu = CpuSeconds();
  std::deque<decltype(start(0))> running;
  bool failed = false;
  for (int i = 0; i < kBlobs; ++i) {
    if (running.size() == kInFlight) {
      failed |= !running.front().get().ok();
      running.pop_front();
    }
    running.push_back(start(i));
  }
  for (auto& one : running) failed |= !one.get().ok();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  constexpr double kGigabytes = kBlobs * (kSize / 1e9);
  std::printf("  %s %.0f MB/s %.2f s/GB%s", name, kGigabytes * 1e3 / took.count(),
              (CpuSeconds() - cpu) / kGigabytes, failed ? " FAILED" : "");
  std::fflush(stdout);
}

void DropPageCache(const std::string& directory) {
  for (const std::string& path : SegmentFiles(directory)) {
    const int file = ::open(path.c_str(), O_RDONLY);
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

// A put that comes with the deletion of the oldest, as in a store that is at its capacity.
std::future<absl::Status> Replace(LocalBlobStore& store, int i, const Blob& blob) {
  auto promise = std::make_shared<std::promise<absl::Status>>();
  store.Delete(Id(std::to_string(i)), [&store, i, blob, promise](absl::Status deleted) {
    if (!deleted.ok()) return promise->set_value(std::move(deleted));
    store.Put(Id(std::to_string(i + kBlobs)), blob, absl::InfiniteFuture(),
              [promise](absl::Status put) { promise->set_value(std::move(put)); });
  });
  return promise->get_future();
}

void MeasureDurability(const std::string& parent, const char* name, Durability durability,
                       size_t write_threads) {
  const std::string directory = parent + "/" + name;
  const Blob blob = MakeBlob(kSize, 1);
  LocalOptions options = TestOptions(directory, durability);
  options.segment_bytes = 0;
  options.write_threads = write_threads;
  std::printf("%s, %zu write threads:", name, write_threads);
  auto store = OpenStore(options);
  Measure("write", [&](int i) { return PutAsync(*store, Id(std::to_string(i)), blob); });
  Measure("replace", [&](int i) { return Replace(*store, i, blob); });
  if (!store->Close().ok()) std::printf("close failed\n");
  const auto read = [&](int i) {
    return GetAsync(*store, Id(std::to_string(kBlobs + i * 7919 % kBlobs)));
  };
  if (durability == Durability::kNone) {
    for (AsyncIo io : {AsyncIo::kThreads, AsyncIo::kUring}) {
      for (size_t threads : {2, 8}) {
        options.io = io;
        options.read_threads = threads;
        std::printf("\n  %s, %zu read threads:", io == AsyncIo::kUring ? "io_uring" : "threads",
                    threads);
        options.reads = DiskReads::kAuto;
        store = OpenStore(options);
        if (store == nullptr) return;
        Measure("hot, auto", read);
        DropPageCache(directory);
        Measure("cold, auto", read);
        options.reads = DiskReads::kPageCache;
        store.reset();
        store = OpenStore(options);
        DropPageCache(directory);
        Measure("cold, page cache", read);
        store.reset();
      }
    }
  }
  std::printf("\n");
  store.reset();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace kvstore::testing

int main(int argc, char** argv) {
  namespace kv = kvstore::testing;
  kvstore::TuneProcess();
  const kv::TempDir temporary;
  const std::string directory = argc > 1 ? argv[1] : temporary.path();
  for (size_t threads : {2, 4}) {
    kv::MeasureDurability(directory, "none", kvstore::Durability::kNone, threads);
    kv::MeasureDurability(directory, "batch", kvstore::Durability::kBatch, threads);
    kv::MeasureDurability(directory, "each", kvstore::Durability::kEach, threads);
  }
}
