#include "KVService/rpc/requests.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/accounts/account_name.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

// Where a caller sets no deadline.
constexpr absl::Duration kLongestCall = absl::Minutes(5);

}  // namespace

absl::StatusOr<Container> ContainerOf(const std::string& resource_name,
                                      const std::string& container_name) {
  KV_ASSIGN_OR_RETURN(std::string account, AccountNameOf(resource_name));
  if (container_name.empty()) return absl::InvalidArgumentError("container_name is missing");
  if (account.size() > kMaxAccountBytes || container_name.size() > kMaxAccountBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "the account's name or container_name is longer than {} bytes", kMaxAccountBytes));
  }
  if (account.find('\0') != std::string::npos || container_name.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("resource_name or container_name contains a NUL byte");
  }
  return Container{std::move(account), container_name};
}

absl::Status CheckLocation(const std::string& location) {
  if (!location.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("location is missing: pass one that Lookup returned");
}

absl::Status CheckLength(std::string_view field, const std::string& value) {
  if (value.size() <= kMaxNameBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} is longer than {} bytes", field, kMaxNameBytes));
}

absl::Status NotLetIn(CallGate::State state) {
  return absl::UnavailableError(state == CallGate::State::kDraining
                                    ? "the server is being drained: use another"
                                    : "the server is shutting down");
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // absl's codes are gRPC's, number by number.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

std::string_view CodeName(absl::StatusCode code) {
  const auto index = static_cast<size_t>(code);
  return index < kGrpcCodes.size() ? kGrpcCodes[index] : kGrpcCodes[kUnknownGrpcCode];
}

void LogFailure(const RpcRecord& call, const absl::Status& status) {
  if (status.ok()) return;
  const std::string id(call.origin == nullptr ? "-" : call.origin->request_id.view());
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      spdlog::error("call failed rpc={} code={} request_id={} error=\"{}\"", call.rpc,
                    CodeName(status.code()), id, std::string(status.message()));
      return;
    default:
      spdlog::debug("call refused rpc={} code={} request_id={} error=\"{}\"", call.rpc,
                    CodeName(status.code()), id, std::string(status.message()));
  }
}

absl::Time DeadlineOf(std::chrono::system_clock::time_point deadline) {
  return std::min(absl::FromChrono(deadline), absl::Now() + kLongestCall);
}

}  // namespace kvstore
