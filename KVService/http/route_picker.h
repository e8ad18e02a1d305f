// How a request leaves this machine: from which of its addresses, and which were tried in vain.
#ifndef KVSERVICE_HTTP_ROUTE_PICKER_H_
#define KVSERVICE_HTTP_ROUTE_PICKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "KVService/http/source_addresses.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace kvstore::http {

// At most so many addresses are tried for one request before it is left to the system.
inline constexpr size_t kMaxBoundAttempts = 3;

struct Route {
  std::string host;                 // that it leads to
  std::string source;               // the local address to bind to; empty: the system's choice
  std::vector<std::string> failed;  // sources from which no connection was made
  bool fresh = false;               // a connection that is kept alive will not do
  bool none_left = false;           // all sources failed, and this is the last resort
  bool picked = false;              // between Pick and Release
};

// Spreads the requests of one loop evenly: each takes the address that has the fewest under
// way, of these the one that was used longest ago. Since so many connections of each address are
// kept as it needed at most, they are reused. Not thread-safe; SourceAddresses, of all loops, is.
class RoutePicker {
 public:
  // Null: every route is the system's. Outlives this.
  explicit RoutePicker(SourceAddresses* sources) : sources_(sources) {}

  // Sets the source. REQUIRES: the route is not picked.
  void Pick(Route* route, absl::Time now);

  // After its end. `connected`: a connection was there, whatever came of the request. What failed
  // before is then the sources' fault.
  void Release(Route* route, bool connected, absl::Time now);

  // After no connection could be made: releases the route; true if the next Pick is another one.
  bool TryAnother(Route* route);

  // Whether it is bound to an address that is no longer there.
  bool Lost(const Route& route) const;

 private:
  struct Use {
    size_t active = 0;
    uint64_t last = 0;  // the number of the pick
  };
  void ReleaseSource(Route* route);

  SourceAddresses* const sources_;
  absl::flat_hash_map<std::string, Use> uses_;  // of the addresses seen so far: few
  uint64_t picks_ = 0;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_ROUTE_PICKER_H_
