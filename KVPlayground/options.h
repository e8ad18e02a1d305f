// The command line.
#ifndef KVPLAYGROUND_OPTIONS_H_
#define KVPLAYGROUND_OPTIONS_H_

#include <cstddef>
#include <iosfwd>
#include <string>
#include <variant>
#include <vector>

#include "KVTypes.h"
#include "kvstore/client.h"

namespace kvstore::playground {

struct Options {
  std::string tokens_file;  // either this
  std::string trace_file;   // or this
  size_t iterations = 1;
  size_t concurrency = 1;
  // Concurrencies to play everything at in turn, ascending; empty: once, at `concurrency`.
  std::vector<size_t> sweep;

  std::string server;      // empty: the client's own default
  TlsOptions tls;          // empty: the environment's
  std::string token_file;  // empty: the environment's
  std::string storage = "https://localaccount.blob.core.windows.net";
  std::string container = "kvstore";
  std::string partition = "playground";
  bool shared_partition = false;
  size_t buffer_bytes = 1'258'291;
  double timeout_seconds = 30;

  double speed = 0;
  size_t trace_block_tokens = 512;
  size_t limit = 0;  // 0: the whole trace

  LogLevel log_level = LogLevel::Information;
  std::string json_file;
  std::string html_file;
  std::string csv_file;
};

inline constexpr size_t kMaxSweepSteps = 16;

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;    // a mismatch, or an operation that failed
inline constexpr int kExitBadInput = 2;  // options or files; nothing was played

// The options, or the exit code where the run ends here: help went to `out`, complaints to `err`.
std::variant<Options, int> ParseOptions(int argc, const char* const* argv, std::ostream& out,
                                        std::ostream& err);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_OPTIONS_H_
