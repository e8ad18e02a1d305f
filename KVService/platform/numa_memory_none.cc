#include "KVService/platform/numa.h"

namespace kvstore {

absl::Status PreferMemoryOfNode(int) {
  return absl::UnimplementedError("this build is without libnuma");
}

}  // namespace kvstore
