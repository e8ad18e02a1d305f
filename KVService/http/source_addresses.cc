#include "KVService/http/source_addresses.h"

#include <algorithm>
#include <utility>

namespace kvstore::http {

SourceAddresses::SourceAddresses(ListInterfaces list) : list_(std::move(list)) { Refresh(); }

SourceAddresses::~SourceAddresses() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void SourceAddresses::Watch(std::function<void()> on_removal) {
  thread_ = std::thread([this, on_removal = std::move(on_removal)] { Run(on_removal); });
}

void SourceAddresses::Run(const std::function<void()>& on_removal) {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), kInterfaceRefresh)) return;
    }
    if (Refresh()) on_removal();
  }
}

std::vector<SourceAddresses::Address> SourceAddresses::AddressesOf(
    const std::vector<NetworkInterface>& interfaces) {
  std::vector<Address> addresses;
  for (const NetworkInterface& interface : interfaces) {
    for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
      const auto it = std::find_if(interface.addresses.begin(), interface.addresses.end(),
                                   [&](const std::string& a) { return FamilyOf(a) == family; });
      if (it == interface.addresses.end()) continue;
      Address address;
      address.text = *it;
      address.family = family;
      address.loopback = IsLoopback(*it);
      addresses.push_back(std::move(address));
    }
  }
  return addresses;
}

bool SourceAddresses::Refresh() {
  auto interfaces = list_();
  if (!interfaces.ok()) return false;  // what was there last is the best guess
  std::vector<Address> fresh = AddressesOf(*interfaces);
  absl::MutexLock lock(&mutex_);
  for (Address& address : fresh) {
    if (const Address* known = Find(address.text)) address = *known;
  }
  bool removed = false;
  for (const Address& old : addresses_) {
    removed |= std::none_of(fresh.begin(), fresh.end(),
                            [&](const Address& a) { return a.text == old.text; });
  }
  addresses_ = std::move(fresh);
  return removed;
}

SourceAddresses::Address* SourceAddresses::Find(const std::string& text) {
  const auto it = std::find_if(addresses_.begin(), addresses_.end(),
                               [&](const Address& a) { return a.text == text; });
  return it == addresses_.end() ? nullptr : &*it;
}

// A name may have addresses of both families: the one with more sources is taken, and where the
// name has none of these, the caller ends at LeaveUnbound.
std::vector<SourceAddresses::Address*> SourceAddresses::Fitting(const std::string& host) {
  const AddressFamily wanted = FamilyOf(host);
  const bool local = IsLoopback(host);
  std::vector<Address*> best;
  for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
    if (wanted != AddressFamily::kNone && wanted != family) continue;
    std::vector<Address*> fitting;
    for (Address& address : addresses_) {
      if (address.family == family && (address.loopback || !local)) fitting.push_back(&address);
    }
    if (fitting.size() > best.size()) best = std::move(fitting);
  }
  return best;
}

std::vector<SourceAddresses::Source> SourceAddresses::For(const std::string& host, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (const auto it = unbound_.find(host); it != unbound_.end()) {
    if (now < it->second) return {};
    unbound_.erase(it);
  }
  const std::vector<Address*> fitting = Fitting(host);
  if (fitting.size() > 1) had_several_ = true;
  if (!had_several_) return {};
  std::vector<Source> rested, all;
  for (Address* address : fitting) {
    const Source source{address->text, address->failures > 0};
    all.push_back(source);
    if (now < address->rests_until) continue;
    if (source.trial) {
      address->on_trial = true;
      address->rests_until = now + kBoundConnectTimeout;  // for all others
    }
    rested.push_back(source);
  }
  return rested.empty() ? all : rested;
}

void SourceAddresses::Failed(const std::string& address, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  Address* const known = Find(address);
  if (known == nullptr) return;
  // Of requests that fail together the first counts, or one break would look like many.
  if (known->failures > 0 && !known->on_trial) return;
  absl::Duration rest = kFirstRest;
  for (int i = 0; i < known->failures && rest < kLongestRest; ++i) rest *= 2;
  ++known->failures;
  known->on_trial = false;
  known->rests_until = now + std::min(rest, kLongestRest);
}

void SourceAddresses::Worked(const std::string& address) {
  absl::MutexLock lock(&mutex_);
  Address* const known = Find(address);
  if (known == nullptr || known->failures == 0) return;
  known->failures = 0;
  known->on_trial = false;
  known->rests_until = absl::InfinitePast();
}

void SourceAddresses::LeaveUnbound(const std::string& host, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (unbound_.size() >= kMaxUnboundHosts) unbound_.clear();
  unbound_[host] = now + kUnboundTime;
}

bool SourceAddresses::Exists(const std::string& address) const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const Address& a) { return a.text == address; });
}

}  // namespace kvstore::http
