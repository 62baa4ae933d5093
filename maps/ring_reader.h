// maps/ring_reader.h: takes records out of a BPF ring buffer. One reader per ring.
#ifndef PARTYWALL_MAPS_RING_READER_H
#define PARTYWALL_MAPS_RING_READER_H

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "maps/fd.h"
#include "maps/pins.h"
#include "maps/result.h"

struct ring_buffer;

namespace partywall {

class RingReader {
 public:
  // Called for every record, in order; the bytes are valid during the call only.
  using OnRecord = std::function<void(std::span<const std::byte>)>;

  RingReader() = default;

  static Result<RingReader> open(std::string_view pin_root, std::string_view map,
                                 OnRecord on_record);

  // Hands over everything that is there now, without waiting. Returns how many records.
  Result<size_t> consume();

  // Readable (epoll, poll) when there are records.
  int poll_fd() const;

 private:
  struct Free {
    void operator()(ring_buffer* ring) const;
  };

  Fd map_;
  std::unique_ptr<OnRecord> on_record_;  // its address is the ring's context
  std::unique_ptr<ring_buffer, Free> ring_;
};

}  // namespace partywall

#endif
