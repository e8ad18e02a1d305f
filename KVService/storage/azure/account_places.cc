#include "KVService/storage/azure/account_places.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <memory>

#include "KVCommon/status_macros.h"
#include "absl/strings/ascii.h"

namespace kvstore {

absl::Status CheckAzureContainer(const std::string& container) {
  const bool fits = container.size() >= 3 && container.size() <= 63 && container.front() != '-' &&
                    container.back() != '-' && container.find("--") == std::string::npos &&
                    std::all_of(container.begin(), container.end(), [](unsigned char c) {
                      return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                    });
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("container '{}' cannot be one of Azure Blob Storage: such names have 3 to 63 "
                  "lower-case letters, digits and single hyphens between those",
                  container));
}

absl::StatusOr<AzurePlace> AccountPlaces::Resolve(const std::string& account,
                                                  const std::string& container) {
  KV_ASSIGN_OR_RETURN(const std::shared_ptr<const Account> found,
                      accounts_->Resolve(account, container));
  KV_RETURN_IF_ERROR(CheckAzureContainer(container));
  KV_ASSIGN_OR_RETURN(azure::CredentialFactory::Made made, credentials_->EndpointAnd(*found));
  AzurePlace place;
  place.endpoint = std::move(made.endpoint);
  place.credential = std::move(made.credential);
  place.container = container;
  return place;
}

std::vector<std::pair<std::string, std::string>> AccountPlaces::Known() {
  std::vector<std::pair<std::string, std::string>> known;
  for (const std::shared_ptr<const Account>& account : accounts_->Known()) {
    for (const std::string& container : account->containers) {
      known.emplace_back(account->name, container);
    }
  }
  return known;
}

}  // namespace kvstore
