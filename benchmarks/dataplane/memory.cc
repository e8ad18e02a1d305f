#include "benchmarks/dataplane/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace kvstore::bench {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;

const std::vector<uint64_t>& Noise() {
  static const std::vector<uint64_t> noise = [] {
    std::vector<uint64_t> made((1 << 20) / sizeof(uint64_t));
    std::mt19937_64 random;
    for (uint64_t& word : made) word = random();
    return made;
  }();
  return noise;
}

// Both are hints: without them first touches take their time.
void Populate(std::byte* begin, size_t bytes) {
  madvise(begin, bytes, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
  madvise(begin, bytes, MADV_POPULATE_WRITE);
#endif
}

}  // namespace

Memory::Memory(size_t slots, size_t bytes)
    : bytes_(bytes), mapped_bytes_(slots * bytes + 2 * kLargePage) {
  void* mapped =
      mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) std::abort();
  mapped_ = static_cast<std::byte*>(mapped);
  size_t space = mapped_bytes_;
  data_ = static_cast<std::byte*>(std::align(kLargePage, slots * bytes, mapped, space));
  Populate(data_, (slots * bytes + kLargePage - 1) / kLargePage * kLargePage);
  const auto* noise = reinterpret_cast<const std::byte*>(Noise().data());
  const size_t noise_bytes = Noise().size() * sizeof(uint64_t);
  for (size_t at = 0; at < slots * bytes; at += noise_bytes) {
    std::memcpy(data_ + at, noise, std::min(noise_bytes, slots * bytes - at));
  }
}

Memory::~Memory() { munmap(mapped_, mapped_bytes_); }

void WarmHeap(size_t bytes) {
  mallopt(M_ARENA_MAX, 1);
  void* const whole = std::malloc(bytes + kLargePage);
  void* begin = whole;
  size_t space = bytes + kLargePage;
  if (std::align(kLargePage, bytes, begin, space) != nullptr) {
    Populate(static_cast<std::byte*>(begin), bytes);
  }
  std::free(whole);
}

}  // namespace kvstore::bench
