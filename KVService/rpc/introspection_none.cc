#include "KVService/rpc/introspection.h"

namespace kvstore {

absl::Status OfferReflection() {
  return absl::FailedPreconditionError("--reflection is not there on this system");
}

absl::Status OfferChannelz() {
  return absl::FailedPreconditionError("--channelz is not there on this system");
}

}  // namespace kvstore
