#include "tests/chaos/session.h"

#include <future>
#include <span>
#include <utility>

namespace kvstore::chaos {

std::string Session::Begin(std::string_view op, const Prompt& prompt, size_t first, size_t end,
                           Milliseconds timeout) {
  nlohmann::json what = common_;
  what["prompt"] = {prompt.name.kind, prompt.name.owner, prompt.name.number};
  what["first"] = first;
  what["keys"] = std::span(prompt.keys).subspan(first, end - first);
  return history_->Begin(op, timeout, std::move(what));
}

std::vector<std::string> Session::Lookup(const Prompt& prompt, Milliseconds timeout, bool* ok) {
  const std::string id = Begin("lookup", prompt, 0, prompt.blocks(), timeout);
  const auto answer =
      client_->Lookup(prompt.partition, prompt.tokens, prompt.hashes, {.timeout = timeout});
  std::vector<std::string> locations;
  if (answer.ok()) {
    for (const ::BlockLocation& location : answer->locations) {
      locations.push_back(location.location);
    }
  }
  history_->End(id, answer.status(), {{"found", locations.size()}});
  if (ok != nullptr) *ok = answer.ok();
  return locations;
}

bool Session::Read(const Prompt& prompt, size_t block, const std::string& location,
                   Milliseconds timeout) {
  std::vector<std::byte> memory(kLargestBlock);
  const std::string id = Begin("read", prompt, block, block + 1, timeout);
  const BlockAnswer answer = client_->Read(location, memory, {.timeout = timeout});
  const char judged = Judge(prompt, block, answer, memory);
  history_->End(id, answer.status, {{"blocks", std::string(1, judged)}});
  return judged == 'o';
}

bool Session::Stream(const Prompt& prompt, const std::vector<std::string>& locations,
                     Milliseconds timeout) {
  std::vector<std::vector<std::byte>> memory(locations.size());
  std::vector<std::span<std::byte>> spans;
  for (auto& each : memory) {
    each.resize(kLargestBlock);
    spans.emplace_back(each);
  }
  const std::string id = Begin("stream", prompt, 0, locations.size(), timeout);
  const std::vector<BlockAnswer> answers =
      client_->StreamingRead(locations, spans, {.timeout = timeout});
  std::string judged;
  absl::Status status;
  for (size_t i = 0; i < answers.size(); ++i) {
    judged += Judge(prompt, i, answers[i], memory[i]);
    status.Update(answers[i].status);
  }
  history_->End(id, status, {{"blocks", judged}});
  return judged == std::string(locations.size(), 'o');
}

bool Session::WritePrompt(const Prompt& prompt, size_t first, Milliseconds timeout) {
  std::vector<std::vector<std::byte>> buffers;
  std::vector<std::span<const std::byte>> spans;
  for (size_t i = first; i < prompt.blocks(); ++i) buffers.push_back(prompt.BufferOf(i));
  for (const auto& buffer : buffers) spans.emplace_back(buffer);
  const std::string id = Begin("prompt", prompt, first, prompt.blocks(), timeout);
  const auto answer =
      client_->WritePrompt(prompt.partition, prompt.tokens, first, spans, {.timeout = timeout});
  history_->End(id, answer.status(), nlohmann::json::object());
  return answer.ok();
}

bool Session::WriteSingle(const Prompt& prompt, size_t block, Milliseconds timeout) {
  ::PromptChunk chunk;
  chunk.hash = prompt.hashes[block];
  chunk.parentHash = block == 0 ? 0 : prompt.hashes[block - 1];
  chunk.partitionKey = prompt.partition;
  const std::span<const Token> tokens = prompt.TokensOf(block);
  chunk.tokens.assign(tokens.begin(), tokens.end());
  const std::vector<std::byte> buffer = prompt.BufferOf(block);
  const std::string id = Begin("single", prompt, block, block + 1, timeout);
  std::promise<absl::Status> ended;
  client_->WriteAsync(
      chunk, buffer, {.timeout = timeout},
      [&ended](absl::StatusOr<::ServerMetrics> answer) { ended.set_value(answer.status()); });
  const absl::Status status = ended.get_future().get();
  history_->End(id, status, nlohmann::json::object());
  return status.ok();
}

}  // namespace kvstore::chaos
