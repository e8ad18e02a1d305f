// Whether a service can be called, as grpc.health.v1 tells it; without gRPC's types.
#ifndef KVSERVICE_RPC_HEALTH_H_
#define KVSERVICE_RPC_HEALTH_H_

#include <functional>
#include <string_view>

namespace kvstore {

enum class Health { kUnknown = 0, kServing = 1, kNotServing = 2, kNoSuchService = 3 };

// Of a service or tier by name, now; "" is the server. Called on queues' threads; quick.
using HealthSource = std::function<Health(std::string_view service)>;

}  // namespace kvstore

#endif  // KVSERVICE_RPC_HEALTH_H_
