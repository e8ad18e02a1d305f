// What clients may take of a server, all together and each tenant.
#ifndef KVSERVICE_ADMISSION_LIMITS_H_
#define KVSERVICE_ADMISSION_LIMITS_H_

#include <cstdint>

namespace kvstore {

// Of the whole server. A tenant, or a connection, may take up to twice what is left of each: alone
// two thirds, beside others that take all they can about as much as each of them, and something is
// always left for one who comes (the dynamic thresholds of Choudhury and Hahne, 1998).
struct ServerLimits {
  int64_t calls = 4096;                        // at a time
  int64_t upload_bytes = int64_t{512} << 20;   // of requests on their way in
  int64_t answer_bytes = int64_t{2048} << 20;  // of answers that clients have not taken yet
};

// Of one tenant, in addition; 0: none.
struct TenantLimits {
  int64_t calls = 0;             // at a time
  int64_t calls_per_second = 0;  // a second's worth may come at once
  int64_t bytes_per_second = 0;  // of blocks moved, both ways

  bool has_rates() const { return calls_per_second > 0 || bytes_per_second > 0; }
  friend bool operator==(const TenantLimits&, const TenantLimits&) = default;
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_LIMITS_H_
