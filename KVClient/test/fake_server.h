// A server for the client's tests: the generated protobuf service over a map, with faults on order.
#ifndef KVCLIENT_TEST_FAKE_SERVER_H_
#define KVCLIENT_TEST_FAKE_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace kvstore {

// Thread-safe. What it stores outlives Stop.
class FakeServer {
 public:
  explicit FakeServer(int port = 0);  // 0: any free one; starts it
  ~FakeServer();

  void Stop();   // breaks the calls that run
  void Start();  // again, on the same port
  std::string address() const;

  // The next `calls` unary calls, or stream openings, fail with this status code.
  void FailNext(int calls, int status_code, const std::string& message);
  // Answers success = false with this error until it is empty.
  void ReportError(const std::string& error);
  // Unary calls wait until they are cancelled, or until this is called with false.
  void Hang(bool hang);
  // Every stream breaks (UNAVAILABLE) behind this many answers; 0: never.
  void BreakStreamsAfter(int answers);
  // Streams give no answer before this many requests have come, and then wait for more in vain.
  void HoldStreamsFor(int requests);
  // Streams answer without end, whatever was asked.
  void FloodStreams();
  // Locations look like those of KVService, and no longer like "partition/hash".
  void GiveRealisticLocations();
  // Its storage is from now on that of `other`, and both say so.
  void ShareWith(FakeServer& other);
  // Every block that is read waits so long; pings do not.
  void DelayReads(int milliseconds);
  // Leaves server_metrics out.
  void LeaveMetricsOut();
  // Claims this many cached blocks, whatever the locations.
  void ClaimBlocks(int blocks);

  int calls() const;  // unary calls and streams so far, the client's pings left out
  int streams() const;
  int pings() const;
  // What all calls, streams and pings had as "authorization" so far; "" for none.
  std::set<std::string> authorizations() const;
  // What unary calls and streams, pings left out, had under that key, in order; "" for none.
  std::vector<std::string> metadata(const std::string& key) const;
  std::vector<std::string> read() const;  // locations, in order
  std::vector<uint64_t> written() const;  // hashes, in order, those that were there included
  int cancelled() const;                  // unary calls whose client gave them up
  int most_outstanding() const;           // requests of a stream without an answer

  struct Stored {
    uint64_t hash;
    uint64_t parent_hash;
    std::string partition;
    std::string buffer;
    std::string prefix_digest;
    std::vector<int64_t> tokens;
    std::string resource;
    std::string container;
  };
  std::vector<Stored> stored() const;

 private:
  class Service;
  struct Running;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Running> running_;
  int port_;
};

}  // namespace kvstore

#endif  // KVCLIENT_TEST_FAKE_SERVER_H_
