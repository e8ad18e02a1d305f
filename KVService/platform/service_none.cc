#include "KVService/platform/service.h"

namespace kvstore {
namespace {

absl::Status None() {
  return absl::UnimplementedError("services of the system are Windows'; use systemd here");
}

}  // namespace

bool HasServices() { return false; }

absl::Status InstallService(const std::string&, const std::vector<std::string>&) { return None(); }

absl::Status RemoveService(const std::string&) { return None(); }

absl::StatusOr<int> RunService(const std::string&, std::function<int()>) { return None(); }

std::string LogOfService(const std::string&) { return ""; }

}  // namespace kvstore
