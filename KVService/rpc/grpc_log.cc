#include "KVService/rpc/grpc_log.h"

#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

constexpr size_t kMostBytes = 400;
constexpr int kMostASecond = 10;

// Which lines may go out.
class Allowance {
 public:
  // Whether the next may; then how many could not since the last that did.
  bool Take(int64_t* left_out) {
    const int64_t second = absl::ToUnixSeconds(absl::Now());
    absl::MutexLock lock(&mutex_);
    if (second != second_) {
      second_ = second;
      used_ = 0;
    }
    if (used_ == kMostASecond) {
      ++left_out_;
      return false;
    }
    ++used_;
    *left_out = std::exchange(left_out_, 0);
    return true;
  }

 private:
  absl::Mutex mutex_;
  int64_t second_ ABSL_GUARDED_BY(mutex_) = 0;
  int used_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

void Log(gpr_log_func_args* line) {
  static Allowance allowance;
  int64_t left_out = 0;
  if (!allowance.Take(&left_out)) return;
  std::string_view file = line->file;
  file.remove_prefix(file.rfind('/') + 1);  // 0 where there is none
  const absl::string_view message = absl::string_view(line->message).substr(0, kMostBytes);
  spdlog::log(line->severity == GPR_LOG_SEVERITY_ERROR ? spdlog::level::err : spdlog::level::info,
              "grpc file={}:{} left_out={} message=\"{}\"", file, line->line, left_out,
              absl::CHexEscape(message));
}

}  // namespace

void TakeGrpcLog() {
  if (std::getenv("GRPC_TRACE") == nullptr && std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function(&Log);
  }
}

}  // namespace kvstore
