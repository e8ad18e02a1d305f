// Name resolution that fails as a test says, in the test's own process: what links this asks it
// instead of the system, libcurl included.
#ifndef KVSERVICE_HTTP_TEST_DNS_H_
#define KVSERVICE_HTTP_TEST_DNS_H_

#include "absl/time/time.h"

namespace kvstore::testing {

// Names under this are 127.0.0.1; all others are the system's matter.
inline constexpr char kTestDomain[] = ".kvtest";

enum class Dns {
  kAnswers,
  kFails,   // "try again", at once
  kStalls,  // no answer while it lasts
};

// Of the names under kTestDomain, for that long; then it answers again. Ends what lasted before.
// Thread-safe.
void SetDns(Dns mode, absl::Duration time = absl::Seconds(60));

}  // namespace kvstore::testing

#endif  // KVSERVICE_HTTP_TEST_DNS_H_
