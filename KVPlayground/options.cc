#include "KVPlayground/options.h"

#include <spdlog/fmt/fmt.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <ostream>

#include "KVCommon/limits.h"

namespace kvstore::playground {
namespace {

constexpr char kDescription[] =
    R"(Plays prompts against a KVStore server as inference nodes would, checks every byte that comes
back, and reports latencies, throughput and hit ratio.

For each request it looks up how many leading blocks (of 128 tokens) of the prompt the store
holds, reads and validates those, makes up the tensors of the others from their prefix, and
writes them. Plays either tokenised conversations or a trace:

  KVPlayground conversation_tokens.json 10 4        10 iterations, 4 inference nodes
  KVPlayground --trace conversation.jsonl --concurrency 8 --buffer-bytes 4096)";

constexpr char kFooter[] =
    R"(The tokens file is {"prompts": [{"text": "...", "tokens": [1, 2, ...], "token_count": 2}, ...]},
one entry a request, each with the whole context up to it; scripts/run/tokenize.sh makes one of
your own conversations. A trace has a JSON object on each line:
  {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [...]}

Exit code: 0 all well; 1 a byte was wrong or an operation failed; 2 bad options or files.)";

void AddInputs(CLI::App& app, Options& options) {
  app.add_option("tokens.json", options.tokens_file, "Tokenised conversations to play");
  app.add_option("iterations,--iterations", options.iterations,
                 "Times that each worker plays all prompts, or that the trace is played")
      ->check(CLI::Range(size_t{1}, size_t{1'000'000}))
      ->capture_default_str();
  app.add_option("concurrency,--concurrency", options.concurrency,
                 "Workers, each an inference node with a partition of its own; of a trace: "
                 "requests at a time")
      ->check(CLI::Range(size_t{1}, size_t{1024}))
      ->capture_default_str();
  app.add_option(
         "--sweep", options.sweep,
         "Concurrencies, such as 1,2,4,8: stores everything first, in one partition for all "
         "workers, reads it once, and then plays it at each concurrency in turn")
      ->delimiter(',')
      ->type_name("N,N,...")
      ->check(CLI::Range(size_t{1}, size_t{1024}));
}

void AddStore(CLI::App& app, Options& options) {
  app.add_option("--server", options.server,
                 "host:port, several by commas (default: environment KVSTORE_GRPC_SERVER, or "
                 "localhost:50051)");
  app.add_option("--tls-ca", options.tls.ca_file,
                 "PEM file of the authorities that servers' certificates come from: TLS is spoken "
                 "(default: environment KVSTORE_TLS_CA)")
      ->type_name("FILE");
  app.add_option("--tls-cert", options.tls.certificate_file,
                 "PEM file of a certificate of one's own, where servers ask for one "
                 "(KVSTORE_TLS_CERT)")
      ->type_name("FILE");
  app.add_option("--tls-key", options.tls.key_file, "Its private key (KVSTORE_TLS_KEY)")
      ->type_name("FILE");
  app.add_option("--tls-server-name", options.tls.server_name,
                 "Name that servers' certificates must bear, instead of the host's "
                 "(KVSTORE_TLS_SERVER_NAME)")
      ->type_name("NAME");
  app.add_option("--token-file", options.token_file,
                 "File of the token that says who calls (KVSTORE_TOKEN_FILE)")
      ->type_name("FILE");
  app.add_option("-s,--storage", options.storage, "Storage account, by name or URL")
      ->capture_default_str();
  app.add_option("-c,--container", options.container, "Container in the account")
      ->capture_default_str();
  app.add_option("--partition", options.partition,
                 "Partition, one a model; worker k >= 1 uses <partition>-k. A run in a partition "
                 "that is filled already hits from the first iteration on")
      ->capture_default_str();
  app.add_flag("--shared", options.shared_partition,
               "All workers use the same partition and write the same blocks");
  app.add_option("--buffer-bytes", options.buffer_bytes, "Bytes of a block's tensors")
      ->check(CLI::Range(size_t{1}, kMaxBufferBytes))
      ->capture_default_str();
  app.add_option("--timeout", options.timeout_seconds, "Seconds until a call has failed")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
}

void AddTrace(CLI::App& app, Options& options) {
  app.add_option("--trace", options.trace_file, "Replay this trace instead of conversations");
  app.add_option("--speed", options.speed,
                 "Replay by the trace's timestamps, so many times as fast; 0: as fast as possible")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app.add_option("--trace-block-tokens", options.trace_block_tokens,
                 "Tokens that a hash id of the trace stands for, a multiple of 128")
      ->check(CLI::Range(size_t{kBlockTokens}, size_t{1} << 20))
      ->capture_default_str();
  app.add_option("--limit", options.limit, "Play only the first N requests of the trace")
      ->type_name("N")
      ->check(CLI::Range(size_t{1}, size_t{1} << 40));
}

void AddOutput(CLI::App& app, Options& options, bool& verbose) {
  static const std::map<std::string, LogLevel> kLevels = {
      {"error", LogLevel::Error}, {"info", LogLevel::Information}, {"verbose", LogLevel::Verbose}};
  app.add_option("-l,--log-level", options.log_level, "error, info or verbose (default: info)")
      ->transform(CLI::CheckedTransformer(kLevels, CLI::ignore_case).description(""))
      ->type_name("LEVEL");
  app.add_flag("-v,--verbose", verbose, "Short for --log-level verbose: a line for each request");
  app.add_option("--json", options.json_file, "Write the report to this file, too")
      ->type_name("FILE");
  app.add_option("--html", options.html_file, "Write it as a page with charts, in one file")
      ->type_name("FILE");
  app.add_option("--csv", options.csv_file, "Write the page's numbers: table,row,column,value")
      ->type_name("FILE");
}

// What no single option can tell; empty where all is well.
std::string Contradiction(const Options& options, const CLI::App& app) {
  if (!options.trace_file.empty() && !options.tokens_file.empty()) {
    return fmt::format(
        "--trace: a tokens file (\"{}\") was given as well; to say how often and how "
        "many at a time, use --iterations and --concurrency",
        options.tokens_file);
  }
  if (options.trace_file.empty() && options.tokens_file.empty()) {
    return "give a tokens file, or a trace with --trace";
  }
  for (const char* name : {"--speed", "--limit", "--trace-block-tokens"}) {
    if (options.trace_file.empty() && app.count(name) > 0) {
      return fmt::format("{}: only for traces; give one with --trace", name);
    }
  }
  if (!options.trace_file.empty() && options.shared_partition) {
    return "--shared: not for traces, whose requests always share one partition";
  }
  if (!options.sweep.empty()) {
    if (app.count("--concurrency") > 0) return "--sweep: names the concurrencies; leave that out";
    if (options.speed > 0) return "--sweep: not with --speed, which says how much is under way";
    if (options.sweep.size() > kMaxSweepSteps) {
      return fmt::format("--sweep: at most {} concurrencies", kMaxSweepSteps);
    }
    if (!std::ranges::is_sorted(options.sweep, std::ranges::less_equal())) {
      return "--sweep: concurrencies must ascend";
    }
  }
  // Not a number passes every range check.
  if (!std::isfinite(options.speed)) return "--speed: not a number";
  if (!std::isfinite(options.timeout_seconds)) return "--timeout: not a number";
  if (options.trace_block_tokens % kBlockTokens != 0) {
    return fmt::format("--trace-block-tokens: {} is no multiple of {}", options.trace_block_tokens,
                       kBlockTokens);
  }
  if (options.partition.empty()) return "--partition: is empty";
  if (options.storage.empty()) return "--storage: is empty";
  if (options.container.empty()) return "--container: is empty";
  return "";
}

}  // namespace

std::variant<Options, int> ParseOptions(int argc, const char* const* argv, std::ostream& out,
                                        std::ostream& err) {
  Options options;
  bool verbose = false;
  CLI::App app(kDescription, "KVPlayground");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this and exit");
  app.get_formatter()->column_width(34);
  AddInputs(app, options);
  AddStore(app, options);
  AddTrace(app, options);
  AddOutput(app, options, verbose);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    err << "KVPlayground: " << error.what() << "\nRun with --help for more information.\n";
    return kExitBadInput;
  }
  if (verbose) options.log_level = LogLevel::Verbose;
  if (const std::string wrong = Contradiction(options, app); !wrong.empty()) {
    err << "KVPlayground: " << wrong << "\nRun with --help for more information.\n";
    return kExitBadInput;
  }
  return options;
}

}  // namespace kvstore::playground
