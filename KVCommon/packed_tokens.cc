#include "KVCommon/packed_tokens.h"

#include <optional>

#include "KVCommon/status_macros.h"
#include "KVCommon/varints.h"

namespace kvstore {
namespace {

// Signed and unsigned of one type may share memory.
size_t Decode(ByteView bytes, std::span<Token> into) {
  return wire::DecodeVarints(bytes, reinterpret_cast<uint64_t*>(into.data()));
}

}  // namespace

PackedTokens::PackedTokens(std::span<const Token> tokens) : size_(tokens.size()) {
  size_t bytes = 0;
  for (const Token token : tokens) bytes += wire::VarintSize(static_cast<uint64_t>(token));
  bytes_.resize(bytes + wire::kVarintSlack);
  wire::PutVarints(reinterpret_cast<std::byte*>(bytes_.data()), tokens);
  bytes_.resize(bytes);
}

std::vector<Token> PackedTokens::Unpack() const {
  std::vector<Token> tokens(size_);
  KV_CHECK(Decode(bytes(), tokens) == bytes_.size());
  return tokens;
}

void PackedTokens::Clear() {
  bytes_.clear();
  size_ = 0;
}

bool PackedTokens::Count(size_t begin) {
  const std::optional<size_t> count = wire::CountWholeVarints(bytes().subspan(begin));
  if (!count) return false;
  size_ += *count;
  return true;
}

size_t UnpackBlock(ByteView packed, std::span<Token, kBlockTokens> into) {
  const size_t size = wire::SizeOfVarints(packed, kBlockTokens);
  KV_CHECK(Decode(packed.first(size), into) == size);
  return size;
}

}  // namespace kvstore
