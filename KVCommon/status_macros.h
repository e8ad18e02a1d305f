// The status macros that Debian's abseil lacks.
#ifndef KVCOMMON_STATUS_MACROS_H_
#define KVCOMMON_STATUS_MACROS_H_

#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define KV_CONCAT_INNER(a, b) a##b
#define KV_CONCAT(a, b) KV_CONCAT_INNER(a, b)

#define KV_RETURN_IF_ERROR(expr)                                            \
  do {                                                                      \
    if (absl::Status kv_status = (expr); !kv_status.ok()) return kv_status; \
  } while (false)

// KV_ASSIGN_OR_RETURN(auto value, Compute());
#define KV_ASSIGN_OR_RETURN(lhs, expr) \
  KV_ASSIGN_OR_RETURN_INNER(KV_CONCAT(kv_status_or_, __LINE__), lhs, expr)
#define KV_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return std::move(tmp).status();  \
  lhs = *std::move(tmp)

// For our own bugs only, never for input.
#define KV_CHECK(condition)                                                              \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

#endif  // KVCOMMON_STATUS_MACROS_H_
