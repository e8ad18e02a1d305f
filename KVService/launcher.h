// `--numa auto` on a machine of several nodes: starts a server for each, keeps them running, and
// stops them.
#ifndef KVSERVICE_LAUNCHER_H_
#define KVSERVICE_LAUNCHER_H_

#include <string>
#include <vector>

#include "KVService/options.h"
#include "KVService/platform/numa.h"
#include "absl/status/status.h"

namespace kvstore {

// Returns once SIGINT or SIGTERM was passed on to the servers and all have ended: OK if each did
// well, and within a minute. SIGHUP is passed on, too. A server that ends by itself is started
// again, after a rest. Their lines come out here as "[node N] …"; how many are up is a line of the
// log at each change, and a metric where the options have a metrics port. `arguments` is what the
// options were parsed from. REQUIRES: homes; no other thread has started.
absl::Status RunServers(const ServerOptions& options, const std::vector<NumaNode>& homes,
                        const std::vector<std::string>& arguments);

}  // namespace kvstore

#endif  // KVSERVICE_LAUNCHER_H_
