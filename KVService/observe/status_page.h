// The status page itself: one document with all that it needs in it. What it shows it gets from
// status.json beside it.
#ifndef KVSERVICE_OBSERVE_STATUS_PAGE_H_
#define KVSERVICE_OBSERVE_STATUS_PAGE_H_

#include <string>

namespace kvstore {

struct StatusPage {
  std::string html;
  // The Content-Security-Policy it works under: its own style and script, by their hashes, and
  // requests to where it came from. Should an escape be missing somewhere, nothing runs and nothing
  // is sent elsewhere.
  std::string policy;
};

// Made once; lives for ever.
const StatusPage& TheStatusPage();

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_STATUS_PAGE_H_
