#include "KVPlayground/prefix_ledger.h"

#include <cstring>
#include <utility>

namespace kvstore::playground {

PrefixLedger::Admission PrefixLedger::Admit(uint64_t request, std::span<const Digest> digests) {
  Admission admission;
  for (const Digest& digest : digests) {
    Key key;
    std::memcpy(&key.first, digest.data(), sizeof(key.first));
    std::memcpy(&key.second, digest.data() + sizeof(key.first), sizeof(key.second));
    const auto [entry, inserted] = owners_.try_emplace(key, request);
    // A digest covers the whole prefix: behind the first new one all are new.
    if (inserted) continue;
    ++admission.seen;
    admission.owner = entry->second;
  }
  blocks_ += digests.size();
  seen_ += admission.seen;
  return admission;
}

double PrefixLedger::IdealHitRatio() const {
  return blocks_ == 0 ? 0 : static_cast<double>(seen_) / static_cast<double>(blocks_);
}

}  // namespace kvstore::playground
