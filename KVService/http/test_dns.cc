#include "KVService/http/test_dns.h"

#include <dlfcn.h>
#include <netdb.h>

#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace kvstore::testing {

namespace {

struct Resolver {
  absl::Mutex mutex;
  Dns mode ABSL_GUARDED_BY(mutex) = Dns::kAnswers;
  absl::Time until ABSL_GUARDED_BY(mutex) = absl::InfiniteFuture();
  int changes ABSL_GUARDED_BY(mutex) = 0;
};

// Never destroyed: a thread of libcurl's may be in here when the process ends.
Resolver& TheResolver() {
  static auto* resolver = new Resolver;
  return *resolver;
}

// Returns when it does not stall; whether it answers.
bool Answers() {
  Resolver& resolver = TheResolver();
  absl::MutexLock lock(&resolver.mutex);
  while (absl::Now() < resolver.until && resolver.mode != Dns::kAnswers) {
    if (resolver.mode == Dns::kFails) return false;
    const auto changed = [&resolver, before = resolver.changes]()
                             ABSL_NO_THREAD_SAFETY_ANALYSIS { return resolver.changes != before; };
    resolver.mutex.AwaitWithDeadline(absl::Condition(&changed), resolver.until);
  }
  return true;
}

}  // namespace

void SetDns(Dns mode, absl::Duration time) {
  Resolver& resolver = TheResolver();
  absl::MutexLock lock(&resolver.mutex);
  resolver.mode = mode;
  resolver.until = absl::Now() + time;
  ++resolver.changes;
}

}  // namespace kvstore::testing

// The program's own comes before the C library's, for shared libraries too.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (node == nullptr || !std::string_view(node).ends_with(kvstore::testing::kTestDomain)) {
    return real(node, service, hints, result);
  }
  if (!kvstore::testing::Answers()) return EAI_AGAIN;
  return real("127.0.0.1", service, hints, result);
}
