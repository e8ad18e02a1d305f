// How fast the client gets one URL, at several depths: a peer for `curl --parallel`.
//   curl_http_client_benchmark URL [requests] [threads]
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <string>

#include "KVCommon/slice.h"
#include "KVCommon/tune_process.h"
#include "KVService/http/curl_http_client.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

double CpuSeconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void Measure(CurlHttpClient& client, const std::string& url, int requests, int in_flight) {
  std::counting_semaphore<> places(in_flight);
  std::atomic<size_t> bytes = 0;
  std::atomic<int> failed = 0;
  const absl::Time begin = absl::Now();
  const double cpu_begin = CpuSeconds();
  for (int i = 0; i < requests; ++i) {
    places.acquire();
    HttpRequest request;
    request.url = url;
    client.Send(std::move(request), [&](absl::StatusOr<HttpResponse> response) {
      if (response.ok() && response->status == 200) {
        bytes += response->body.size();
      } else {
        ++failed;
      }
      places.release();
    });
  }
  for (int i = 0; i < in_flight; ++i) places.acquire();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const double gigabytes = static_cast<double>(bytes.load()) / 1e9;
  std::printf("%3d in flight: %7.0f requests/s  %5.2f GB/s  %.3f CPU s/GB  %d failed\n", in_flight,
              requests / seconds, gigabytes / seconds, (CpuSeconds() - cpu_begin) / gigabytes,
              failed.load());
}

}  // namespace
}  // namespace kvstore

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s URL [requests] [threads]\n", argv[0]);
    return 2;
  }
  kvstore::TuneProcess();
  kvstore::HttpClientOptions options;
  if (argc > 3) options.threads = std::atoi(argv[3]);
  kvstore::CurlHttpClient client(options);
  for (const int in_flight : {1, 16, 64}) {
    kvstore::Measure(client, argv[1], argc > 2 ? std::atoi(argv[2]) : 2000, in_flight);
  }
  return 0;
}
