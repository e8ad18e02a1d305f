// Lines for a console that may be slow: callers put them into memory, a thread writes many at once.
#ifndef KVSERVICE_OBSERVE_LINE_WRITER_H_
#define KVSERVICE_OBSERVE_LINE_WRITER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

namespace kvstore {

// Thread-safe. A line costs its caller a copy under a lock, and one in many a wake-up of the
// thread, which writes what has come in kInterval, or a chunk as soon as it is full. Where the
// console is so slow that more than kMostBytes wait, the oldest chunk is dropped, and its lines are
// counted. What a crash of the process finds in memory is lost.
class LineWriter {
 public:
  static constexpr size_t kChunkBytes = size_t{64} << 10;
  static constexpr size_t kMostBytes = size_t{4} << 20;
  static constexpr std::chrono::milliseconds kInterval{50};

  // Takes whole lines, some at once, and may block; false: they could not be written. On the
  // writer's thread, not twice at once.
  using Sink = std::function<bool(std::string_view lines)>;

  explicit LineWriter(Sink sink);
  ~LineWriter();  // as Stop, with the patience below
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // `line` ends in a newline. Never waits for the sink.
  void Write(std::string_view line);

  // Lines that were dropped, or that the sink could not write.
  uint64_t dropped() const;

  // Writes what is there and ends; false where the sink does not take it in time: then the thread
  // goes on waiting for the sink, beyond this object's life, and what is left is dropped.
  // REQUIRES: no Write after it.
  static constexpr std::chrono::milliseconds kPatience{2000};
  bool Stop(std::chrono::milliseconds patience);

 private:
  struct State;
  static void Run(State& state);

  // Shared with the thread, which may outlive this.
  const std::shared_ptr<State> state_;
  std::thread thread_;
};

// Standard output.
LineWriter::Sink StandardOutput();

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_LINE_WRITER_H_
