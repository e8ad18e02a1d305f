#include "KVPlayground/playground.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVPlayground/console.h"
#include "KVPlayground/machine.h"
#include "KVPlayground/options.h"
#include "KVPlayground/report.h"
#include "KVPlayground/runs.h"

namespace kvstore::playground {
namespace {

absl::StatusOr<Input> ReadInput(const Options& options) {
  Input input;
  if (options.trace_file.empty()) {
    KV_ASSIGN_OR_RETURN(input.prompts, ReadTokensFile(options.tokens_file));
  } else {
    KV_ASSIGN_OR_RETURN(
        input.trace, ReadTraceFile(options.trace_file, options.trace_block_tokens, options.limit));
  }
  for (const std::string* path : {&options.json_file, &options.html_file, &options.csv_file}) {
    if (!path->empty()) KV_RETURN_IF_ERROR(CheckWritable(*path));
  }
  return input;
}

// One small call before the run: a server that is not there is told at once and in one message, and
// the first measured call finds its connection made.
absl::Status Probe(Store& store, const Options& options) {
  const std::vector<Token> tokens(kBlockTokens, 0);
  CallOptions call;
  call.timeout = std::min(Timeout(options), std::chrono::milliseconds(10'000));
  call.completion_id = "probe";
  return store.Lookup(options.partition, tokens, call).status();
}

void ShowProgress(Console& console, Shared& shared, const Options& options, uint64_t total) {
  auto done = std::make_shared<std::atomic<uint64_t>>(0);
  auto found_blocks = std::make_shared<std::atomic<uint64_t>>(0);
  auto all_blocks = std::make_shared<std::atomic<uint64_t>>(0);
  const bool verbose = console.Shows(LogLevel::Verbose);
  const std::string unit = options.trace_file.empty() ? "prompts" : "requests";
  shared.on_request = [=, &console, &shared](const Prompt& prompt, size_t found, size_t written) {
    const uint64_t number = ++*done;
    *found_blocks += found;
    *all_blocks += prompt.digests.size();
    const double ratio = static_cast<double>(*found_blocks) /
                         static_cast<double>(std::max<uint64_t>(1, *all_blocks));
    console.Progress(number, total,
                     fmt::format("{}, hit ratio {:.4f}, {} mismatches, {} errors", unit, ratio,
                                 shared.mismatches.count(), shared.errors.count()));
    if (!verbose) return;
    console.Log(LogLevel::Verbose,
                fmt::format("iteration {}, {}: {} tokens, {} of {} blocks found, {} written",
                            prompt.iteration + 1, prompt.name, prompt.tokens.size(), found,
                            prompt.digests.size(), written));
  };
}

void FillIn(Store& store, const Shared& shared, Report& report) {
  report.gave_up = shared.stop;
  report.servers = store.Servers();
  report.mismatches = shared.mismatches.count();
  report.errors = shared.errors.count();
  report.first_mismatches = shared.mismatches.first();
  report.first_errors = shared.errors.first();
}

// The forms of the report that go to files, each where one was named.
absl::Status WriteFiles(const Report& report) {
  const Options& options = report.options;
  const struct {
    const std::string& path;
    std::string (*write)(const Report&);
  } files[] = {{options.json_file, ReportJson},
               {options.html_file, ReportHtml},
               {options.csv_file, ReportCsv}};
  for (const auto& [path, write] : files) {
    if (!path.empty()) KV_RETURN_IF_ERROR(WriteAtomically(path, write(report)));
  }
  return absl::OkStatus();
}

int Complain(Console& console, const absl::Status& status, int code) {
  console.Log(LogLevel::Error, fmt::format("KVPlayground: {}", std::string(status.message())));
  return code;
}

int RunParsed(const Options& options, const Environment& environment) {
  Console console(environment.err, options.log_level, environment.bar);
  const absl::StatusOr<Input> input = ReadInput(options);
  if (!input.ok()) return Complain(console, input.status(), kExitBadInput);

  ClientOptions client;
  client.servers = options.server;
  client.tls = options.tls;
  client.token_file = options.token_file;
  client.resource = options.storage;
  client.container = options.container;
  client.timeout = Timeout(options);
  client.log = [&console](LogLevel level, const std::string& line) { console.Log(level, line); };
  auto store = environment.make_store(std::move(client));
  if (!store.ok()) return Complain(console, store.status(), kExitBadInput);
  if (const absl::Status status = Probe(**store, options); !status.ok()) {
    console.Log(LogLevel::Error,
                fmt::format("KVPlayground: the server does not answer: {}", status.ToString()));
    return kExitFailed;
  }

  Report report;
  report.options = options;
  report.prompts = input->requests();
  report.started = std::chrono::system_clock::now();
  report.machine = DescribeMachine();
  Shared shared;
  ShowProgress(console, shared, options, RequestsToPlay(options, *input));
  Play(store->get(), *input, shared, report);
  FillIn(**store, shared, report);
  console.EndProgress();
  store->reset();  // its log lines go to the console, which ends here

  environment.out << ReportTable(report) << std::flush;
  if (const absl::Status status = WriteFiles(report); !status.ok()) {
    return Complain(console, status, kExitFailed);
  }
  return report.Succeeded() ? kExitOk : kExitFailed;
}

}  // namespace

int RunPlayground(int argc, const char* const* argv, const Environment& environment) {
  auto parsed = ParseOptions(argc, argv, environment.out, environment.err);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  // The rest reports by status; what is thrown is the standard library's, such as no memory or no
  // thread left.
  try {
    return RunParsed(std::get<Options>(parsed), environment);
  } catch (const std::exception& error) {
    environment.err << "KVPlayground: " << error.what() << '\n';
    return kExitFailed;
  }
}

}  // namespace kvstore::playground
