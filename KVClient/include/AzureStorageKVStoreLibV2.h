// The client class that existing callers compile against (C++17). It wraps kvstore::Client
// (kvstore/client.h), which new code may use directly.
#ifndef KVCLIENT_AZURESTORAGEKVSTORELIBV2_H_
#define KVCLIENT_AZURESTORAGEKVSTORELIBV2_H_

#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "KVTypes.h"

// What WriteAsync's future throws where the write failed.
class KVStoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// All methods are thread-safe; Initialize, SetLogCallback and SetLogLevel belong before the first
// call all the same. Futures own what they need: they outlive the object. No call blocks longer
// than its deadline of 30 s; a server that comes back is reconnected to by itself.
class AzureStorageKVStoreLibV2 {
 public:
  // Takes one line, without a line break.
  using LogCallback = std::function<void(LogLevel level, const std::string& message)>;

  AzureStorageKVStoreLibV2();
  ~AzureStorageKVStoreLibV2();
  AzureStorageKVStoreLibV2(const AzureStorageKVStoreLibV2&) = delete;
  AzureStorageKVStoreLibV2& operator=(const AzureStorageKVStoreLibV2&) = delete;

  // Names the storage account and container that every call is about, and the server by the
  // environment's KVSTORE_GRPC_SERVER (default localhost:50051; several by commas share the work,
  // see kvstore/client.h). Connects lazily: true says that the arguments make sense, not that the
  // server is up. False (and a log line) for an empty account or container or a malformed server
  // list. `transport`, `enableSdkLogging` and `enableMultiNic` concern the server and are ignored
  // here.
  bool Initialize(const std::string& accountUrl, const std::string& container,
                  HttpTransportProtocol transport = HttpTransportProtocol::WinHTTP,
                  bool enableSdkLogging = true, bool enableMultiNic = false);

  // Receives the log lines in place of standard error, from any thread; must not call back in.
  void SetLogCallback(LogCallback callback);
  // The least important lines that are written: Information, unless set.
  void SetLogLevel(LogLevel level);

  // The W3C traceparent, and optionally the request id and tracestate, of the calls that this
  // thread begins from now on, of whichever object; empty: none, and each call's request id is its
  // own. See kvstore::CallOptions.
  static void SetThreadTrace(const std::string& traceparent, const std::string& requestId = "",
                             const std::string& tracestate = "");

  // How many leading blocks of the prompt [begin, end) the partition holds, and where. `hashes`
  // has one entry a block, or fewer; 0 is none: where given, a block must bear that hash. A failure
  // is logged and gives no blocks: a caller then computes, as after a miss. Blocks.
  template <typename It>
  LookupResult Lookup(const std::string& partition, const std::string& completionId, It begin,
                      It end, const std::vector<hash_t>& hashes) const {
    return LookupTokens(partition, completionId, std::vector<Token>(begin, end), hashes);
  }

  // The block at a location that Lookup gave. {false, …} where it is gone or the read failed; a
  // failure is logged too. Never throws through the future.
  std::future<std::pair<bool, PromptChunk>> ReadAsync(const std::string& location,
                                                      const std::string& completionId = "") const;

  // Stores a block. The future is ready once the server has acknowledged it as durable as it is
  // set to make it; get() throws KVStoreError where that failed. A block that is there already
  // succeeds.
  std::future<void> WriteAsync(const PromptChunk& chunk);

  // Many blocks, in the order asked, each as ReadAsync gives it. One that fails does not fail the
  // others.
  std::future<std::vector<std::pair<bool, PromptChunk>>> StreamingReadAsync(
      const std::vector<std::string>& locations, const std::string& completionId = "") const;
  // The same, for locations as Lookup gives them.
  std::future<std::vector<std::pair<bool, PromptChunk>>> StreamingReadAsync(
      const std::vector<BlockLocation>& locations, const std::string& completionId = "") const;

 private:
  struct State;

  LookupResult LookupTokens(const std::string& partition, const std::string& completionId,
                            const std::vector<Token>& tokens,
                            const std::vector<hash_t>& hashes) const;

  std::shared_ptr<State> state_;
};

#endif  // KVCLIENT_AZURESTORAGEKVSTORELIBV2_H_
