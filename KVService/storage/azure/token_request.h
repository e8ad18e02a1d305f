// The exchange with a token endpoint that all sources share.
#ifndef KVSERVICE_STORAGE_AZURE_TOKEN_REQUEST_H_
#define KVSERVICE_STORAGE_AZURE_TOKEN_REQUEST_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/platform/thread_pool.h"
#include "KVService/storage/azure/token_response.h"
#include "KVService/storage/azure/token_source.h"
#include "absl/time/time.h"

namespace kvstore::azure {

// What sources stand on; outlives their calls.
struct TokenContext {
  HttpClient* http = nullptr;
  // For reading federated tokens. Without one they are read on the thread that asks for a token,
  // which is for tests.
  ThreadPool* files = nullptr;
};

// Sends the request, within `deadline`, and gives its outcome, worded as `advice` says.
void SendTokenRequest(HttpClient* http, HttpRequest request, absl::Time deadline,
                      std::shared_ptr<const TokenAdvice> advice, TokenSource::Done done);

// "a=b&c=d", encoded, as a POST's body has it.
std::string FormEncode(const std::vector<std::pair<std::string_view, std::string_view>>& fields);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_TOKEN_REQUEST_H_
