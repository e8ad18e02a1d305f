// What a program that moves tensors sets once for its whole process.
#ifndef KVCOMMON_TUNE_PROCESS_H_
#define KVCOMMON_TUNE_PROCESS_H_

namespace kvstore {

// For programs to call at the start of main, before any thread; a library has no business changing
// its host's settings. Measured in docs/BENCHMARKS.md. It
//   keeps glibc from mapping, faulting and unmapping each megabyte buffer anew (40 times the cost);
//   turns off abseil's deadlock detector. Debian builds abseil with it: every absl::Mutex, gRPC's
//   too, then passes through one global lock (200 ns and more with two threads, 13 ns without), and
//   two locks that were ever taken in both orders abort the process. Tests keep it on.
void TuneProcess();

}  // namespace kvstore

#endif  // KVCOMMON_TUNE_PROCESS_H_
