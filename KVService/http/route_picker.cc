#include "KVService/http/route_picker.h"

#include <algorithm>
#include <tuple>

namespace kvstore::http {

void RoutePicker::Pick(Route* route, absl::Time now) {
  if (sources_ == nullptr) return;
  const std::vector<std::string>& failed = route->failed;
  route->source.clear();
  route->picked = true;
  // A kept one may be of a source that failed.
  route->fresh = !failed.empty();
  if (failed.size() >= kMaxBoundAttempts) return;
  const auto load = [this](const std::string& source) {
    const Use& use = uses_[source];
    return std::make_tuple(use.active, use.last);
  };
  for (auto& [source, trial] : sources_->For(route->host, now)) {
    if (std::find(failed.begin(), failed.end(), source) != failed.end()) continue;
    if (!route->source.empty() && load(route->source) < load(source)) continue;
    route->source = std::move(source);
    route->fresh = trial;
  }
  route->none_left = route->source.empty() && !failed.empty();
  if (route->source.empty()) return;
  Use& use = uses_[route->source];
  ++use.active;
  use.last = ++picks_;
}

void RoutePicker::ReleaseSource(Route* route) {
  route->picked = false;
  if (!route->source.empty()) --uses_[route->source].active;
}

void RoutePicker::Release(Route* route, bool connected, absl::Time now) {
  if (!route->picked) return;
  ReleaseSource(route);
  if (!connected) return;
  if (!route->source.empty()) sources_->Worked(route->source);
  for (const std::string& failed : route->failed) sources_->Failed(failed, now);
  if (route->none_left) sources_->LeaveUnbound(route->host, now);
}

bool RoutePicker::TryAnother(Route* route) {
  if (!route->picked || route->source.empty()) return false;
  ReleaseSource(route);
  route->failed.push_back(route->source);
  return true;
}

bool RoutePicker::Lost(const Route& route) const {
  return route.picked && !route.source.empty() && !sources_->Exists(route.source);
}

}  // namespace kvstore::http
