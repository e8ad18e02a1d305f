#include "KVService/index/bloom_filter.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "KVCommon/status_macros.h"
#include "absl/numeric/int128.h"

namespace kvstore {

namespace {

constexpr int kLineBits = 512;
constexpr int kWords = kLineBits / 64;

// Lines fill unevenly, which costs a blocked filter this much more than Bloom's own.
constexpr double kBlockedBits = 1.25;

// splitmix64's finalizer (Steele, Lea and Flood, 2014): the key's upper bits chose the line
// already.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

struct BloomFilter::Layer {
  struct alignas(64) Line {
    std::array<std::atomic<uint64_t>, kWords> words{};
  };

  Layer(uint64_t keys, double rate)
      : capacity(keys),
        bits_a_key(std::clamp(static_cast<int>(std::lround(-std::log2(rate))), 1, 16)),
        lines(static_cast<uint64_t>(std::ceil(static_cast<double>(keys) * kBlockedBits *
                                              -std::log2(rate) / std::log(2.0) / kLineBits)) +
              1),
        table(std::make_unique<Line[]>(lines)) {}

  Line& LineOf(uint64_t key) const {
    return table[absl::Uint128High64(absl::uint128(key) * lines)];
  }

  // Visits the key's bits as a mask for each word, until `visit` says to stop.
  template <typename Visit>
  void VisitBits(uint64_t key, Visit visit) const {
    uint64_t bits = 0;
    for (int i = 0; i < bits_a_key; ++i) {
      if (i % 7 == 0) bits = Mix(key + static_cast<uint64_t>(i));  // 7 times 9 bits
      const int bit = static_cast<int>(bits % kLineBits);
      bits /= kLineBits;
      if (!visit(bit / 64, uint64_t{1} << (bit % 64))) return;
    }
  }

  bool Add(uint64_t key) {
    Line& line = LineOf(key);
    bool changed = false;
    VisitBits(key, [&](int word, uint64_t mask) {
      if ((line.words[word].load(std::memory_order_relaxed) & mask) == 0) {
        changed |= (line.words[word].fetch_or(mask, std::memory_order_relaxed) & mask) == 0;
      }
      return true;
    });
    if (changed) keys.fetch_add(1, std::memory_order_relaxed);
    return changed;
  }

  bool MayContain(uint64_t key) const {
    const Line& line = LineOf(key);
    bool all = true;
    VisitBits(key, [&](int word, uint64_t mask) {
      all = (line.words[word].load(std::memory_order_relaxed) & mask) != 0;
      return all;
    });
    return all;
  }

  const uint64_t capacity;
  const int bits_a_key;
  const uint64_t lines;
  const std::unique_ptr<Line[]> table;
  std::atomic<uint64_t> keys = 0;
};

BloomFilter::BloomFilter(uint64_t capacity, double false_positive_rate)
    : capacity_(capacity), rate_(false_positive_rate) {
  KV_CHECK(capacity > 0 && false_positive_rate > 0 && false_positive_rate < 1);
  // Layers add up: with r/2, r/4, … the sum stays below r.
  layers_[0] = new Layer(capacity_, rate_ / 2);
  count_ = 1;
}

BloomFilter::~BloomFilter() {
  for (std::atomic<Layer*>& layer : layers_) delete layer.load();
}

void BloomFilter::Add(uint64_t key) {
  if (MayContain(key)) return;
  size_t count = count_.load(std::memory_order_acquire);
  Layer* layer = layers_[count - 1].load(std::memory_order_acquire);
  if (layer->keys.load(std::memory_order_relaxed) >= layer->capacity && count < kMaxLayers) {
    absl::MutexLock lock(&grow_mutex_);
    if (count_.load(std::memory_order_relaxed) == count) {
      layers_[count].store(new Layer(capacity_ << count, rate_ / std::exp2(count + 1)),
                           std::memory_order_release);
      count_.store(count + 1, std::memory_order_release);
    }
    layer = layers_[count_.load(std::memory_order_relaxed) - 1].load(std::memory_order_acquire);
  }
  layer->Add(key);
}

bool BloomFilter::MayContain(uint64_t key) const {
  // The youngest, which is the largest, first.
  for (size_t i = count_.load(std::memory_order_acquire); i > 0; --i) {
    if (layers_[i - 1].load(std::memory_order_acquire)->MayContain(key)) return true;
  }
  return false;
}

uint64_t BloomFilter::memory_bytes() const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count_.load(std::memory_order_acquire); ++i) {
    bytes += layers_[i].load(std::memory_order_acquire)->lines * sizeof(Layer::Line);
  }
  return bytes;
}

BloomStats BloomFilter::stats() const {
  BloomStats stats;
  double none = 1;
  stats.layers = static_cast<int>(count_.load(std::memory_order_acquire));
  for (int i = 0; i < stats.layers; ++i) {
    const Layer& layer = *layers_[static_cast<size_t>(i)].load(std::memory_order_acquire);
    stats.keys += layer.keys.load(std::memory_order_relaxed);
    stats.bytes += layer.lines * sizeof(Layer::Line);
    // The mean over lines of what each answers; a sample is enough.
    const uint64_t step = std::max<uint64_t>(1, layer.lines / 4096);
    double sum = 0, set_share = 0;
    uint64_t looked_at = 0;
    for (uint64_t line = 0; line < layer.lines; line += step, ++looked_at) {
      int set = 0;
      for (const auto& word : layer.table[line].words) {
        set += std::popcount(word.load(std::memory_order_relaxed));
      }
      sum += std::pow(static_cast<double>(set) / kLineBits, layer.bits_a_key);
      set_share += static_cast<double>(set) / kLineBits;
    }
    stats.fill += set_share / static_cast<double>(looked_at) *
                  static_cast<double>(layer.lines * sizeof(Layer::Line));
    none *= 1 - sum / static_cast<double>(looked_at);
  }
  if (stats.bytes > 0) stats.fill /= static_cast<double>(stats.bytes);
  stats.false_positive_rate = 1 - none;
  return stats;
}

}  // namespace kvstore
