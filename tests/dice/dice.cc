// tests/dice/dice.cc: addresses and ranges at random, and their neighbours. No I/O.
#include "tests/dice/dice.h"

namespace partywall::test {
namespace {

int bits_of(const policy::Address& address) { return is_v4(address) ? 32 : 128; }

uint8_t& byte_of(policy::Address& address, int bit) {
  return address.bytes[static_cast<size_t>(bit / 8)];
}

uint8_t mask_of(int bit) { return static_cast<uint8_t>(0x80 >> bit % 8); }

}  // namespace

policy::Prefix cut(policy::Address address, int bits) {
  for (int bit = bits; bit < bits_of(address); bit++)
    byte_of(address, bit) &= static_cast<uint8_t>(~mask_of(bit));
  return {address, static_cast<uint8_t>(bits)};
}

policy::Address last_of(const policy::Prefix& range) {
  policy::Address last = range.address;

  for (int bit = range.bits; bit < bits_of(last); bit++) byte_of(last, bit) |= mask_of(bit);
  return last;
}

policy::Address next_to(policy::Address address, int step) {
  for (int bit = bits_of(address) - 1; bit >= 0; bit -= 8) {
    uint8_t& byte = byte_of(address, bit);

    byte = static_cast<uint8_t>(byte + step);
    if (byte != (step > 0 ? 0 : 0xff)) break;
  }
  return address;
}

policy::Address Dice::address(bool v4) {
  static constexpr uint8_t kBytes[] = {0, 1, 127, 128, 255};
  static constexpr uint8_t kFirst[] = {10, 10, 11, 100, 203};
  policy::Address made{v4 ? policy::Family::kIpv4 : policy::Family::kIpv6, {}};

  if (v4) {
    made.bytes[0] = one_of(kFirst);
    for (size_t i : {1, 2, 3}) made.bytes[i] = one_of(kBytes);
  } else {
    made.bytes[0] = percent(70) ? 0xfd : 0x20;
    for (size_t i : {3, 6, 7, 8, 14, 15}) made.bytes[i] = one_of(kBytes);
  }
  return made;
}

policy::Prefix Dice::inside(const policy::Prefix& range) {
  policy::Address made = address(is_v4(range.address));
  policy::Address start = range.address;
  auto longer = static_cast<uint32_t>(bits_of(made) - range.bits + 1);

  for (int bit = 0; bit < range.bits; bit++) {
    byte_of(made, bit) &= static_cast<uint8_t>(~mask_of(bit));
    byte_of(made, bit) |= static_cast<uint8_t>(byte_of(start, bit) & mask_of(bit));
  }
  return cut(made, range.bits + static_cast<int>(below(longer)));
}

policy::Prefix Dice::around(const policy::Prefix& range) {
  return cut(range.address, static_cast<int>(below(range.bits + 1u)));
}

}  // namespace partywall::test
