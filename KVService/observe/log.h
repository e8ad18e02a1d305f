// The server's log: one line an event on standard error, "time level what key=value …". Code logs
// through spdlog::info and its like. No line ever holds a secret.
#ifndef KVSERVICE_OBSERVE_LOG_H_
#define KVSERVICE_OBSERVE_LOG_H_

#include <string_view>

namespace kvstore {

// Sets the log up; `level` is error, info or verbose. With `json` a line is an object of time,
// level and message. Call once, before any thread starts.
void SetUpLog(std::string_view level, bool json);

// From now on; and what it is. Thread-safe. False, and nothing changes, for what is no level.
bool SetLogLevel(std::string_view level);
std::string_view LogLevel();

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_LOG_H_
