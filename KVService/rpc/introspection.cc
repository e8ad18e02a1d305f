#include "KVService/rpc/introspection.h"

#include <grpcpp/ext/channelz_service_plugin.h>

#include "KVService/platform/shared_library.h"
#include "kvstore.pb.h"

namespace kvstore {

absl::Status OfferReflection() {
  // Else the linker leaves the descriptions out, since nobody else uses the generated code.
  google::protobuf::LinkMessageReflection<LookupRequest>();
  // Whoever links it offers reflection, asked or not.
  return LoadSharedLibrary(KVSTORE_REFLECTION_LIBRARY);
}

absl::Status OfferChannelz() {
  grpc::channelz::experimental::InitChannelzService();
  return absl::OkStatus();
}

}  // namespace kvstore
