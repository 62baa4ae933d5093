// maps/words.h: reasons and classes in words, from the X macros of maps/abi. Pure.
#ifndef PARTYWALL_MAPS_WORDS_H
#define PARTYWALL_MAPS_WORDS_H

#include <array>

#include "maps/abi/reasons.h"

namespace partywall {

struct ReasonWords {
  const char* name;      // "DENY_TENANT"
  const char* label;     // "tenant_floor": unique among allows and among denials, not over both
  abi::peer_class peer;  // a limit's class is its packet's, not its own
  const char* sentence;
};

inline constexpr std::array<ReasonWords, abi::REASON_COUNT> kReasons = {{
#define X(name, label, peer, sentence) {#name, label, abi::CLASS_##peer, sentence},
    PARTYWALL_REASONS(X)
#undef X
}};

struct ClassWords {
  const char* label;
  const char* sentence;
};

inline constexpr std::array<ClassWords, abi::CLASS_COUNT> kClasses = {{
#define X(name, label, sentence) {label, sentence},
    PARTYWALL_CLASSES(X)
#undef X
}};

inline constexpr std::array<const char*, abi::DIRECTION_COUNT> kDirections = {"egress",
                                                                              "ingress"};

inline constexpr bool is_limit(unsigned reason) { return reason >= abi::REASON_FIRST_LIMIT; }
inline constexpr bool is_denial(unsigned reason) { return reason >= abi::REASON_FIRST_DENY; }

}  // namespace partywall

#endif
