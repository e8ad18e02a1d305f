#include "KVCommon/origin.h"

#include <algorithm>

namespace kvstore {

// Every call has one: no allocation.
RequestId RequestId::New() {
  static constexpr char kDigits[] = "0123456789abcdef";
  RequestId id;
  for (const uint8_t byte : NewSpanId()) {
    id.bytes_[id.size_++] = kDigits[byte >> 4];
    id.bytes_[id.size_++] = kDigits[byte & 15];
  }
  return id;
}

std::optional<RequestId> RequestId::Parse(std::string_view text) {
  const bool visible =
      std::all_of(text.begin(), text.end(), [](char c) { return c > 32 && c < 127; });
  if (text.empty() || text.size() > kMaxBytes || !visible) return std::nullopt;
  RequestId id;
  id.size_ = static_cast<uint8_t>(text.size());
  std::copy(text.begin(), text.end(), id.bytes_.begin());
  return id;
}

}  // namespace kvstore
