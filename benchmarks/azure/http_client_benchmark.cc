// What our HTTP client reaches against a server: a peer for `curl --parallel`, with the same
// options in spirit. Prints one JSON line; whoever starts it measures time and CPU.
#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdio>
#include <semaphore>
#include <string>
#include <vector>

#include "KVCommon/slice.h"
#include "KVCommon/tune_process.h"
#include "KVService/http/curl_http_client.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

struct Options {
  std::string url;
  HttpMethod method = HttpMethod::kGet;
  std::vector<std::string> headers;
  size_t put_bytes = 1258291;
  int requests = 1000;
  double seconds = 0;  // where positive: as many requests as there is time for
  int in_flight = 16;
  double timeout = 60;
  HttpClientOptions client;
};

struct Totals {
  std::atomic<uint64_t> bytes = 0;
  std::atomic<int> succeeded = 0;
  std::atomic<int> failed = 0;
};

HttpRequest MakeRequest(const Options& options, const Slice& body) {
  HttpRequest request;
  request.method = options.method;
  request.url = options.url;
  for (const std::string& header : options.headers) {
    const size_t colon = header.find(':');
    request.headers.push_back({header.substr(0, colon), header.substr(colon + 1)});
  }
  if (options.method == HttpMethod::kPut) request.body = {body};
  request.deadline = absl::Now() + absl::Seconds(options.timeout);
  return request;
}

void Run(const Options& options, Totals& totals) {
  Buffer filled = Buffer::Allocate(options.put_bytes);
  for (size_t i = 0; i < filled.size(); ++i) filled.data()[i] = static_cast<std::byte>(i * i >> 8);
  const Slice body = std::move(filled).Freeze();
  CurlHttpClient client(options.client);
  std::counting_semaphore<> places(options.in_flight);
  const absl::Time end = absl::Now() + absl::Seconds(options.seconds);
  for (int i = 0; options.seconds > 0 ? absl::Now() < end : i < options.requests; ++i) {
    places.acquire();
    client.Send(MakeRequest(options, body), [&](absl::StatusOr<HttpResponse> response) {
      if (response.ok() && response->status / 100 == 2) {
        ++totals.succeeded;
        totals.bytes +=
            options.method == HttpMethod::kPut ? options.put_bytes : response->body.size();
      } else if (++totals.failed == 1) {
        std::fprintf(stderr, "the first failure: %s\n",
                     response.ok() ? std::to_string(response->status).c_str()
                                   : response.status().ToString().c_str());
      }
      places.release();
    });
  }
  for (int i = 0; i < options.in_flight; ++i) places.acquire();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Sends one request again and again");
  const std::map<std::string, HttpMethod> methods = {
      {"GET", HttpMethod::kGet}, {"PUT", HttpMethod::kPut}, {"HEAD", HttpMethod::kHead}};
  app.add_option("url", options.url)->required();
  app.add_option("--method", options.method)->transform(CLI::CheckedTransformer(methods));
  app.add_option("--header", options.headers, "Name:value; may be repeated");
  app.add_option("--put-bytes", options.put_bytes);
  app.add_option("--requests", options.requests);
  app.add_option("--seconds", options.seconds, "in place of --requests");
  app.add_option("--in-flight", options.in_flight)->check(CLI::PositiveNumber);
  app.add_option("--timeout", options.timeout, "of a request, in seconds");
  app.add_option("--threads", options.client.threads)->check(CLI::PositiveNumber);
  app.add_flag("!--disable-multi-nic", options.client.multi_nic);
  CLI11_PARSE(app, argc, argv);
  Totals totals;
  Run(options, totals);
  std::printf("{\"succeeded\": %d, \"failed\": %d, \"bytes\": %llu}\n", totals.succeeded.load(),
              totals.failed.load(), static_cast<unsigned long long>(totals.bytes.load()));
  return 0;
}

}  // namespace
}  // namespace kvstore

int main(int argc, char** argv) {
  kvstore::TuneProcess();
  return kvstore::Main(argc, argv);
}
