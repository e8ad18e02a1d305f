// local_blob_store_benchmark [directory]: MB/s of the local store, 1,258,291-byte blobs, 8 in
// flight, for every durability; reads from the page cache and direct.
#include <chrono>
#include <cstdio>
#include <deque>

#include "KVCommon/tune_process.h"
#include "KVService/storage/local/local_store_testing.h"

namespace kvstore::testing {
namespace {

constexpr int kBlobs = 800;
constexpr int kInFlight = 8;
constexpr size_t kSize = 1258291;

template <typename Start>
double MegabytesPerSecond(Start start) {
  const auto begin = std::chrono::steady_clock::now();
  std::deque<decltype(start(0))> running;
  for (int i = 0; i < kBlobs; ++i) {
    if (running.size() == kInFlight) {
      if (!running.front().get().ok()) return -1;
      running.pop_front();
    }
    running.push_back(start(i));
  }
  for (auto& one : running) {
    if (!one.get().ok()) return -1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return kBlobs * (kSize / 1e6) / took.count();
}

void Measure(const std::string& parent, const char* name, Durability durability) {
  const std::string directory = parent + "/" + name;
  const Blob blob = MakeBlob(kSize, 1);
  LocalOptions options = TestOptions(directory, durability);
  options.segment_bytes = 0;
  auto store = OpenStore(options);
  const double write =
      MegabytesPerSecond([&](int i) { return PutAsync(*store, Id(std::to_string(i)), blob); });
  const auto read = [&](int i) { return GetAsync(*store, Id(std::to_string(i * 7919 % kBlobs))); };
  const double hot = MegabytesPerSecond(read);
  if (!store->Close().ok()) std::printf("close failed\n");
  options.direct_reads = true;
  store = OpenStore(options);
  std::printf("%-6s write %5.0f  read page cache %5.0f  read direct %5.0f  MB/s\n", name, write,
              hot, MegabytesPerSecond(read));
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
  kv::Measure(directory, "none", kvstore::Durability::kNone);
  kv::Measure(directory, "batch", kvstore::Durability::kBatch);
  kv::Measure(directory, "each", kvstore::Durability::kEach);
}
