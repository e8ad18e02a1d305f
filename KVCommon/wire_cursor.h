// Walks protobuf's wire format over scattered bytes. Internal to KVCommon.
#ifndef KVCOMMON_WIRE_CURSOR_H_
#define KVCOMMON_WIRE_CURSOR_H_

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "KVCommon/varints.h"
#include "KVCommon/wire.h"

namespace kvstore::wire {

enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

// A read position in a message, with an end that narrows while a nested message is walked. Every
// read returns false, and moves to no defined place, where the bytes end too early.
class Cursor {
 public:
  explicit Cursor(Pieces pieces) : pieces_(pieces) {
    for (ByteView piece : pieces) left_ += piece.size();
    EnterPiece();
  }

  size_t position() const { return position_; }
  size_t left() const { return left_; }

  // Narrows the end to `size` bytes from here; returns what Leave needs to widen it again.
  size_t Enter(size_t size) {
    const size_t outer = left_ - size;
    left_ = size;
    return outer;
  }
  void Leave(size_t outer) { left_ += outer; }

  bool ReadVarint(uint64_t* value) {
    // Most are tags and lengths.
    if (left_ > 0 && static_cast<uint8_t>(*at_) < 0x80) {
      *value = static_cast<uint8_t>(*at_);
      Advance(1);
      return true;
    }
    // Whole in this piece, as nearly all are: the ends of piece and message are checked once.
    const size_t ahead = std::min<size_t>(end_ - at_, left_);
    if (const size_t size = DecodeVarint(at_, ahead, value)) {
      Advance(size);
      return true;
    }
    return ahead < kMaxVarintSize && ReadSplitVarint(value);
  }

  // Appends the varints that fill the next `size` bytes; false where they are not that, or more
  // than `limit` would be in `values`. Integer has 64 bits.
  template <typename Integer>
  bool ReadVarints(size_t size, size_t limit, std::vector<Integer>* values) {
    static_assert(sizeof(Integer) == sizeof(uint64_t));
    const size_t outer = Enter(size);
    while (left_ > 0) {
      const ByteView here(at_, std::min<size_t>(end_ - at_, left_));
      const size_t count = CountVarints(here);
      const size_t before = values->size();
      if (count > limit - before) return false;
      if (count == 0) {  // one that crosses into the next piece, with its first bytes alone here
        uint64_t value;
        if (before == limit || !ReadVarint(&value)) return false;
        values->push_back(static_cast<Integer>(value));
        continue;
      }
      values->resize(before + count);
      // Signed and unsigned of one type may share memory.
      const size_t taken =
          DecodeVarints(here, reinterpret_cast<uint64_t*>(values->data() + before));
      if (taken == 0) return false;
      Advance(taken);
      if (taken == here.size()) continue;
      // What is left of the piece must be a varint's beginning: all that end in it were taken.
      if (left_ > 0 && CountVarints({at_, std::min<size_t>(end_ - at_, left_)}) > 0) return false;
    }
    Leave(outer);
    return true;
  }

  bool ReadText(size_t size, std::string* text) {
    text->clear();
    return AppendTo(text, size);
  }

  bool AppendTo(std::string* text, size_t size) {
    return Take(size, [text](const std::byte* bytes, size_t count) {
      text->append(reinterpret_cast<const char*>(bytes), count);
    });
  }

  bool CopyInto(std::byte* into, size_t size) {
    return Take(size, [&into](const std::byte* bytes, size_t count) {
      std::memcpy(into, bytes, count);
      into += count;
    });
  }

  bool Skip(size_t size) {
    return Take(size, [](const std::byte*, size_t) {});
  }

 private:
  // Visits the next `size` bytes, piece by piece, and goes behind them.
  template <typename Visit>
  bool Take(size_t size, Visit&& visit) {
    if (size > left_) return false;
    while (size > 0) {
      const size_t step = std::min<size_t>(size, end_ - at_);
      visit(at_, step);
      size -= step;
      Advance(step);
    }
    return true;
  }

  // A varint that crosses into another piece, or ends early.
  bool ReadSplitVarint(uint64_t* value) {
    uint64_t result = 0;
    for (size_t i = 0; i < kMaxVarintSize && left_ > 0; ++i) {
      const auto byte = static_cast<uint8_t>(*at_);
      Advance(1);
      result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        *value = result;
        return true;
      }
    }
    return false;
  }

  void Advance(size_t size) {
    at_ += size;
    position_ += size;
    left_ -= size;
    if (at_ == end_) {
      ++piece_;
      EnterPiece();
    }
  }

  void EnterPiece() {
    while (piece_ < pieces_.size() && pieces_[piece_].empty()) ++piece_;
    if (piece_ == pieces_.size()) {
      at_ = end_ = nullptr;
      return;
    }
    at_ = pieces_[piece_].data();
    end_ = at_ + pieces_[piece_].size();
  }

  Pieces pieces_;
  size_t piece_ = 0;
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  size_t position_ = 0;
  size_t left_ = 0;
};

}  // namespace kvstore::wire

#endif  // KVCOMMON_WIRE_CURSOR_H_
