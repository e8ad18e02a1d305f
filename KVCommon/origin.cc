#include "KVCommon/origin.h"

#include <algorithm>
#include <string>

namespace kvstore {

RequestId RequestId::New() { return *Parse(Hex(NewSpanId())); }

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
